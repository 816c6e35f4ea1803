# SPDX-License-Identifier: Apache-2.0
"""The pictures of a frame in the HTML report, as text that stands in the page itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from sharpdepth_ros.io.colormap import colorize_depth, colorize_discrepancy, near_far
from sharpdepth_ros.viewing.frames import ViewFrame
from sharpdepth_ros.viewing.turntable import View, sheet

WIDEST, TALLEST = 640, 1280
"""Pixels of a picture's width and height, in the page."""

QUALITY = 85
VIEW = View(400, 300)
YAWS = (-28.0, 0.0, 28.0)
SIDES = ("from the left", "from the front", "from the right")


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        caption: below it.
        alt: what it shows, for those who do not see it.
        source: a data URI.
        width: pixels.
        height: pixels.
    """

    caption: str
    alt: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class FramePictures:
    """A frame's pictures.

    Attributes:
        name: of the frame.
        facts: what is to say about it, in a line.
        maps: image, metric alone, SharpDepth and discrepancy, of those that there are.
        clouds: views from the left, the front and the right, of metric alone and SharpDepth, of
            those that there are.
    """

    name: str
    facts: str
    maps: list[Picture]
    clouds: dict[str, list[Picture]]


def draw_frame(frame: ViewFrame) -> FramePictures:
    """All pictures of a frame; depth maps share their range of colours, clouds their views."""
    height, width = frame.depth.shape
    frame = frame.thinned()
    valid = np.isfinite(frame.depth) & (frame.depth > 0)
    near, far = near_far(frame.depth[valid])
    metres = "no valid depth" if near is None else f"{near:.2f} m bright, {far:.2f} m dark"
    maps = []
    if frame.rgb is not None:
        maps.append(_picture("image", f"The camera's image of {frame.name}", frame.rgb))
    if frame.metric_depth is not None:
        shown = colorize_depth(frame.metric_depth, near, far)
        alt = f"Depth of {frame.name} by the metric model alone, {metres}"
        maps.append(_picture("metric model alone", alt, shown))
    shown = colorize_depth(frame.depth, near, far)
    maps.append(_picture(frame.method, f"Depth of {frame.name}, {frame.method}, {metres}", shown))
    if frame.discrepancy is not None:
        share = float((frame.discrepancy > 0.5).mean())
        alt = f"Discrepancy of {frame.name}: above 0.5 at {share:.0%} of the pixels"
        maps.append(_picture("discrepancy", alt, colorize_discrepancy(frame.discrepancy)))
    share = float(valid.mean())
    facts = [f"{width} x {height} pixels", f"depth {metres}"]
    facts += [f"{share:.1%} of the pixels valid"] if share < 1 else []
    facts += [] if frame.aligned is not False else ["no sound alignment: the metric model's depth"]
    return FramePictures(frame.name, ", ".join(facts), maps, _clouds(frame))


def _clouds(frame: ViewFrame) -> dict[str, list[Picture]]:
    clouds = {"metric model alone": frame.metric_cloud(), frame.method: frame.cloud()}
    clouds = {label: cloud for label, cloud in clouds.items() if cloud is not None}
    if not clouds:
        return {}
    return {
        label: [
            _picture(side, f"Cloud of {frame.name}, {label}, {side}", picture)
            for side, picture in zip(SIDES, row, strict=True)
        ]
        for label, row in zip(clouds, sheet(clouds, VIEW, YAWS), strict=True)
    }


def _picture(caption: str, alt: str, rgb: np.ndarray) -> Picture:
    height, width = rgb.shape[:2]
    scale = min(WIDEST / width, TALLEST / height)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    source = "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
    return Picture(caption, alt, source, rgb.shape[1], rgb.shape[0])
