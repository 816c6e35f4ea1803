# SPDX-License-Identifier: Apache-2.0
"""This package's own folder of weights: where it is, its lock, and how a model is put there."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

GIB = 1024**3


class WeightsNotFound(FileNotFoundError):
    """Weights that are not on this machine; the message names the model and what to do."""


class FetchError(RuntimeError):
    """Weights that could not be fetched; the message says what was tried and what to do."""


def weights_home() -> Path:
    """Where this package keeps weights that are not the hub's: $SHARPDEPTH_HOME, or the user's
    cache folder."""
    if home := os.environ.get("SHARPDEPTH_HOME"):
        return Path(home).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sharpdepth_ros"


def bundled_folder(kind: str) -> Path:
    """Where the package itself holds the demo's model of a kind."""
    return Path(__file__).parent / "demo" / kind


def model_folder(name: str) -> Path:
    """Where a model of that name belongs."""
    return weights_home() / name


def draft_folder(name: str) -> Path:
    """Where a model is prepared: beside its place, so that one rename puts it there."""
    return weights_home() / f".{name}.draft"


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Keep other processes from fetching the same model at the same time.

    The kernel lets go of the lock when its holder dies, so a killed run blocks nobody.
    """
    weights_home().mkdir(parents=True, exist_ok=True)
    lock = FileLock(weights_home() / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        message = f"another process is fetching {name}; waiting for it to finish"
        print(message, file=sys.stderr, flush=True)
        lock.acquire()
    try:
        _recover(name)
        yield
    finally:
        lock.release()


def place(folder: Path, name: str) -> Path:
    """Move a finished folder to the model's place, in one step when nothing is there yet."""
    target, replaced = model_folder(name), _replaced_folder(name)
    if target.exists():
        target.rename(replaced)
    folder.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return target


def require_space(needed: int, purpose: str) -> None:
    """Check that the disk of `weights_home` has room for `needed` bytes.

    Raises:
        FetchError: it has not.
    """
    free = shutil.disk_usage(weights_home()).free
    if free < needed:
        raise FetchError(
            f"{purpose} needs {needed / GIB:.2f} GiB and the disk of {weights_home()} has "
            f"{free / GIB:.2f} GiB free: make room, or set SHARPDEPTH_HOME to a folder on another "
            "disk"
        )


def write_durably(path: Path, content: bytes) -> None:
    """Replace a small file so that it holds either its old or its new content, whatever happens.

    Several processes may write the same file; after an error nothing is left of this one's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _recover(name: str) -> None:
    """Undo a replacement that was killed between its two renames."""
    target, replaced = model_folder(name), _replaced_folder(name)
    if replaced.exists():
        if target.exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(target)


def _replaced_folder(name: str) -> Path:
    return weights_home() / f".{name}.replaced"


def sync_folder(folder: Path) -> None:
    """Have a rename survive a power cut: a robot is often switched off by its main switch."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
