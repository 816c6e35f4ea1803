# SPDX-License-Identifier: Apache-2.0
"""Checksums of weights: the publisher's where there are some, else those of the first fetch."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sharpdepth_ros.weights.home import FetchError, weights_home, write_durably

CHUNK = 1024**2

OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class Checksum:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """What was fetched for a model, so that a later fetch or a check can compare.

    Attributes:
        source: where it came from.
        date: of the fetch, ISO 8601.
        archive: per downloaded file.
        files: per file of the model's folder, by its path in it.
    """

    source: str
    date: str
    archive: dict[str, Checksum] = field(default_factory=dict)
    files: dict[str, Checksum] = field(default_factory=dict)


@dataclass(frozen=True)
class Damage:
    """A file that is not what it was, and how."""

    file: Path
    reason: str


def record_file(name: str) -> Path:
    """Where a model's checksums are kept: not in its folder, so that they outlive it."""
    return weights_home() / "checksums" / f"{name}.json"


def read_record(name: str) -> Record | None:
    """The checksums recorded for a model, None before its first fetch.

    Raises:
        FetchError: the record cannot be read.
    """
    path = record_file(name)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
        checksums = {
            group: {file: Checksum(**values) for file, values in content[group].items()}
            for group in ("archive", "files")
        }
        return Record(content["source"], content["date"], **checksums)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(
            f"{path} is damaged ({error}): remove it and fetch {name} again"
        ) from error


def write_record(name: str, record: Record) -> None:
    """Keep a model's checksums."""
    write_durably(record_file(name), json.dumps(asdict(record), indent=1).encode())


def hash_file(path: Path, on_bytes: OnBytes, *others: "hashlib._Hash") -> Checksum:
    """Size and SHA-256 of a file; its bytes go to `others` as well."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            for other in others:
                other.update(chunk)
            size += len(chunk)
            on_bytes(len(chunk))
    return Checksum(size, digest.hexdigest())


def files_in(folder: Path) -> list[Path]:
    """The regular files of a model's folder, without what tools leave there (.cache, .git)."""
    return sorted(
        f
        for f in folder.rglob("*")
        if f.is_file() and not any(p.startswith(".") for p in f.relative_to(folder).parts[:-1])
    )


def require_same(
    name: str, group: str, fetched: dict[str, Checksum], recorded: Record | None
) -> None:
    """Compare what was fetched with the first fetch.

    Args:
        name: of the model.
        group: "archive" or "files" of the record.
        fetched: by file name.
        recorded: of an earlier fetch, None when this is the first.

    Raises:
        FetchError: a file differs.
    """
    expected = {} if recorded is None else getattr(recorded, group)
    for file, got in fetched.items():
        want = expected.get(file, got)
        if got != want:
            raise FetchError(
                f"{file} of {name} is not what was fetched first (on {recorded.date} from "
                f"{recorded.source}): it has {_describe(got)}, recorded is {_describe(want)}. "
                "Fetch again, or from another source. If the publisher has replaced the file, "
                f"remove {record_file(name)} first"
            )


def compare_with_record(folder: Path, record: Record, on_bytes: OnBytes) -> list[Damage]:
    """Hash a model's folder again; what differs from the record."""
    damages = []
    for file, want in record.files.items():
        path = folder / file
        if not path.is_file():
            damages.append(Damage(path, "is missing"))
            continue
        got = hash_file(path, on_bytes)
        if got != want:
            damages.append(Damage(path, f"has {_describe(got)}, recorded is {_describe(want)}"))
    return damages


def compare_with_publisher(files: Iterable[Path], on_bytes: OnBytes) -> tuple[int, list[Damage]]:
    """Hash files of the hub's cache again, which names each after the publisher's checksum.

    Large files are named by SHA-256, small ones by their git object (huggingface_hub,
    "Understand caching").

    Returns:
        How many files had a checksum to compare with, and those that differ from it.
    """
    checked, damages = 0, []
    for path in files:
        blob = path.resolve()
        if blob.parent.name != "blobs" or not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
            continue
        checked += 1
        git = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
        got = hash_file(blob, on_bytes, git)
        if blob.name not in (got.sha256, git.hexdigest()):
            damages.append(
                Damage(path, f"has {_describe(got)}, the publisher's checksum is {blob.name}")
            )
    return checked, damages


def _describe(checksum: Checksum) -> str:
    return f"{checksum.size} bytes with SHA-256 {checksum.sha256[:16]}…"
