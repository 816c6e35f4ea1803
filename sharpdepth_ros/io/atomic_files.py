# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, also when the process that writes them is killed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def require_writable(path: Path) -> None:
    """Checks that a file can be written here; to be called before the work that fills it.

    Raises:
        ValueError: the path is a folder or a device, or nothing can be written beside it.
    """
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise ValueError(f"{path} is {kind}: give the name of a file to write")
        nearest = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from error
    if path.exists() and not os.access(path, os.W_OK):
        raise ValueError(f"{path} cannot be written: it is read-only")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write to, with the suffix of `path`; afterwards the file is moved to `path`.

    Folders that are missing are made. After an error nothing is left.

    Raises:
        OSError: as the system says it, with the name of the file that was wanted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, in one step."""
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
