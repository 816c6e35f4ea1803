# SPDX-License-Identifier: Apache-2.0
"""Draws a soak: memory, threads and files, latency and rate over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..growth import Growth
from .sampling import Sample


def draw_soak(
    samples: Sequence[Sample], private: Growth, path: Path, warm_up: float = 0.25
) -> None:
    """Writes the picture.

    Args:
        samples: of the node, in order.
        private: the growth of its private memory per frame.
        path: a .png.
        warm_up: share of the samples that the growth leaves out; shown grey.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    minutes = np.array([sample.seconds for sample in samples]) / 60
    settled = minutes[int(len(samples) * warm_up)]

    def of(name: str) -> np.ndarray:
        return np.array([getattr(sample, name) for sample in samples], np.float64)

    figure = Figure(figsize=(9, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    memory, held, latency, rate = figure.subplots(4, 1, sharex=True, height_ratios=[3, 1.5, 2, 1.5])
    for name in ("resident", "proportional", "private"):
        memory.plot(minutes, of(name) / 2**20, label=name, linewidth=1)
    memory.set(ylabel="memory, MiB")
    memory.set_title(
        f"private memory {private.rate:+.0f} bytes per frame, 95 % interval {private.low:+.0f} to "
        f"{private.high:+.0f}",
        fontsize=10,
    )
    held.plot(minutes, of("threads"), label="threads", linewidth=1)
    held.plot(minutes, of("files"), label="file descriptors", linewidth=1)
    held.set(ylabel="number")
    latency.plot(minutes, of("latency"), ".", markersize=2, color="tab:red")
    latency.set(ylabel="latency of depth,\nmedian, ms")
    frames = np.diff(of("count")) / np.diff(minutes) / 60
    rate.plot(minutes[1:], frames, ".", markersize=2, color="tab:green")
    rate.set(ylabel="depth images\nper second", xlabel="minutes")
    for axes in (held, latency, rate):
        axes.set_ylim(bottom=0)
    for axes in (memory, held, latency, rate):
        axes.axvspan(minutes[0], settled, color="0.9", zorder=0)
        axes.grid(alpha=0.3)
    for axes in (memory, held):
        axes.legend(fontsize=8, ncols=3)
    figure.savefig(path, dpi=90)
