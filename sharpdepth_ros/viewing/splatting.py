# SPDX-License-Identifier: Apache-2.0
"""Draws point clouds without a GPU or OpenGL: z-buffered squares, sized by distance, smoothed.

A renderer of its own because the libraries that draw clouds need OpenGL, EGL or a display, which a
robot, a container and a CI machine lack; a cloud needs a projection and a z-buffer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.viewing.clouds import Cloud

SUPERSAMPLING = 2
"""Pixels drawn per pixel shown, along each side."""

OVERLAP = 1.4
"""Splats are this much larger than the distance between points, so that a surface that is seen a
little from the side has no holes."""

BACKGROUND = (30, 33, 38)
"""Dark: holes stay quiet, and a point that flies shows."""

LARGEST = 24
"""Side of the largest splat in drawn pixels: nothing nearer than that hides the whole view."""

NEAREST = 0.02
"""Metres before the eye within which points are left out."""

SHADING = 0.6
"""Strength of the darkening beside nearer points (eye-dome lighting: Boucheny 2009), which lets a
viewer see depth edges and single points where colours are alike."""

_EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Eye:
    """From where a cloud is seen.

    Attributes:
        camera: the pinhole camera of the picture.
        pose: float64 [4, 4], the camera in the cloud's frame; its axes are optical.
    """

    camera: CameraModel
    pose: np.ndarray


def draw_cloud(cloud: Cloud, eye: Eye, background: tuple[int, int, int] = BACKGROUND) -> np.ndarray:
    """Picture of a cloud: what is nearer hides what is behind; uint8 [H, W, 3] RGB.

    Args:
        cloud: what is seen.
        eye: from where, and the picture's size.
        background: colour where there is no point.
    """
    scale = SUPERSAMPLING
    camera = eye.camera.resized(eye.camera.width * scale, eye.camera.height * scale)
    rotation = eye.pose[:3, :3].astype(np.float32)
    local = (cloud.points - eye.pose[:3, 3].astype(np.float32)) @ rotation
    depth = local[:, 2]
    ahead = depth > NEAREST
    local, depth, colours = local[ahead], depth[ahead], cloud.colours[ahead]
    side = cloud.radii()[ahead] * (2 * OVERLAP * camera.fx) / depth
    side = np.clip(np.ceil(side), 1, LARGEST).astype(np.int32)
    column = local[:, 0] * (camera.fx / depth) + (camera.cx + 0.5) - 0.5 * side
    row = local[:, 1] * (camera.fy / depth) + (camera.cy + 0.5) - 0.5 * side
    nearest = _z_buffer(column, row, side, depth, colours, camera.width, camera.height)
    return _resolve(nearest, background)


def _z_buffer(
    column: np.ndarray,
    row: np.ndarray,
    side: np.ndarray,
    depth: np.ndarray,
    colours: np.ndarray,
    width: int,
    height: int,
) -> np.ndarray:
    """The nearest splat at each pixel, int64 [height, width]: depth's bits above 24 of colour.

    Positive floats are ordered as their bits are, so that the smallest number is the nearest
    splat, and brings its colour along.
    """
    # A margin takes the splats that reach across the border.
    stride = width + 2 * LARGEST
    inside = (column > -LARGEST) & (column < width) & (row > -LARGEST) & (row < height)
    column, row, side = column[inside], row[inside], side[inside]
    colour = colours[inside].astype(np.int64)
    key = np.ascontiguousarray(depth[inside], np.float32).view(np.int32).astype(np.int64) << 24
    key |= (colour[:, 0] << 16) | (colour[:, 1] << 8) | colour[:, 2]
    place = (np.rint(row).astype(np.int64) + LARGEST) * stride + np.rint(column).astype(np.int64)
    place += LARGEST
    # Largest first: the splats that have a pixel (x, y) of their own are then the first so many.
    order = np.argsort(-side, kind="stable")
    place, key = torch.from_numpy(place[order]), torch.from_numpy(key[order])
    at_least = len(side) - np.searchsorted(np.sort(side), np.arange(LARGEST + 1))
    buffer = torch.full((stride * (height + 2 * LARGEST),), _EMPTY)
    for y in range(int(side.max(initial=0))):
        for x in range(int(side.max())):
            count = int(at_least[max(x, y) + 1])
            buffer.scatter_reduce_(0, place[:count] + (y * stride + x), key[:count], "amin")
    return buffer.view(-1, stride)[LARGEST : LARGEST + height, LARGEST:][:, :width].numpy()


def _resolve(nearest: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """Colours of a z-buffer, shaded at depth edges and averaged to the picture's size."""
    empty = nearest == _EMPTY
    picture = np.empty((*nearest.shape, 3), np.uint8)
    for channel, shift in enumerate((16, 8, 0)):
        picture[..., channel] = (nearest >> shift) & 255
    depth = (nearest >> 24).astype(np.int32).view(np.float32)
    picture = (picture * _shading(np.where(empty, np.inf, depth))[..., None]).astype(np.uint8)
    picture[empty] = background
    size = (nearest.shape[1] // SUPERSAMPLING, nearest.shape[0] // SUPERSAMPLING)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _shading(depth: np.ndarray) -> np.ndarray:
    """Brightness 0 to 1 of each pixel: lower where neighbours are nearer; float32 [H, W]."""
    logarithm = np.log(np.where(np.isfinite(depth), depth, 1e6), dtype=np.float32)
    nearest = cv2.erode(logarithm, np.ones((3, 3), np.uint8))
    return np.exp(-SHADING * np.minimum(logarithm - nearest, 1.0)).astype(np.float32)
