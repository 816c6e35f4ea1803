# SPDX-License-Identifier: Apache-2.0
"""Unpacks a .tar.gz that came in parts, and trusts nothing that is written in it."""

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from sharpdepth_ros.weights.home import FetchError, require_space

CHUNK = 1024**2


class ArchiveError(FetchError):
    """An archive that is damaged, or that would write outside its folder."""


class JoinedFiles(io.RawIOBase):
    """Several files read as one, so that joining them takes no disk."""

    def __init__(self, files: Sequence[Path], on_bytes: Callable[[int], None]) -> None:
        super().__init__()
        self._waiting = list(files)
        self._on_bytes = on_bytes
        self._file: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while self._file is not None or self._waiting:
            if self._file is None:
                self._file = self._waiting.pop(0).open("rb")
            if count := self._file.readinto(buffer):
                self._on_bytes(count)
                return count
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def unpack(parts: Sequence[Path], folder: Path, on_bytes: Callable[[int], None]) -> None:
    """Unpack a .tar.gz into a new folder.

    Regular files and folders are written with the user's default permissions. A link to a file of
    the archive becomes that file; anything else (a path out of the folder, a link out of it, a
    device) is refused. tarfile's own filters are not used: early releases of Python 3.10 lack them.

    Args:
        parts: the archive's pieces in order.
        folder: does not exist yet.
        on_bytes: called with the number of packed bytes read.

    Raises:
        ArchiveError: damaged, or not safe to unpack.
        FetchError: the disk is too small.
    """
    folder.mkdir(parents=True)
    links: dict[PurePosixPath, PurePosixPath] = {}
    try:
        with (
            io.BufferedReader(JoinedFiles(parts, on_bytes), CHUNK) as packed,
            gzip.GzipFile(fileobj=packed) as stream,
        ):
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    _unpack_member(archive, member, folder, links)
            while stream.read(CHUNK):
                pass  # to the end, where gzip compares its checksum
        _replace_links(links, folder)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise ArchiveError(f"the archive holds {Path(error.filename).name!r} twice") from error
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        names = ", ".join(part.name for part in parts)
        raise ArchiveError(f"{names}: not a whole .tar.gz archive ({error})") from error


def _unpack_member(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    folder: Path,
    links: dict[PurePosixPath, PurePosixPath],
) -> None:
    inside = _inside(member.name, member.name)
    target = folder / inside
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif member.isreg():
        require_space(member.size, f"unpacking {member.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(archive.extractfile(member), target)
    elif member.issym():
        links[inside] = _inside(f"{inside.parent}/{member.linkname}", member.name)
        if member.linkname.startswith("/"):
            raise ArchiveError(f"the archive's link {member.name!r} leads out of its folder")
    elif member.islnk():
        links[inside] = _inside(member.linkname, member.name)
    else:
        raise ArchiveError(f"the archive holds {member.name!r}, neither a file nor a folder")


def _inside(path: str, member: str) -> PurePosixPath:
    """A path of the archive, normalised; refused if it leaves the folder."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part == "..":
            raise ArchiveError(f"the archive's entry {member!r} leads out of its folder")
        elif part not in ("", "."):
            parts.append(part)
    if path.startswith("/") or "\0" in path:
        raise ArchiveError(f"the archive's entry {member!r} leads out of its folder")
    return PurePosixPath(*parts)


def _write(content: io.BufferedIOBase, target: Path) -> None:
    with target.open("xb") as file:
        while chunk := content.read(CHUNK):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _replace_links(links: dict[PurePosixPath, PurePosixPath], folder: Path) -> None:
    """Put the file itself in the place of each link: a model folder has none when it is done."""
    while links:
        ready = {link: to for link, to in links.items() if (folder / to).is_file()}
        if not ready:
            link, to = next(iter(links.items()))
            raise ArchiveError(f"the archive's link {str(link)!r} leads to {str(to)!r}: no file")
        for link, to in ready.items():
            if (folder / link).exists():
                raise ArchiveError(f"the archive holds {link.name!r} twice")
            (folder / link).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / to, folder / link)
            del links[link]
