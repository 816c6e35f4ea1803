# SPDX-License-Identifier: Apache-2.0
"""Fetches a model that is published as the parts of an archive in a GitHub release."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sharpdepth_ros.weights.archive import ArchiveError, unpack
from sharpdepth_ros.weights.catalogue import ModelEntry
from sharpdepth_ros.weights.checksums import Checksum, hash_file, read_record, require_same
from sharpdepth_ros.weights.download import NotOnServer, download, remote_size, state_file
from sharpdepth_ros.weights.home import FetchError, draft_folder, require_space
from sharpdepth_ros.weights.install import install, install_copy, progress
from sharpdepth_ros.weights.layout import CHECKPOINT_PARTS, faults_of, find_checkpoint
from sharpdepth_ros.weights.network import require_network

UNPACKED_RATIO = 1.3
"""Room for the unpacked files, as a multiple of the archive: weights hardly compress."""


@dataclass(frozen=True)
class Release:
    """An archive in a GitHub release.

    Attributes:
        tag: of the release.
        archive: name of the whole .tar.gz.
        parts: names of its pieces, in order.
    """

    tag: str
    archive: str
    parts: tuple[str, ...]


RELEASES = {
    "sharpdepth": Release(
        "v1.0",
        "sharpdepth.tar.gz",
        tuple(f"sharpdepth.tar.gz.part-{part}" for part in ("aa", "ab", "ac")),
    ),
}
"""By the model's name (Qualcomm-AI-research/SharpDepth, README, "Checkpoints")."""


def release_url(entry: ModelEntry) -> str:
    """Where the publisher's files are."""
    return f"https://github.com/{entry.source}/releases/download/{RELEASES[entry.name].tag}"


def fetch_release(entry: ModelEntry, url: str | None = None) -> Path:
    """Download, check, unpack and place a released model.

    Args:
        entry: the model.
        url: a mirror's folder with the parts or the whole archive, or the archive itself;
            the publisher's when None.

    Raises:
        FetchError: no network, a server that fails, a damaged file, a full disk.
    """
    url = (url or release_url(entry)).rstrip("/")
    require_network(url)
    urls = _find_on_server(RELEASES[entry.name], url)
    folder = draft_folder(entry.name) / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in urls]
    here = sum(f.stat().st_size for f in files if f.exists())
    sizes = [remote_size(u) for u in urls.values()]
    total = None if None in sizes else sum(sizes)
    if total is not None:
        require_space(
            total - here + int(UNPACKED_RATIO * total), f"downloading and unpacking {entry.name}"
        )
    with progress(entry.name, total) as bar:
        bar.update(here)
        for file, size in zip(files, sizes, strict=True):
            if size is None or not file.exists() or file.stat().st_size != size:
                download(urls[file.name], file, bar.update)
    try:
        return _unpack_and_install(entry, files, url)
    except DamagedDownload as error:
        for file in error.files:
            file.unlink(missing_ok=True)
            state_file(file).unlink(missing_ok=True)
        raise


def install_local_release(entry: ModelEntry, source: Path) -> Path:
    """Place a released model from this machine.

    Args:
        entry: the model.
        source: the whole archive, or a folder with the parts, the whole archive or the unpacked
            checkpoint.

    Raises:
        FetchError: it holds none of these, or they are damaged.
    """
    release = RELEASES[entry.name]
    if source.is_file():
        return _unpack_and_install(entry, [source], str(source))
    if checkpoint := find_checkpoint(source):
        return install_copy(entry, checkpoint)
    parts = [source / part for part in release.parts]
    missing = [part.name for part in parts if not part.is_file()]
    if not missing:
        return _unpack_and_install(entry, parts, str(source))
    if (source / release.archive).is_file():
        return _unpack_and_install(entry, [source / release.archive], str(source))
    partly = "" if len(missing) == len(parts) else f" ({', '.join(missing)} missing)"
    raise FetchError(
        f"{source} does not hold {entry.name}: expected the parts {', '.join(release.parts)}"
        f"{partly}, or {release.archive}, or the unpacked "
        f"{' '.join(part + '/' for part in CHECKPOINT_PARTS)}"
    )


class DamagedDownload(FetchError):
    """Downloaded files that are damaged, and must not be continued next time."""

    def __init__(self, message: str, files: Sequence[Path]) -> None:
        super().__init__(message)
        self.files = files


def _find_on_server(release: Release, url: str) -> dict[str, str]:
    """File names and their URLs: the parts, else the whole archive."""
    if url.endswith((".tar.gz", ".tgz")):
        return {release.archive: url}
    try:
        remote_size(f"{url}/{release.parts[0]}")
    except NotOnServer as missing:
        try:
            remote_size(f"{url}/{release.archive}")
        except NotOnServer:
            raise missing from None
        return {release.archive: f"{url}/{release.archive}"}
    return {part: f"{url}/{part}" for part in release.parts}


def _unpack_and_install(entry: ModelEntry, files: list[Path], source: str) -> Path:
    checksums = _checksums(entry, files)
    size = sum(file.stat().st_size for file in files)
    require_space(int(UNPACKED_RATIO * size), f"unpacking {entry.name}")
    unpacked = draft_folder(entry.name) / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with progress("unpacking", size) as bar:
            unpack(files, unpacked, bar.update)
        checkpoint = find_checkpoint(unpacked)
        if checkpoint is None:
            found = ", ".join(sorted(f.name for f in unpacked.iterdir())) or "nothing"
            raise ArchiveError(
                f"the archive of {entry.name} holds no folder with "
                f"{' '.join(part + '/' for part in CHECKPOINT_PARTS)} (found: {found})"
            )
        if faults := faults_of(checkpoint, entry.kind):
            raise ArchiveError(f"the archive of {entry.name} is incomplete: {'; '.join(faults)}")
        return install(entry, checkpoint, source, checksums)
    except ArchiveError as error:
        shutil.rmtree(unpacked, ignore_errors=True)
        # Without a recorded checksum nobody can tell which part it is.
        raise DamagedDownload(
            f"{error}. Fetch it again, from {source} or elsewhere", files
        ) from error


def _checksums(entry: ModelEntry, files: list[Path]) -> dict[str, Checksum]:
    """Of each file and of the whole archive, compared with the first fetch."""
    recorded = read_record(entry.name)
    whole, size = hashlib.sha256(), 0
    checksums: dict[str, Checksum] = {}
    with progress("checking", sum(file.stat().st_size for file in files)) as bar:
        for file in files:
            checksum = hash_file(file, bar.update, whole)
            size += checksum.size
            if len(files) == 1:
                continue
            try:
                require_same(entry.name, "archive", {file.name: checksum}, recorded)
            except FetchError as error:
                raise DamagedDownload(str(error), [file]) from error
            checksums[file.name] = checksum
    archive = {RELEASES[entry.name].archive: Checksum(size, whole.hexdigest())}
    try:
        require_same(entry.name, "archive", archive, recorded)
    except FetchError as error:
        raise DamagedDownload(str(error), files) from error
    return checksums | archive
