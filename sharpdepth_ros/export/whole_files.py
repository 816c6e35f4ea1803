# SPDX-License-Identifier: Apache-2.0
"""Files that are there whole or not at all, also when the process that writes them is killed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write to, with the suffix of `path`; afterwards the file is moved to `path`.

    Folders that are missing are made. After an error nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, in one step."""
    with written_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
