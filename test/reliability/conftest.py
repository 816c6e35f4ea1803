# SPDX-License-Identifier: Apache-2.0
"""What was tried, how often, what happened: the lines of the table of scripts/reliability.py."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

OUTPUT = "SHARPDEPTH_RELIABILITY_OUTPUT"
"""Folder for the lines, figures and pictures of a run; without it they are not kept."""


def add_line(what: str, how_often: str, happened: str) -> None:
    """Adds a line to the table of this run."""
    line = {"what": what, "how_often": how_often, "happened": happened}
    print("\n" + "; ".join(line.values()))
    if folder := os.environ.get(OUTPUT):
        with (Path(folder) / "lines.jsonl").open("a") as lines:
            lines.write(json.dumps(line) + "\n")


@pytest.fixture
def record() -> Callable[[str, str, str], None]:
    """`add_line`, for tests."""
    return add_line


@pytest.fixture
def report_folder(tmp_path: Path) -> Path:
    """Where pictures and figures of a run go."""
    return Path(os.environ.get(OUTPUT, tmp_path))
