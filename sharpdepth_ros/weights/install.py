# SPDX-License-Identifier: Apache-2.0
"""Puts a model's finished files in its place, after checking and recording them."""

import os
import shutil
from datetime import datetime, timezone
from pathlib import Path

from tqdm import tqdm

from sharpdepth_ros.weights.catalogue import ModelEntry
from sharpdepth_ros.weights.checksums import (
    Checksum,
    Record,
    compare_with_publisher,
    files_in,
    hash_file,
    read_record,
    require_same,
    write_record,
)
from sharpdepth_ros.weights.home import (
    FetchError,
    draft_folder,
    place,
    require_space,
)
from sharpdepth_ros.weights.identity import differences
from sharpdepth_ros.weights.layout import faults_of

CHUNK = 1024**2


def progress(description: str, total: int | None) -> tqdm:
    """A bar that counts bytes; silent where nobody looks, such as in a log."""
    return tqdm(desc=description, total=total, unit="B", unit_scale=True, disable=None)


def install(
    entry: ModelEntry, folder: Path, source: str, archive: dict[str, Checksum] | None = None
) -> Path:
    """Check, record and place a model that is ready in its draft.

    Args:
        entry: the model.
        folder: its files, in the draft folder.
        source: where they came from.
        archive: checksums of the files that were unpacked.

    Raises:
        FetchError: it is not that model, or not what was fetched first.
    """
    _require_sound(entry, folder, source)
    files = files_in(folder)
    with progress("checking", sum(f.stat().st_size for f in files)) as bar:
        checksums = {f.relative_to(folder).as_posix(): hash_file(f, bar.update) for f in files}
    recorded = read_record(entry.name)
    require_same(entry.name, "files", checksums, recorded)
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    # A record of the archive stays valid when the model comes from an unpacked folder next time.
    archive = {**(recorded.archive if recorded else {}), **(archive or {})}
    write_record(entry.name, Record(source, date, archive, checksums))
    target = place(folder, entry.name)
    shutil.rmtree(draft_folder(entry.name), ignore_errors=True)
    return target


def install_copy(entry: ModelEntry, original: Path) -> Path:
    """Copy a model's folder from elsewhere on this machine, and install it.

    Raises:
        FetchError: it is not that model, damaged, or too large for the disk.
    """
    _require_sound(entry, original, str(original))
    files = files_in(original)
    size = sum(f.stat().st_size for f in files)
    require_space(size, f"copying {entry.name}")
    with progress("reading", size) as bar:
        _, damages = compare_with_publisher(files, bar.update)
    if damages:
        raise FetchError(f"{damages[0].file} {damages[0].reason}: copy it again from its machine")
    draft = draft_folder(entry.name) / "copied"
    shutil.rmtree(draft, ignore_errors=True)
    with progress("copying", size) as bar:
        for file in files:
            _copy(file, draft / file.relative_to(original), bar)
    return install(entry, draft, str(original))


def _require_sound(entry: ModelEntry, folder: Path, source: str) -> None:
    if faults := faults_of(folder, entry.kind):
        raise FetchError(f"{source} does not hold {entry.name}: {'; '.join(faults)}")
    if found := differences(entry, folder):
        raise FetchError(
            f"{source} holds another model than {entry.name}: {'; '.join(found)}. To use it, give "
            "its folder itself as the model"
        )


def _copy(file: Path, target: Path, bar: tqdm) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open("rb") as original, target.open("wb") as copy:
        while chunk := original.read(CHUNK):
            copy.write(chunk)
            bar.update(len(chunk))
        copy.flush()
        os.fsync(copy.fileno())
