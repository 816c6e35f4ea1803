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
"""

from __future__ import annotations

import math

import torch

from sharpdepth_ros.geometry.camera import CameraModel

_BAND = 24


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
    # On a CPU a band of rows fits the cache, which makes this four times faster.
    band = _BAND if depth.device.type == "cpu" else len(depth)
    padded = torch.nn.functional.pad(depth[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    flying = torch.empty_like(depth, dtype=torch.bool)
    for start in range(0, len(depth), band):
        rows = slice(start, start + band)
        z = depth[rows]
        window = padded[start : start + len(z) + 2]
        across, down = window[1:-1].diff(dim=1), window[:, 1:-1].diff(dim=0)
        # In units of the depth: fx z_u / z and fy z_v / z; then N / z and r have no unit left.
        slope_u = _minmod(across[:, :-1], across[:, 1:]).mul_(camera.fx).div_(z)
        slope_v = _minmod(down[:-1], down[1:]).mul_(camera.fy).div_(z)
        along = (slope_u * x).addcmul_(slope_v, y[rows, None]).add_(1).square_()
        normal = along.addcmul_(slope_u, slope_u).addcmul_(slope_v, slope_v)
        ray = (x * x)[None, :] + (y * y + 1)[rows, None]
        torch.gt(normal.mul_(ray), limit, out=flying[rows])
    return flying


def _minmod(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The smaller of both in size where their signs agree, else 0; NaN where one is NaN."""
    rising = torch.minimum(before, after).clamp_(min=0)
    return rising.add_(torch.maximum(before, after).clamp_(max=0))
