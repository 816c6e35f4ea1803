# SPDX-License-Identifier: Apache-2.0
"""Writes files that appear complete or not at all, whenever the program is stopped."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, in one step: beside its place, then renamed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
