# SPDX-License-Identifier: Apache-2.0
"""A frame on its way: what comes in, what is wanted of it, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from std_msgs.msg import Header


class BadInput(ValueError):
    """A frame that cannot be used, for a reason the sender can put right.

    Attributes:
        cause: the name under which it is counted.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Frame:
    """An image and its CameraInfo as received.

    Attributes:
        received: time.monotonic() when the image arrived, seconds.
    """

    image: Image | CompressedImage
    info: CameraInfo
    received: float


@dataclass(frozen=True)
class Demand:
    """What somebody wants of the next frame: nothing else is computed."""

    depth: bool
    discrepancy: bool
    metric: bool

    def __bool__(self) -> bool:
        return self.depth or self.discrepancy or self.metric


EVERYTHING = Demand(depth=True, discrepancy=True, metric=True)


@dataclass(frozen=True)
class FrameResult:
    """One frame's results on the host.

    Attributes:
        frame: what came in.
        rgb: uint8 [H, W, 3], the rectified picture.
        camera: its pinhole camera.
        depth: float32 [H, W] metres, NaN where invalid; None if not wanted.
        discrepancy: float32 [H, W] in [0, 1]; None if not wanted or the mode has none.
        metric_depth: float32 [H, W] metres; None if not wanted.
        aligned: False if the depth is the metric model's because the fit was degenerate.
        timings: stage -> milliseconds.
    """

    frame: Frame
    rgb: np.ndarray
    camera: CameraModel
    depth: np.ndarray | None
    discrepancy: np.ndarray | None
    metric_depth: np.ndarray | None
    aligned: bool
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def header(self) -> Header:
        """The input image's header, which all outputs carry."""
        return self.frame.image.header
