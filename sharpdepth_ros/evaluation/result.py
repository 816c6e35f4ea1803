# SPDX-License-Identifier: Apache-2.0
"""The result of an evaluation: rows of samples and what they come to; its folder on disk."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sharpdepth_ros.evaluation.records import KEYS, Row, read_rows, write_rows
from sharpdepth_ros.io.atomic_files import write_text
from sharpdepth_ros.recordings.run_problems import Problems

SAMPLES, SUMMARY = "samples.csv", "result.json"


@dataclass(frozen=True)
class Result:
    """Per-sample metrics of one or several methods on a data set.

    Attributes:
        dataset: its name, such as "kitti".
        title: the data set for people.
        settings: what the numbers depend on.
        rows: one per sample and method.
    """

    dataset: str
    title: str
    settings: dict
    rows: list[Row]

    @property
    def methods(self) -> list[str]:
        """In the order of their first rows."""
        return list(dict.fromkeys(str(row["method"]) for row in self.rows))

    @property
    def metrics(self) -> list[str]:
        """Names of the columns with numbers."""
        return [key for key in self.rows[0] if key not in KEYS] if self.rows else []

    def values(self, method: str, metric: str) -> dict[str, float]:
        """A metric by sample; nan where it is not defined."""
        return {
            str(row["sample"]): float(row[metric]) for row in self.rows if row["method"] == method
        }

    def mean(self, method: str, metric: str) -> float:
        """Mean over the samples where the metric is defined (published: MetricTracker)."""
        return _statistics(list(self.values(method, metric).values()))["mean"]

    def summary(self) -> dict:
        """Mean, median, standard deviation and number of samples, by method and metric."""
        return {
            method: {
                metric: _statistics(list(self.values(method, metric).values()))
                for metric in self.metrics
            }
            for method in self.methods
        }

    def texts(self, method: str, column: str) -> dict[str, str]:
        """A column of text by sample; empty where it was not recorded."""
        return {
            str(row["sample"]): str(row.get(column, ""))
            for row in self.rows
            if row["method"] == method
        }

    def remarks(self) -> list[str]:
        """Which numbers mean little and why, one line for each reason and method."""
        found = Problems()
        for row in self.rows:
            what, _, details = str(row.get("remark", "")).partition(": ")
            if what:
                found.add(f"{row['method']}, {what}", f"{row['sample']}: {details}")
        return found.lines()

    def says_nothing(self) -> bool:
        """Whether all numbers of a method mean little."""
        return any(all(self.texts(method, "remark").values()) for method in self.methods)

    def save(self, folder: Path) -> None:
        """Write samples.csv and result.json."""
        write_rows(folder / SAMPLES, self.rows, [*KEYS, *self.metrics])
        document = {
            "dataset": self.dataset,
            "title": self.title,
            "settings": self.settings,
            "methods": self.summary(),
        }
        write_text(folder / SUMMARY, json.dumps(_without_nan(document), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: the folder holds no result.
        """
        for name in (SUMMARY, SAMPLES):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name} is missing; give the --output folder of a finished "
                    "`sharpdepth evaluate`"
                )
        document = json.loads((folder / SUMMARY).read_text())
        rows = read_rows(folder / SAMPLES)
        return cls(document["dataset"], document["title"], document["settings"], rows)


def _statistics(values: list[float]) -> dict[str, float]:
    defined = np.array([v for v in values if not math.isnan(v)])
    if not defined.size:
        return {"mean": math.nan, "median": math.nan, "std": math.nan, "samples": 0}
    return {
        "mean": float(defined.mean()),
        "median": float(np.median(defined)),
        "std": float(defined.std()),
        "samples": int(defined.size),
    }


def _without_nan(value):
    """JSON has no nan: null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
