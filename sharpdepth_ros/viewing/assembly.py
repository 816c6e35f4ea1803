# SPDX-License-Identifier: Apache-2.0
"""Puts messages of several topics together that have the same stamp, as they come in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.viewing.frames import ViewFrame

WAITING = 12
"""Stamps that may be incomplete at a time: a topic that lags by more frames is not waited for."""


@dataclass(frozen=True)
class DepthArrival:
    """A depth image, and what was known when it came.

    Attributes:
        depth: float32 [H, W] metres.
        camera: the last one seen.
        timings: milliseconds per stage, as last told.
        latency: milliseconds from the stamp to the arrival; None if that means nothing.
    """

    depth: np.ndarray
    camera: CameraModel | None
    timings: dict[str, float]
    latency: float | None


def frame_of_parts(stamp: int, parts: dict[str, Any]) -> ViewFrame:
    """The frame of what an `Assembler` gives out.

    Args:
        stamp: nanoseconds.
        parts: "depth" -> DepthArrival, and perhaps "image", "points", "discrepancy", "metric".
    """
    arrival: DepthArrival = parts["depth"]
    camera = arrival.camera
    if camera is not None and (camera.height, camera.width) != arrival.depth.shape:
        camera = None
    return ViewFrame(
        name=f"{stamp // 10**9}.{stamp % 10**9:09d}",
        depth=arrival.depth,
        stamp=stamp,
        rgb=parts.get("image"),
        camera=camera,
        metric_depth=parts.get("metric"),
        discrepancy=parts.get("discrepancy"),
        timings=arrival.timings,
        latency=arrival.latency,
        points=parts.get("points"),
    )


class Assembler:
    """Collects what belongs to one frame.

    Args:
        kinds: all that a frame may have; it is given out as soon as it has them.
        needed: what a frame is nothing without.
    """

    def __init__(self, kinds: Iterable[str], needed: str) -> None:
        self._kinds, self._needed = set(kinds), needed
        self._waiting: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self.found = 0
        """Frames that were given out."""
        self.left_out = 0
        """Stamps that never got what is needed."""
        self.incomplete = 0
        """Frames that were given out without all that they may have."""

    def add(self, kind: str, stamp: int, value: Any) -> list[tuple[int, dict[str, Any]]]:
        """Take a value in; the frames that are ready now, each with its stamp."""
        self._waiting.setdefault(stamp, {})[kind] = value
        if self._kinds <= self._waiting[stamp].keys():
            self.found += 1
            return [(stamp, self._waiting.pop(stamp))]
        ready = []
        while len(self._waiting) > WAITING:
            ready += self._give_up(*self._waiting.popitem(last=False))
        return ready

    def rest(self) -> list[tuple[int, dict[str, Any]]]:
        """The frames that wait still, when nothing more will come."""
        ready = []
        while self._waiting:
            ready += self._give_up(*self._waiting.popitem(last=False))
        return ready

    def _give_up(self, stamp: int, parts: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
        if self._needed not in parts:
            self.left_out += 1
            return []
        self.found += 1
        self.incomplete += 1
        return [(stamp, parts)]
