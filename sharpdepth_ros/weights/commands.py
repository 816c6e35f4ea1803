# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth weights`: prints what is here, fetches, checks; each function's result is the exit
status."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sharpdepth_ros.weights.catalogue import BUNDLED, CATALOGUE, ModelEntry
from sharpdepth_ros.weights.checksums import (
    Damage,
    compare_with_publisher,
    compare_with_record,
    files_in,
    read_record,
)
from sharpdepth_ros.weights.fetch import entry_named, fetch
from sharpdepth_ros.weights.home import FetchError, WeightsNotFound, model_folder
from sharpdepth_ros.weights.hub import usable_snapshot
from sharpdepth_ros.weights.identity import faults_here
from sharpdepth_ros.weights.install import progress
from sharpdepth_ros.weights.locate import find_here, is_repository, remedy

FAILED = 1


@dataclass(frozen=True)
class Stored:
    """A model of the catalogue as it is on this machine.

    Attributes:
        entry: the model.
        folder: None when it is not here.
        size: bytes.
        faults: what is missing or visibly broken, or shows that it is another model; weights are
            not read.
    """

    entry: ModelEntry
    folder: Path | None
    size: int
    faults: list[str]


def inventory() -> list[Stored]:
    """Every model of the catalogue that has weights to fetch, in the catalogue's order."""
    found = []
    for entry in CATALOGUE:
        if entry.origin == BUNDLED:
            continue
        folder = find_here(entry)
        size = sum(f.stat().st_size for f in files_in(folder)) if folder else 0
        found.append(Stored(entry, folder, size, faults_here(entry, folder) if folder else []))
    return found


def run_fetch(name: str, source: str | None = None, force: bool = False) -> int:
    """Fetch one model; print its folder, and the terms on which its weights may be used."""
    try:
        folder = fetch(name, source, force)
        terms = "" if is_repository(name) else f" (license: {entry_named(name).license})"
    except (FetchError, WeightsNotFound) as error:
        return _fail(error)
    print(f"{name} is in {folder}{terms}")
    return 0


def run_list() -> int:
    """Print the table of models and where they are."""
    rows = [("NAME", "KIND", "LICENSE", "SIZE", "WHERE")]
    rows += [
        (entry.name, entry.kind, entry.license, "-", "comes with the package")
        for entry in CATALOGUE
        if entry.origin == BUNDLED
    ]
    for stored in inventory():
        entry = stored.entry
        where = str(stored.folder or "not here")
        if stored.faults:
            where += f" (damaged: {'; '.join(stored.faults)})"
        size = f"{stored.size / 1e6:,.1f} MB" if stored.folder else "-"
        rows.append((entry.name, entry.kind, entry.license, size, where))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]))
    return 0


def run_path(name: str) -> int:
    """Print a model's folder and nothing else."""
    try:
        folder = _folder_of(name)
    except WeightsNotFound as error:
        return _fail(error)
    print(folder)
    return 0


def run_verify(names: Sequence[str] = ()) -> int:
    """Hash models again and compare; all that are here when no name is given."""
    try:
        folders = {name: _folder_of(name) for name in names} or {
            stored.entry.name: stored.folder for stored in inventory() if stored.folder
        }
        results = [_verify(name, folder) for name, folder in folders.items()]
    except (FetchError, WeightsNotFound) as error:
        return _fail(error)
    if not results:
        print("no weights are on this machine; `sharpdepth weights fetch NAME` gets some")
    return 0 if all(results) else FAILED


def _verify(name: str, folder: Path) -> bool:
    files = files_in(folder)
    faults = [] if is_repository(name) else faults_here(entry_named(name), folder)
    damages = [Damage(folder, fault) for fault in faults]
    with progress(name, sum(file.stat().st_size for file in files)) as bar:
        record = read_record(name) if folder == model_folder(name) else None
        if record is not None:
            checked = len(record.files)
            damages += compare_with_record(folder, record, bar.update)
        else:
            checked, different = compare_with_publisher(files, bar.update)
            damages += different
    for damage in damages:
        print(f"{name}: {damage.file} {damage.reason}", file=sys.stderr)
    if damages:
        print(
            f"{name} is damaged: `sharpdepth weights fetch {name} --force` replaces it",
            file=sys.stderr,
        )
    elif checked == 0:
        print(
            f"{name}: complete, but nothing to compare with, as {folder} was put there by hand; "
            f"`sharpdepth weights fetch {name} --source {folder} --force` records its checksums"
        )
    else:
        print(f"{name}: {checked} files as they were published or first fetched")
    return not damages


def _folder_of(name: str) -> Path:
    folder = usable_snapshot(name, None) if is_repository(name) else find_here(entry_named(name))
    if folder is None:
        raise WeightsNotFound(f"{name} is not on this machine. {remedy(name)}")
    return folder


def _fail(error: Exception) -> int:
    print(f"sharpdepth: {error}", file=sys.stderr)
    return FAILED
