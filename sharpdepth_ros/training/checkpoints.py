# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run: each appears complete or not at all, and only the last few are kept."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

_NAME = re.compile(r"checkpoint-(\d+)")


class CheckpointNotWritten(RuntimeError):
    """A checkpoint could not be written; the earlier ones are as they were."""


def checkpoints_of(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [p for p in run.glob("checkpoint-*") if _NAME.fullmatch(p.name) and p.is_dir()]
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
    """Write a checkpoint beside its place, move it there, then remove the oldest.

    Args:
        run: folder of the run.
        step: number of updates.
        write: writes everything into the folder it is given; every process calls it.
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
            shutil.rmtree(place, ignore_errors=True)
            os.replace(draft, place)
    except (OSError, RuntimeError) as error:
        # torch and safetensors report a full disk as a RuntimeError of their own.
        shutil.rmtree(draft, ignore_errors=True)
        kept = checkpoints_of(run)
        raise CheckpointNotWritten(
            f"checkpoint {place} was not written ({error}); "
            + (f"the last complete one is {kept[-1]}" if kept else "there is no earlier one")
        ) from error
    if main:
        for old in checkpoints_of(run)[:-keep]:
            shutil.rmtree(old)
    wait()
    return place


def remove_drafts(run: Path) -> None:
    """Remove what a run that was killed had half written."""
    for draft in run.glob(".checkpoint-*.partial"):
        shutil.rmtree(draft, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Have the files on the disk before the folder gets its name: power may fail in between."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
