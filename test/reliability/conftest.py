# SPDX-License-Identifier: Apache-2.0
"""What was tried, how often, and what happened: a line of the table that scripts/reliability.py prints."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def report_folder(tmp_path: Path) -> Path:
    """Where pictures and figures of a run go: SHARPDEPTH_RELIABILITY_OUTPUT, or nowhere to stay."""
    folder = Path(os.environ.get("SHARPDEPTH_RELIABILITY_OUTPUT", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def record(report_folder: Path) -> Callable[[str, str, str], None]:
    """Adds a line to the table of this run: what, how often, what happened."""

    def record(what: str, how_often: str, happened: str) -> None:
        print(f"\n{what}; {how_often}: {happened}")
        with (report_folder / "lines.jsonl").open("a") as lines:
            line = {"what": what, "how_often": how_often, "happened": happened}
            lines.write(json.dumps(line) + "\n")

    return record


def size(name: str, quick: int, long: int) -> list:
    """Both forms of a test as its parameters: a quick size, and a long one behind the marker.

    Args:
        name: of the environment variable that gives the long size another value.
        quick: always run.
        long: run by scripts/reliability.py.
    """
    return [
        pytest.param(quick, id="quick"),
        pytest.param(int(os.environ.get(name, long)), id="long", marks=pytest.mark.long),
    ]
