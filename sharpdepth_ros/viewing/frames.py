# SPDX-License-Identifier: Apache-2.0
"""What there is to see of one frame and of a run, whatever recorded it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.viewing.clouds import Cloud, cloud_of_depth

Source = TypeVar("Source")

METHODS = {
    "sharpdepth": "SharpDepth",
    "aligned": "generator, aligned",
    "metric": "metric model alone",
}
"""Mode of the pipeline -> what its depth is called."""

MOST_PIXELS = 1280 * 1280
"""Pixels of a map, and points of a cloud, that are enough for every picture that is drawn."""


@dataclass(frozen=True)
class ViewFrame:
    """One frame; None is what its source does not have.

    Attributes:
        name: for people: a file's name, or the stamp.
        depth: float32 [H, W] metres; not finite or <= 0 is invalid.
        stamp: nanoseconds, when the camera took it.
        rgb: uint8 [H, W, 3].
        camera: the pinhole camera of image and depth.
        metric_depth: float32 [H, W] metres, f_D alone.
        discrepancy: float32 [H, W] in [0, 1].
        timings: milliseconds per stage.
        latency: milliseconds from the stamp to the arrival of the depth.
        aligned: whether the sharpened depth was used.
        points: the cloud as it was recorded.
        method: what made the depth, for people.
    """

    name: str
    depth: np.ndarray
    stamp: int | None = None
    rgb: np.ndarray | None = None
    camera: CameraModel | None = None
    metric_depth: np.ndarray | None = None
    discrepancy: np.ndarray | None = None
    timings: dict[str, float] = field(default_factory=dict)
    latency: float | None = None
    aligned: bool | None = None
    points: Cloud | None = None
    method: str = "SharpDepth"

    @cached_property
    def colours(self) -> np.ndarray:
        """Colours for the pixels: the image, or where there is none of its size, the depth's."""
        if self.rgb is not None and self.rgb.shape[:2] == self.depth.shape:
            return self.rgb
        return colorize_depth(self.depth)

    def cloud(self, stride: int = 1) -> Cloud | None:
        """The recorded cloud, else the depth's; None without a camera or a valid pixel.

        Args:
            stride: every stride-th row and column of the depth; a recorded cloud is given whole.
        """
        return self.points if self.points is not None else self._cloud_of(self.depth, stride)

    def thinned(self, most: int = MOST_PIXELS) -> ViewFrame:
        """The frame with as many pixels and points as a picture can show, or little more.

        Args:
            most: fewer than four times this number is left; a frame that has no more is returned
                as it is. Every n-th row and column is taken, so that no depth is averaged.
        """
        step = math.isqrt(max(1, self.depth.size // most))
        points = None if self.points is None else self.points.thinned(most)
        if step == 1:
            return self if points is self.points else replace(self, points=points)

        def every(values: np.ndarray | None) -> np.ndarray | None:
            same = values is not None and values.shape[:2] == self.depth.shape
            return np.ascontiguousarray(values[::step, ::step]) if same else values

        depth, camera = every(self.depth), self.camera
        if camera is not None:
            height, width = depth.shape
            # Row n of these is row n * step of the full image, whose optical centre is a pixel.
            matrix = camera.matrix / [[step], [step], [1]]
            camera = CameraModel.from_matrix(matrix, width, height)
        return replace(
            self,
            depth=depth,
            rgb=every(self.rgb),
            camera=camera,
            metric_depth=every(self.metric_depth),
            discrepancy=every(self.discrepancy),
            points=points,
        )

    def metric_cloud(self) -> Cloud | None:
        """The cloud of f_D alone; None where that was not recorded."""
        return None if self.metric_depth is None else self._cloud_of(self.metric_depth)

    def _cloud_of(self, depth: np.ndarray, stride: int = 1) -> Cloud | None:
        sample = depth[::stride, ::stride]
        if self.camera is None or not (np.isfinite(sample) & (sample > 0)).any():
            return None
        return cloud_of_depth(depth, self.camera, self.colours, stride)


@dataclass
class Run:
    """Frames of one origin, with what is known about how they were made.

    Attributes:
        title: what people call it.
        frames: in order; reading them may take the time of computing them.
        settings: name -> value: source, models, mode, resolution, ...
        problems: what could not be read or done; complete when all frames have been read.
        remarks: what was done, but may surprise; likewise.
    """

    title: str
    frames: Iterable[ViewFrame]
    settings: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """All that people should know: problems first."""
        return self.problems + self.remarks

    def limit(self, count: int | None, first: int = 0) -> None:
        """Take only so many frames from the first on, and close their source then; None: all."""
        stop = None if count is None else first + count
        self.frames = _part(iter(self.frames), first, stop)


def chosen_of(sources: Sequence[Source], only: int | None, what: str) -> Sequence[Source]:
    """All sources of frames, or the one of a number, so that no other is read or computed.

    Raises:
        ValueError: there is none of that number.
    """
    if only is None:
        return sources
    if only >= len(sources):
        there = f"0 to {len(sources) - 1}" if len(sources) > 1 else "frame 0 alone"
        raise ValueError(
            f"there is no frame {only}: {len(sources)} {what}{'s' * (len(sources) > 1)}, {there}"
        )
    return sources[only : only + 1]


def _part(frames: Iterator[ViewFrame], first: int, stop: int | None) -> Iterator[ViewFrame]:
    try:
        yield from islice(frames, first, stop)
    finally:
        if hasattr(frames, "close"):  # a generator, which may have something left to say
            frames.close()
