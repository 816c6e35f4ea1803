# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run: each appears complete or not at all, and only the last few are kept."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from sharpdepth_ros.weights.home import sync_folder
from sharpdepth_ros.weights.layout import shortage_of

STATE = "training_state"
"""Subfolder of a checkpoint with what only a resumed run needs."""

ZIPPED = (".bin", ".pt", ".pkl")
"""Files that torch.save writes: archives, whose table of contents comes last."""

_NAME = re.compile(r"checkpoint-(\d+)")


class CheckpointNotWritten(RuntimeError):
    """A checkpoint could not be written; the earlier ones are as they were."""


def checkpoints_of(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first. A folder without a file in it is none."""
    found = [p for p in run.glob("checkpoint-*") if _NAME.fullmatch(p.name) and _holds_files(p)]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The number of updates after which the checkpoint was written."""
    return int(_NAME.fullmatch(checkpoint.name)[1])


def write_checkpoint(
    run: Path,
    step: int,
    write: Callable[[Path], None],
    keep: int,
    *,
    main: bool = True,
    wait: Callable[[], None] = lambda: None,
) -> Path:
    """Write a checkpoint beside its place, look at it, move it there, then remove the oldest.

    Args:
        run: folder of the run.
        step: number of updates.
        write: writes everything into the folder it is given, and raises OSError where that does
            not hold what it should; every process calls it.
        keep: how many complete checkpoints stay.
        main: whether this process creates, renames and removes folders.
        wait: waits for the other processes.

    Raises:
        CheckpointNotWritten: the disk is full or the like; what was half written is removed.
    """
    place, draft = run / f"checkpoint-{step:06d}", run / f".checkpoint-{step:06d}.partial"
    try:
        if main:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        wait()
        write(draft)
        wait()
        if main:
            _flush(draft)
            if faults := faults_in(draft):
                raise OSError(f"what was written is not whole: {'; '.join(faults)}")
            _remove(place)
            os.replace(draft, place)
            sync_folder(run)
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch reports a full disk as a RuntimeError, safetensors as an error of its own.
        reason = _reason(run, error)  # before there is room again
        shutil.rmtree(draft, ignore_errors=True)
        kept = checkpoints_of(run)
        raise CheckpointNotWritten(
            f"checkpoint {place} was not written ({reason}); "
            + (f"the last complete one is {kept[-1]}" if kept else "there is no earlier one")
        ) from error
    if main:
        for old in checkpoints_of(run)[:-keep]:
            _remove(old)
    wait()
    return place


def remove_drafts(run: Path) -> None:
    """Remove what a run that was killed had half written or half removed."""
    for draft in run.glob(".checkpoint-*.partial"):
        shutil.rmtree(draft, ignore_errors=True)


def faults_in(folder: Path) -> list[str]:
    """Files of a checkpoint, or of a part of it, that are visibly broken; weights are not read."""
    faults = []
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_symlink() and not file.exists():
            faults.append(f"{name} is a link to a file that is gone")
        elif file.suffix == ".safetensors" and (shortage := shortage_of(file)):
            faults.append(f"{name} is cut off: {shortage}")
        elif file.suffix in ZIPPED and _is_torn(file):
            faults.append(f"{name} is cut off: {file.stat().st_size} bytes")
        elif file.suffix == ".json" and not _is_json(file):
            faults.append(f"{name} is not JSON")
    return faults


def _reason(run: Path, error: Exception) -> str:
    """Why writing failed, with the room on the disk: torch does not say that it is full."""
    if not run.is_dir():
        return str(error)
    return f"{error}; its disk has {shutil.disk_usage(run).free / 1e6:,.1f} MB free"


def _is_torn(archive: Path) -> bool:
    """Whether an archive lacks its end; what is none is left to who loads it."""
    with archive.open("rb") as file:
        begin = file.read(2)
    return begin in (b"", b"P", b"PK") and not zipfile.is_zipfile(archive)


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True


def _holds_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint in one step: a kill in between leaves nothing that looks like one."""
    if checkpoint.exists():
        hidden = checkpoint.with_name(f".{checkpoint.name}.removed.partial")
        shutil.rmtree(hidden, ignore_errors=True)
        checkpoint.rename(hidden)
        shutil.rmtree(hidden)


def _flush(folder: Path) -> None:
    """Have the files on the disk before the folder gets its name: power may fail in between."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
