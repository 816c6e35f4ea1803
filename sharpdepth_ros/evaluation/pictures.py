# SPDX-License-Identifier: Apache-2.0
"""Pictures of samples, image to error, and the choice of the worst and best of them."""

import hashlib
from bisect import insort
from pathlib import Path

import cv2
import numpy as np

from sharpdepth_ros.evaluation.datasets.base import Sample
from sharpdepth_ros.evaluation.metrics import METRICS
from sharpdepth_ros.evaluation.records import Row
from sharpdepth_ros.evaluation.validation import is_measured
from sharpdepth_ros.io.colormap import colorize_depth, near_far
from sharpdepth_ros.io.depth_files import write_rgb

PANEL_WIDTH = 256
GREY = 110
WORST_ERROR = 0.25
"""Relative error at the last colour: beyond it a pixel is wrong for delta1, about."""

PREFERRED = ("abs_relative_difference", "delta1_acc", "dbe_acc", "boundary_f1")
"""What samples are ordered by: the first of these that is measured."""


class Gallery:
    """Keeps a picture of each sample that is among the worst or best of its method so far.

    A sample among the worst at the end was among the worst when it was measured, so nothing is
    missing from the final choice, whatever the order, the number of processes, or interruptions.

    Args:
        folder: for the pictures.
        count: of worst, and of best samples per method.
        metrics: that are measured.
    """

    def __init__(self, folder: Path, count: int, metrics: list[str]):
        self._folder, self.count = folder, count
        self.metric = next((m for m in PREFERRED if m in metrics), metrics[0])
        self._noted: set[tuple[str, str]] = set()
        self._ranked: dict[str, list[tuple[float, str]]] = {}

    def note(self, row: Row) -> None:
        """Take a row into account; once, however often it is given."""
        method, sample, score = str(row["method"]), str(row["sample"]), float(row[self.metric])
        if (method, sample) in self._noted or not np.isfinite(score):
            return
        self._noted.add((method, sample))
        sign = -1 if METRICS[self.metric].higher_is_better else 1
        # Best first; equals by name, so that every process agrees.
        insort(self._ranked.setdefault(method, []), (sign * score, sample))

    def offer(self, row: Row, sample: Sample, prediction: np.ndarray) -> None:
        """Draw the sample if it is among the worst or best so far."""
        self.note(row)
        method = str(row["method"])
        if sample.name in {*self.worst(method), *self.best(method)}:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_rgb(self.path(method, sample.name), draw_sample(sample, prediction))

    def worst(self, method: str) -> list[str]:
        """Names of the worst samples, worst first."""
        ranked = self._ranked.get(method, [])
        return [name for _, name in reversed(ranked[max(len(ranked) - self.count, 0) :])]

    def best(self, method: str) -> list[str]:
        """Names of the best samples that are not among the worst, best first."""
        ranked = self._ranked.get(method, [])
        return [name for _, name in ranked[: min(self.count, max(len(ranked) - self.count, 0))]]

    def path(self, method: str, sample: str) -> Path:
        """Of a sample's picture. A hash: names of samples may be longer than a file's may be."""
        digest = hashlib.sha256(sample.encode()).hexdigest()[:12]
        return self._folder / f"{method}_{digest}.png"

    def prune(self, methods: list[str]) -> None:
        """Delete pictures of samples that others have displaced."""
        keep = {self.path(m, s) for m in methods for s in (*self.worst(m), *self.best(m))}
        for path in self._folder.glob("*.png"):
            if path not in keep:
                path.unlink()


def draw_sample(sample: Sample, prediction: np.ndarray) -> np.ndarray:
    """Image, ground truth, prediction in the same colours and in its own, relative error; RGB.

    The prediction's own colours show its edges where its scale is wrong. Sparse ground truth is
    thickened so that it can be seen. Grey is not measured, or not predicted.
    """
    height = max(1, round(PANEL_WIDTH * sample.rgb.shape[0] / sample.rgb.shape[1]))
    size = (PANEL_WIDTH, height)
    measured = is_measured(sample.depth)
    truth = np.where(measured, sample.depth, np.nan)
    error = np.where(sample.valid, np.abs(prediction - truth) / truth, np.nan)
    span = near_far(sample.depth[sample.valid if sample.valid.any() else measured])
    predicted = cv2.resize(prediction, size, interpolation=cv2.INTER_AREA)
    panels = [
        cv2.resize(sample.rgb, size, interpolation=cv2.INTER_AREA),
        _colorize(_shrink(truth, size), *span),
        _colorize(predicted, *span),
        _colorize(predicted, *near_far(predicted[is_measured(predicted)])),
        _colorize_error(_shrink(error, size)),
    ]
    return np.concatenate(panels, axis=1)


def _colorize(depth: np.ndarray, near: float | None, far: float | None) -> np.ndarray:
    colours = colorize_depth(depth, near, far)
    colours[~is_measured(depth)] = GREY
    return colours


def _shrink(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest values at another size; holes take a value of their 3 x 3 block where they can."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float32)
    grown = cv2.dilate(filled, np.ones((3, 3), np.uint8))
    near_known = cv2.dilate(known.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    full = np.where(known, filled, np.where(near_known, grown, np.nan)).astype(np.float32)
    return cv2.resize(full, size, interpolation=cv2.INTER_NEAREST)


def _colorize_error(error: np.ndarray) -> np.ndarray:
    known = np.isfinite(error)
    levels = np.clip(np.where(known, error, 0) / WORST_ERROR * 255, 0, 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    colours[~known] = GREY
    return colours
