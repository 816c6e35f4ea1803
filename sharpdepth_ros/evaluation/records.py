# SPDX-License-Identifier: Apache-2.0
"""The per-sample numbers of a run on disk: appended row by row, so that a run can be continued."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sharpdepth_ros.io.atomic_files import write_text
from sharpdepth_ros.pipeline.provenance import changes

Row = dict[str, str | float]
"""sample, method, data, prediction, remark, then one number per metric."""

KEYS = ("sample", "method", "data", "prediction", "remark")
"""Columns of text: data and prediction say what was measured (`fingerprint`), remark what makes the
numbers mean little."""

RUN = "run"
"""Column of the parts alone: a row that was measured again replaces that of an earlier run."""


class Records:
    """The rows of one output folder.

    Every process appends to its own file below `parts/`, a whole row at a time; a row that a
    killed process left half-written is dropped. All parts count as done, whoever wrote them, so a
    run may continue with another number of processes.

    Args:
        folder: the output folder, created if need be.
        metrics: names of the columns.
        settings: what the numbers depend on; JSON values.

    Raises:
        ValueError: the folder holds a run with other settings or metrics.
    """

    def __init__(self, folder: Path, metrics: Sequence[str], settings: dict):
        self._parts = folder / "parts"
        self._columns = [*KEYS, RUN, *metrics]
        self._opened: set[Path] = set()
        self._parts.mkdir(parents=True, exist_ok=True)
        claimed = {"columns": [*KEYS, RUN], "metrics": list(metrics), **settings}
        self._claim(folder / "settings.json", claimed)
        self._run = 1 + max((int(row[RUN]) for row in self._all()), default=0)

    def rows(self) -> list[Row]:
        """All complete rows, of all processes: the last of each sample and method."""
        rows = sorted(self._all(), key=lambda row: row[RUN])
        last = {(row["sample"], row["method"]): row for row in rows}
        return [{k: v for k, v in row.items() if k != RUN} for row in last.values()]

    def _all(self) -> list[Row]:
        return [row for path in sorted(self._parts.glob("*.csv")) for row in read_rows(path)]

    def append(self, process: int, row: Row) -> None:
        """Add one row; it is on disk when this returns."""
        path = self._parts / f"{process}.csv"
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if path not in self._opened:
            self._opened.add(path)
            path.touch()
            os.truncate(path, _end_of_last_line(path))
            if not path.stat().st_size:
                writer.writerow(self._columns)
        row = row | {RUN: self._run}
        writer.writerow([row[column] for column in self._columns])
        with path.open("ab", buffering=0) as file:
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())

    def _claim(self, path: Path, settings: dict) -> None:
        settings = json.loads(json.dumps(settings))
        if path.exists():
            found = json.loads(path.read_text())
            if differs := changes(found, settings):
                raise ValueError(
                    f"{path.parent} holds a run with other settings "
                    f"({'; '.join(differs.values())}); continue with the same ones, or choose "
                    "another output folder"
                )
            return
        write_text(path, json.dumps(settings, indent=2) + "\n")


def fingerprint(**arrays: np.ndarray | None) -> str:
    """What was measured, by content: a short digest of each array, as NAME=DIGEST."""
    digests = []
    for name, array in arrays.items():
        if array is not None:
            content = np.ascontiguousarray(array)
            digest = hashlib.sha256(f"{content.dtype} {content.shape}".encode())
            digest.update(content)
            digests.append(f"{name}={digest.hexdigest()[:12]}")
    return " ".join(digests)


def other_parts(one: str, other: str) -> list[str]:
    """The names that two fingerprints have different digests of."""
    a, b = (dict(part.split("=") for part in text.split()) for text in (one, other))
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def read_rows(path: Path) -> list[Row]:
    """Rows of a CSV file; numbers as floats. A last line without its end is left out."""
    text = path.read_bytes()[: _end_of_last_line(path)].decode()
    return [
        {key: value if key in KEYS else float(value) for key, value in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]


def write_rows(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write a CSV file in one step."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1
