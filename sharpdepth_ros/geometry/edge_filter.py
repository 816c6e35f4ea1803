# SPDX-License-Identifier: Apache-2.0
"""Finds flying points: depth between two surfaces that belongs to neither.

A surface with depth z(u, v) behind a pinhole camera has the normal
    N = (fx z_u, fy z_v, -(z + (u - cx) z_u + (v - cy) z_v)),
and its product with the viewing ray r = ((u - cx) / fx, (v - cy) / fy, 1) is -z. The angle a
between surface and ray, 90 degrees minus the angle of incidence, is therefore
    sin a = z / (|N| |r|).
At a flying point that angle is near zero. The slopes z_u and z_v are the smaller of the differences
to the two neighbours, and zero where these have opposite signs (the minmod limiter): a pixel
whose depth lies between its neighbours' counts as steep only if it is steep on both sides. The last
pixel of the near surface and the first of the far one are flat on one side, so a sharp edge loses
nothing, and a thin pole, nearer than both its neighbours, stays. The slope across the image's
border is zero, and pixels beside an invalid one stay.

On a CPU the formula is worked out only where it can come out true. With s = |(fx z_u, fy z_v)| / z
and q = |((u - cx) / fx, (v - cy) / fy)| it asks for
    s^2 + (1 + q s)^2 > 1 / ((1 + q^2) sin^2 a),  so for  s > (cot a - q) / (1 + q^2),
which is smallest in the image's corner. Steep on both sides means that the depth of the neighbours
spans as much, and their least and greatest are two passes over the image.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from sharpdepth_ros.geometry.camera import CameraModel

#: What is worked on at once, so that what is between two steps stays in the cache: rows for the
#: whole formula, rows for the search of candidates, and candidates.
_BAND, _SEARCH_BAND, _CANDIDATES = 24, 72, 8192
_NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
#: Share of candidates above which picking them out costs more than it saves.
_MANY = 0.1


def flying_points(depth: torch.Tensor, camera: CameraModel, min_angle: float) -> torch.Tensor:
    """Pixels whose surface is seen at too small an angle.

    Args:
        depth: float32 [H, W] in metres; NaN where invalid.
        camera: the pinhole camera of the depth image.
        min_angle: smallest angle between surface and viewing ray that is kept, in degrees.

    Returns:
        bool [H, W] on the depth's device; False where the depth is invalid.
    """
    x, y = (torch.from_numpy(slopes).to(depth.device) for slopes in camera.ray_slopes())
    limit = 1 / math.sin(math.radians(min_angle)) ** 2
    if depth.device.type != "cpu":
        return _in_all_pixels(depth, camera, x, y, limit, len(depth))
    candidates = _candidates(depth.numpy(), camera, x, y, limit)
    if candidates is None:
        return _in_all_pixels(depth, camera, x, y, limit, _BAND)
    flying = np.zeros(depth.shape, bool)
    for start in range(0, len(candidates), _CANDIDATES):
        pixels = candidates[start : start + _CANDIDATES]
        flying.ravel()[pixels] = _in_these_pixels(depth.numpy(), pixels, camera, x, y, limit)
    return torch.from_numpy(flying)


def _candidates(
    depth: np.ndarray, camera: CameraModel, x: torch.Tensor, y: torch.Tensor, limit: float
) -> np.ndarray | None:
    """Indices [N] into the flat image of the pixels that can be flying; None: too many can."""
    corner = math.hypot(x.abs().max(), y.abs().max())
    least = (math.sqrt(limit - 1) - corner) / (1 + corner**2)
    # One of z_u and z_v is at least this share of z, and the neighbours span it on both sides. A
    # thousandth less, for what float32 rounds.
    span = 0.999 * 2 * least / math.sqrt(2) / max(camera.fx, camera.fy)
    if span <= 0:
        return None
    height = len(depth)
    candidates = np.empty(depth.shape, bool)
    for start in range(0, height, _SEARCH_BAND):
        end = min(start + _SEARCH_BAND, height)
        first = max(start - 1, 0)
        window = depth[first : min(end + 1, height)]
        inner = slice(start - first, end - first)
        far = cv2.dilate(window, _NEIGHBOURS)[inner]
        near = cv2.erode(window, _NEIGHBOURS)[inner]
        cv2.subtract(far, near, dst=far)  # NumPy would warn of what NaN has become
        np.multiply(depth[start:end], np.float32(span), out=near)
        np.greater_equal(far, near, out=candidates[start:end])
    found = np.flatnonzero(candidates)
    if found.size > _MANY * candidates.size:
        return None
    return found


def _in_these_pixels(
    depth: np.ndarray,
    pixels: np.ndarray,
    camera: CameraModel,
    x: torch.Tensor,
    y: torch.Tensor,
    limit: float,
) -> torch.Tensor:
    height, width = depth.shape
    rows = pixels // width
    columns = pixels - rows * width

    def at(indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(depth.ravel()[indices])

    z = at(pixels)
    before, after = at(pixels - (columns > 0)), at(pixels + (columns < width - 1))
    above, below = at(pixels - width * (rows > 0)), at(pixels + width * (rows < height - 1))
    return _is_flying(
        z,
        (z - before, after - z),
        (z - above, below - z),
        camera,
        x[torch.from_numpy(columns)],
        y[torch.from_numpy(rows)],
        limit,
    )


def _in_all_pixels(
    depth: torch.Tensor,
    camera: CameraModel,
    x: torch.Tensor,
    y: torch.Tensor,
    limit: float,
    band: int,
) -> torch.Tensor:
    padded = torch.nn.functional.pad(depth[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    flying = torch.empty_like(depth, dtype=torch.bool)
    for start in range(0, len(depth), band):
        rows = slice(start, start + band)
        z = depth[rows]
        window = padded[start : start + len(z) + 2]
        across, down = window[1:-1].diff(dim=1), window[:, 1:-1].diff(dim=0)
        flying[rows] = _is_flying(
            z,
            (across[:, :-1], across[:, 1:]),
            (down[:-1], down[1:]),
            camera,
            x,
            y[rows, None],
            limit,
        )
    return flying


def _is_flying(
    z: torch.Tensor,
    across: tuple[torch.Tensor, torch.Tensor],
    down: tuple[torch.Tensor, torch.Tensor],
    camera: CameraModel,
    x: torch.Tensor,
    y: torch.Tensor,
    limit: float,
) -> torch.Tensor:
    """The formula: depth, its differences to the pixels before and after, and the ray's slopes."""
    # In units of the depth: fx z_u / z and fy z_v / z; then N / z and r have no unit left.
    slope_u = _minmod(*across).mul_(camera.fx).div_(z)
    slope_v = _minmod(*down).mul_(camera.fy).div_(z)
    along = (slope_u * x).addcmul_(slope_v, y).add_(1).square_()
    normal = along.addcmul_(slope_u, slope_u).addcmul_(slope_v, slope_v)
    return normal.mul_(x * x + (y * y + 1)) > limit


def _minmod(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The smaller of both in size where their signs agree, else 0; NaN where one is NaN."""
    rising = torch.minimum(before, after).clamp_(min=0)
    return rising.add_(torch.maximum(before, after).clamp_(max=0))
