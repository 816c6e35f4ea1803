# SPDX-License-Identifier: Apache-2.0
"""Point clouds turning before the eye, several side by side in the same view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import radians
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sharpdepth_ros.io.atomic_files import require_writable, written_whole
from sharpdepth_ros.io.colormap import colorize_depth, near_far
from sharpdepth_ros.io.depth_files import write_rgb
from sharpdepth_ros.viewing.animation import check_animation, write_animation
from sharpdepth_ros.viewing.clouds import Cloud
from sharpdepth_ros.viewing.orbit import Framing, full_turn, swing
from sharpdepth_ros.viewing.splatting import draw_cloud

ORBITS = ("swing", "full")
COLOURS = ("image", "depth")
GAP = 4
"""Pixels between pictures that are side by side."""

LABEL_COLOUR = (235, 235, 235)
GAP_COLOUR = (90, 94, 100)


@dataclass(frozen=True)
class View:
    """What a turntable shows.

    Attributes:
        width: of each cloud's picture, pixels.
        height: of each cloud's picture, pixels.
        orbit: "swing", an ellipse in front of the scene, or "full", all the way around.
        yaw: degrees to either side, of a swing.
        pitch: degrees up and down in a swing; degrees above the scene in a full turn.
        far: metres beyond which points are left out; None chooses from the scene.
        colours: "image", as the points are, or "depth", near bright and far dark.
    """

    width: int = 480
    height: int = 360
    orbit: str = "swing"
    yaw: float = 28.0
    pitch: float = 8.0
    far: float | None = None
    colours: str = "image"

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 16:
            raise ValueError(f"a picture of {self.width}x{self.height} pixels is too small: 16x16")
        if self.orbit not in ORBITS:
            raise ValueError(f"orbit {self.orbit!r} is not one of {', '.join(ORBITS)}")
        if self.colours not in COLOURS:
            raise ValueError(f"colours {self.colours!r} is not one of {', '.join(COLOURS)}")
        if not (abs(self.yaw) < 180 and abs(self.pitch) < 90):
            raise ValueError(
                f"yaw {self.yaw:g} and pitch {self.pitch:g} degrees: give less than 180 and 90"
            )
        if self.far is not None and not self.far > 0:
            raise ValueError(f"far is {self.far:g} m; give metres above 0")


def turn(clouds: dict[str, Cloud], view: View, frames: int) -> Iterator[np.ndarray]:
    """Pictures of one orbit, endless when repeated; uint8 [H, W, 3] RGB each.

    Args:
        clouds: label -> cloud. The last one says where the eye goes and what is left out, for all.
        view: size, orbit and colours.
        frames: pictures of the orbit.

    Raises:
        ValueError: no cloud, no frame, or no point within the view's depth.
    """
    if frames < 1:
        raise ValueError(f"frames is {frames}; give 1 or more")
    framing, shown = _prepare(clouds, view)
    if view.orbit == "full":
        path = full_turn(frames, radians(view.pitch))
    else:
        path = swing(frames, radians(view.yaw), radians(view.pitch))
    for yaw, pitch in path:
        eye = framing.eye(yaw, pitch)
        yield beside([labelled(draw_cloud(c, eye), label) for label, c in shown.items()])


def sheet(clouds: dict[str, Cloud], view: View, yaws: Sequence[float]) -> list[list[np.ndarray]]:
    """Stills: for each cloud, in order, its picture at each yaw (degrees); uint8 [H, W, 3] RGB."""
    framing, shown = _prepare(clouds, view)
    eyes = [framing.eye(radians(yaw), radians(view.pitch)) for yaw in yaws]
    return [[draw_cloud(cloud, eye) for eye in eyes] for cloud in shown.values()]


def check_turntable(
    path: Path, clouds: int, view: View, frames: int, fps: float, palette: int
) -> None:
    """Checks what `write_turntable` is to be given, before anything is read or computed.

    Args:
        path: see `write_turntable`.
        clouds: how many there are, at most.
        view: see `turn`.
        frames: see `write_turntable`.
        fps: see `write_turntable`.
        palette: see `write_turntable`.

    Raises:
        ValueError: a number or a suffix that cannot be, or nothing can be written there.
    """
    if path.suffix.lower() != ".png":
        width = clouds * view.width + (clouds - 1) * GAP
        check_animation(path, width, view.height, frames, fps, palette)
    require_writable(path)


def write_turntable(
    path: Path, clouds: dict[str, Cloud], view: View, frames: int, fps: float, palette: int = 256
) -> int:
    """Write a turning picture, or as .png each cloud from the left, the middle and the right.

    Args:
        path: .gif, .webp, .mp4 or .png.
        clouds: see `turn`.
        view: see `turn`.
        frames: pictures of the orbit.
        fps: pictures per second.
        palette: colours of a GIF.

    Returns:
        Frames that the written file has.
    """
    if path.suffix.lower() != ".png":
        return write_animation(path, list(turn(clouds, view, frames)), fps, palette)
    rows = sheet(clouds, view, (-view.yaw, 0.0, view.yaw))
    rows = [
        beside([labelled(row[0], label), *row[1:]]) for row, label in zip(rows, clouds, strict=True)
    ]
    with written_whole(path) as draft:
        write_rgb(draft, beside(rows, axis=0))
    return 1


def beside(pictures: Sequence[np.ndarray], axis: int = 1) -> np.ndarray:
    """Pictures of one size in a row (axis 1) or a column (axis 0), with a line between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    parts = [pictures[0]]
    for picture in pictures[1:]:
        parts += [np.full(shape, GAP_COLOUR, np.uint8), picture]
    return np.concatenate(parts, axis=axis)


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with a text in its upper left corner; an empty text changes nothing."""
    if not text:
        return picture
    image = Image.fromarray(picture)
    size = max(11, picture.shape[0] // 22)
    draw = ImageDraw.Draw(image, "RGBA")
    place = (size // 2, size // 2)
    left, top, right, bottom = draw.textbbox(place, text, font=_font(size))
    edge = size // 3
    draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), (20, 22, 26, 190))
    draw.text(place, text, LABEL_COLOUR, font=_font(size))
    return np.asarray(image)


def _prepare(clouds: dict[str, Cloud], view: View) -> tuple[Framing, dict[str, Cloud]]:
    """The framing that all clouds share, and the clouds as they are drawn."""
    if not clouds:
        raise ValueError("there is no cloud to show")
    reference = list(clouds.values())[-1]
    framing = Framing.of(reference, view.width, view.height, view.far)
    shown = {label: framing.keep(cloud) for label, cloud in clouds.items()}
    if view.colours == "depth":
        near, far = near_far(framing.keep(reference).points[:, 2])
        shown = {
            label: replace(c, colours=colorize_depth(c.points[None, :, 2], near, far)[0])
            for label, c in shown.items()
        }
    return framing, shown


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
