# SPDX-License-Identifier: Apache-2.0
"""Times of the stages over a run: percentiles, and a plot as SVG that follows the page's theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

PERCENTILES = (50, 90, 99)
TOTAL, LATENCY = "sum of stages", "latency"

MOST_POINTS = 300
"""Points of a line; of more frames, the slowest of each group is drawn."""

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 74, 12, 14, 34


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds of each frame, by stage; NaN where a frame did not have the stage.

    Attributes:
        stages: stage -> float64 [frames], in the order of the pipeline.
        latency: float64 [frames], from stamp to arrival; None if it was not recorded.
    """

    stages: dict[str, np.ndarray]
    latency: np.ndarray | None

    @classmethod
    def of(
        cls, timings: Sequence[Mapping[str, float]], latencies: Sequence[float | None]
    ) -> StageTimes:
        """From what each frame says."""
        names = dict.fromkeys(name for frame in timings for name in frame)
        stages = {
            name: np.array([frame.get(name, math.nan) for frame in timings], np.float64)
            for name in names
        }
        latency = np.array([math.nan if x is None else x for x in latencies], np.float64)
        return cls(stages, latency if np.isfinite(latency).any() else None)

    @property
    def lines(self) -> dict[str, np.ndarray]:
        """Everything that is plotted and tabled, by name."""
        lines = dict(self.stages)
        if len(self.stages) > 1:
            lines[TOTAL] = np.nansum(list(self.stages.values()), axis=0)
        if self.latency is not None:
            lines[LATENCY] = self.latency
        return lines


def percentile_rows(times: StageTimes) -> list[tuple[str, list[float]]]:
    """For each line its percentiles and its largest value, milliseconds."""
    rows = []
    for name, values in times.lines.items():
        known = values[np.isfinite(values)]
        if known.size:
            rows.append((name, [*np.percentile(known, PERCENTILES).tolist(), float(known.max())]))
    return rows


def latency_svg(times: StageTimes) -> str:
    """Each stage over the frames, as an <svg> with colours of the classes stage-0, stage-1, ...

    An empty text where no frame has times.
    """
    lines = {name: values for name, values in times.lines.items() if np.isfinite(values).any()}
    if not lines:
        return ""
    count = max(len(values) for values in lines.values())
    highest = max(float(np.nanmax(values)) for values in lines.values())
    ticks = _ticks(highest)
    scale = (HEIGHT - TOP - BOTTOM) / ticks[-1]
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(_described(lines))}">'
    ]
    for tick in ticks:
        y = HEIGHT - BOTTOM - tick * scale
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"frame 1 to {count}, milliseconds</text>"
    )
    for i, (name, values) in enumerate(lines.items()):
        parts.append(_line(name, line_class(i, name), values, scale))
    return "".join([*parts, "</svg>"])


def line_class(index: int, name: str) -> str:
    """CSS class that colours a line and its entry in the table."""
    return "stage-total" if name in (TOTAL, LATENCY) else f"stage-{index % 8}"


def _line(name: str, css: str, values: np.ndarray, scale: float) -> str:
    places = np.arange(len(values), dtype=np.float64)
    if len(values) > MOST_POINTS:
        groups = np.array_split(np.arange(len(values)), MOST_POINTS)
        slowest = [g[np.argmax(np.where(np.isfinite(values[g]), values[g], -1))] for g in groups]
        places, values = places[slowest], values[slowest]
    across = (WIDTH - LEFT - RIGHT) / max(float(places[-1]), 1.0)
    known = np.isfinite(values)
    x = LEFT + places[known] * across if len(places) > 1 else np.array([(LEFT + WIDTH) / 2])
    y = HEIGHT - BOTTOM - values[known] * scale
    title = f"<title>{escape(name)}: median {np.median(values[known]):.1f} ms</title>"
    if len(x) == 1:
        return f'<circle class="{css}" cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="4">{title}</circle>'
    dashes = ' stroke-dasharray="5 3"' if name == LATENCY else ""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="{css}" points="{points}"{dashes}>{title}</polyline>'


def _ticks(highest: float) -> list[float]:
    """About five round numbers from 0 to at least `highest`."""
    rough = max(highest, 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)]


def _described(lines: Mapping[str, np.ndarray]) -> str:
    medians = ", ".join(f"{name} {np.nanmedian(v):.0f} ms" for name, v in lines.items())
    return f"Times over the frames. Medians: {medians}"
