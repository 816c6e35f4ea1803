# SPDX-License-Identifier: Apache-2.0
"""Draws a soak: memory, threads and files, latency and rate over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..growth import Growth
from .sampling import Sample


def draw_soak(
    samples: Sequence[Sample], anonymous: Growth, path: Path, warm_up: float = 0.25
) -> None:
    """Writes the picture.

    Args:
        samples: of the node, in order.
        anonymous: the growth of its anonymous memory per frame.
        path: a .png.
        warm_up: share of the samples that the growth leaves out; shown grey.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    minutes = np.array([sample.seconds for sample in samples]) / 60
    settled = minutes[int(len(samples) * warm_up)]

    def of(name: str) -> np.ndarray:
        return np.array([getattr(sample, name) for sample in samples], np.float64)

    figure = Figure(figsize=(9, 9), layout="constrained")
    FigureCanvasAgg(figure)
    memory, change, held, latency, rate = figure.subplots(
        5, 1, sharex=True, height_ratios=[2, 3, 1.5, 2, 1.5]
    )
    for name in ("resident", "proportional", "anonymous"):
        memory.plot(minutes, of(name) / 2**20, label=name, linewidth=1)
    memory.set(ylabel="memory, MiB")
    memory.legend(fontsize=8, ncols=3, loc="lower right")

    count, own = of("count"), of("anonymous")
    after = slice(int(len(samples) * warm_up), None)
    middle = count[after].mean(), own[after].mean()
    change.plot(minutes, (own - middle[1]) / 2**20, linewidth=0.8, color="tab:green")
    for growth, style in ((anonymous.rate, "-"), (anonymous.low, "--"), (anonymous.high, "--")):
        line = growth * (count[after] - middle[0]) / 2**20
        change.plot(minutes[after], line, style, linewidth=1, color="black")
    change.set(ylabel="anonymous memory,\nMiB from its mean")
    change.set_title(
        f"{anonymous.rate:+.0f} bytes per frame, 95 % interval {anonymous.low:+.0f} to "
        f"{anonymous.high:+.0f} (dashed)",
        fontsize=10,
    )
    held.plot(minutes, of("threads"), label="threads", linewidth=1)
    held.plot(minutes, of("files"), label="file descriptors", linewidth=1)
    held.set(ylabel="number", ylim=(0, 1.3 * max(of("threads").max(), of("files").max())))
    held.legend(fontsize=8, ncols=2, loc="lower right")
    latency.plot(minutes, of("latency"), ".", markersize=2, color="tab:red")
    latency.set(ylabel="latency of depth,\nmedian, ms")
    frames = np.diff(count) / np.diff(minutes) / 60
    rate.plot(minutes[1:], frames, ".", markersize=2, color="tab:green")
    rate.set(ylabel="depth images\nper second", xlabel="minutes")
    for axes in (latency, rate):
        axes.set_ylim(bottom=0)
    for axes in (memory, change, held, latency, rate):
        axes.axvspan(minutes[0], settled, color="0.9", zorder=0)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)
