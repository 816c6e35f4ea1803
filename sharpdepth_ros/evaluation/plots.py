# SPDX-License-Identifier: Apache-2.0
"""Plots of results: accuracy against sharpness, and the page of worst and best samples."""

import math
from collections.abc import Sequence
from pathlib import Path

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        "evaluation draws with matplotlib: pip install 'sharpdepth_ros[eval]'"
    ) from error

from sharpdepth_ros.evaluation.metrics import METRICS
from sharpdepth_ros.evaluation.pictures import Gallery
from sharpdepth_ros.evaluation.result import Result
from sharpdepth_ros.io.depth_files import read_rgb

ACCURACY_AXIS, SHARPNESS_AXIS = "delta1_acc", "dbe_acc"
COLOURS = {"sharpdepth": "#d1495b", "aligned": "#edae49", "metric": "#00798c"}
OTHER_COLOURS = ("#5f4b8b", "#6a994e", "#7f5539", "#457b9d")
GREEN, RED = "#2a9d8f", "#e76f51"
MARKERS = "osD^vP*X"


def plot_accuracy_sharpness(results: Sequence[Result], path: Path) -> bool:
    """Each method as a point: metric accuracy to the right, sharp edges upwards (paper: Fig. 2).

    A colour per method, a marker per data set.

    Returns:
        Whether there was anything to plot: a result without dense ground truth has no sharpness.
    """
    points = [
        (r, m, r.mean(m, ACCURACY_AXIS), r.mean(m, SHARPNESS_AXIS))
        for r in results
        if {ACCURACY_AXIS, SHARPNESS_AXIS} <= set(r.metrics)
        for m in r.methods
    ]
    points = [p for p in points if not (math.isnan(p[2]) or math.isnan(p[3]))]
    if not points:
        return False
    figure, axes = _figure(6.4, 4.8)
    others = [m for m in dict.fromkeys(p[1] for p in points) if m not in COLOURS]
    for result, method, accuracy, sharpness in points:
        colour = COLOURS.get(method)
        if colour is None:
            colour = OTHER_COLOURS[others.index(method) % len(OTHER_COLOURS)]
        marker = MARKERS[list(results).index(result) % len(MARKERS)]
        axes.scatter(100 * accuracy, sharpness, s=90, color=colour, marker=marker, zorder=3)
        label = method if len(results) == 1 else f"{method}\n{result.title}"
        axes.annotate(
            label,
            (100 * accuracy, sharpness),
            xytext=(9, 4),
            textcoords="offset points",
            fontsize=9,
        )
    axes.invert_yaxis()
    axes.margins(0.25)
    axes.set_xlabel("accuracy: delta1 [%], right is better")
    axes.set_ylabel("sharpness: DBE acc [px], up is better")
    count = len(points[0][0].values(points[0][1], ACCURACY_AXIS))
    axes.set_title(f"{results[0].title}, {count} samples" if len(results) == 1 else "")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return True


def plot_page(result: Result, method: str, gallery: Gallery, path: Path) -> bool:
    """Worst and best samples of a method, one row each, with their numbers.

    Returns:
        Whether there was a sample to show.
    """
    groups = [("worst", gallery.worst(method)), ("best", gallery.best(method))]
    measured = result.values(method, gallery.metric)
    rows = [
        (group, name)
        for group, names in groups
        for name in names
        if name in measured and gallery.path(method, name).is_file()
    ]
    if not rows:
        return False
    images = [read_rgb(gallery.path(method, name)) for _, name in rows]
    width = 12.0
    heights = [width * image.shape[0] / image.shape[1] + 0.35 for image in images]
    figure = Figure(figsize=(width, sum(heights) + 0.5))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(rows), 1, height_ratios=heights, left=0, right=1, bottom=0,
        top=1 - 0.5 / (sum(heights) + 0.5), hspace=0.0,
    )  # fmt: skip
    figure.suptitle(
        f"{result.title}, {method}, by {METRICS[gallery.metric].title}:   image | ground truth | "
        "prediction | prediction in its own colours | relative error (blue 0, red 25 % and more)",
        fontsize=10,
    )
    for i, ((group, name), image) in enumerate(zip(rows, images, strict=True)):
        axes = figure.add_subplot(grid[i])
        axes.imshow(image)
        axes.set_axis_off()
        axes.set_title(f"{group}: {name}   {_numbers(result, method, name)}", fontsize=9, pad=3)
    figure.savefig(path, dpi=100)
    return True


def _numbers(result: Result, method: str, name: str) -> str:
    shown = ("delta1_acc", "abs_relative_difference", "rmse_linear", "dbe_acc", "boundary_f1")
    return "   ".join(
        f"{METRICS[m].title} {result.values(method, m)[name]:.3g}"
        for m in shown
        if m in result.metrics
    )


def _figure(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def plot_differences(
    differences: Sequence, per_sample: dict[str, dict[str, float]], path: Path
) -> None:
    """For each metric the sorted differences B - A of the samples, their mean and its interval.

    Args:
        differences: of `compare.Difference`, one per panel.
        per_sample: B - A by metric, then by sample.
        path: of the picture.
    """
    columns = min(3, len(differences))
    rows = math.ceil(len(differences) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for i, d in enumerate(differences):
        axes = figure.add_subplot(rows, columns, i + 1)
        values = sorted(per_sample[d.metric].values())
        sign = 1 if METRICS[d.metric].higher_is_better else -1
        colours = [GREEN if sign * v > 0 else RED for v in values]
        axes.bar(range(len(values)), values, width=1.0, color=colours)
        axes.axhspan(d.low, d.high, color="#444444", alpha=0.25, lw=0)
        axes.axhline(d.difference, color="#222222", lw=1.5)
        axes.axhline(0, color="#888888", lw=0.8)
        axes.set_title(f"{METRICS[d.metric].title}: {d.difference:+.3g}, verdict {d.verdict}")
        axes.set_xlabel("samples, sorted")
        axes.set_ylabel("B - A")
    figure.suptitle("green: B better, red: A better; line and band: mean and its 95 % interval")
    figure.savefig(path, dpi=100)
