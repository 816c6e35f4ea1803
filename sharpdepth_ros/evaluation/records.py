# SPDX-License-Identifier: Apache-2.0
"""The per-sample numbers of a run on disk: appended row by row, so that a run can be continued."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sharpdepth_ros.export.whole_files import write_text

Row = dict[str, str | float]
"""sample, method, then one number per metric."""

KEYS = ("sample", "method")


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
        self._columns = [*KEYS, *metrics]
        self._opened: set[Path] = set()
        self._parts.mkdir(parents=True, exist_ok=True)
        self._claim(folder / "settings.json", {"metrics": list(metrics), **settings})

    def rows(self) -> list[Row]:
        """All complete rows, of all processes."""
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
        writer.writerow([row[column] for column in self._columns])
        with path.open("ab", buffering=0) as file:
            file.write(text.getvalue().encode())
            os.fsync(file.fileno())

    def _claim(self, path: Path, settings: dict) -> None:
        settings = json.loads(json.dumps(settings))
        if path.exists():
            found = json.loads(path.read_text())
            changed = sorted(k for k in settings | found if settings.get(k) != found.get(k))
            if changed:
                differences = "; ".join(
                    f"{k} was {found.get(k)!r}, now {settings.get(k)!r}" for k in changed
                )
                raise ValueError(
                    f"{path.parent} holds a run with other settings ({differences}); continue "
                    "with the same ones, or choose another output folder"
                )
            return
        write_text(path, json.dumps(settings, indent=2) + "\n")


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
