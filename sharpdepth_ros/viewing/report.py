# SPDX-License-Identifier: Apache-2.0
"""A report of a run in one HTML file: reads the frames once, and keeps the pictures of a few."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from statistics import median

from sharpdepth_ros.io.atomic_files import write_text
from sharpdepth_ros.viewing.frames import Run, ViewFrame
from sharpdepth_ros.viewing.latencies import StageTimes
from sharpdepth_ros.viewing.machine import describe_machine
from sharpdepth_ros.viewing.report_page import render_page
from sharpdepth_ros.viewing.report_pictures import FramePictures, draw_frame


def write_report(run: Run, path: Path, pictures: int) -> int:
    """Read a run to its end and write its report.

    Args:
        run: what to report.
        path: of the HTML file, which appears complete or not at all.
        pictures: frames to show, spread over the run.

    Returns:
        Frames of the run; with none, nothing is written.
    """
    if pictures < 1:
        raise ValueError(f"{pictures} pictures: give 1 or more")
    chosen = _Spread(pictures)
    timings, latencies, stamps, aligned = [], [], [], []
    for frame in run.frames:
        chosen.offer(frame)
        timings.append(frame.timings)
        latencies.append(frame.latency)
        stamps += [frame.stamp] if frame.stamp is not None else []
        aligned += [frame.aligned] if frame.aligned is not None else []
    if not timings:
        return 0
    times = StageTimes.of(timings, latencies)
    page = render_page(
        run.title,
        _figures(len(timings), times, stamps, aligned, len(run.notes)),
        run.notes,
        chosen.frames(),
        times,
        run.settings,
        describe_machine(),
        datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
    )
    write_text(path, page)
    return len(timings)


def _figures(
    count: int, times: StageTimes, stamps: list[int], aligned: list[bool], problems: int
) -> dict[str, str]:
    """The few numbers at the top."""
    figures = {"frames": str(count)}
    seconds = (max(stamps) - min(stamps)) * 1e-9 if len(stamps) > 1 else 0.0
    if seconds > 0:
        figures["recorded"] = f"{seconds:.1f} s"
        figures["rate"] = f"{(len(stamps) - 1) / seconds:.1f} Hz"
    lines = times.lines
    for name in ("sum of stages", "latency"):
        if name in lines:
            known = [float(x) for x in lines[name] if x == x]
            figures[f"{name}, median"] = f"{median(known):.0f} ms"
    if aligned:
        figures["aligned"] = f"{sum(aligned)} of {len(aligned)}"
    figures["problems"] = str(problems)
    return figures


class _Spread:
    """Keeps the pictures of frames spread evenly over a stream whose length is not known.

    Pictures, not frames: those of a large camera take a gigabyte each.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._kept: list[FramePictures] = []
        self._seen, self._step = 0, 1

    def offer(self, frame: ViewFrame) -> None:
        if self._seen % self._step == 0:
            self._kept.append(draw_frame(frame))
            if len(self._kept) > 2 * self._wanted:
                self._kept = self._kept[::2]
                self._step *= 2
        self._seen += 1

    def frames(self) -> list[FramePictures]:
        count = len(self._kept)
        if count <= self._wanted:
            return self._kept
        if self._wanted == 1:
            return [self._kept[count // 2]]
        places = [round(i * (count - 1) / (self._wanted - 1)) for i in range(self._wanted)]
        return [self._kept[place] for place in places]
