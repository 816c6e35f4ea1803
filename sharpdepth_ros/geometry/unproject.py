# SPDX-License-Identifier: Apache-2.0
"""Depth image to organised points: the same arithmetic as depth_image_proc's convertDepth."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

from sharpdepth_ros.geometry.camera import CameraModel

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def unproject(depth: Array, camera: CameraModel, stride: int = 1) -> Array:
    """The points a depth image shows, in the camera's optical frame (x right, y down, z ahead).

    Pixel (u, v) becomes ((u - cx) / fx, (v - cy) / fy, 1) * depth; an invalid depth becomes a point
    of three NaN.

    Args:
        depth: float [H, W] in metres; NaN or infinite where there is none.
        camera: the pinhole camera of that image.
        stride: take every stride-th row and column.

    Returns:
        Points in metres, float32 [ceil(H / stride), ceil(W / stride), 3], of the kind that came in.

    Raises:
        ValueError: the depth image is not of the camera's size.
    """
    if tuple(depth.shape) != (camera.height, camera.width):
        raise ValueError(
            f"depth is {list(depth.shape)}, the camera's images are "
            f"{[camera.height, camera.width]} (height, width)"
        )
    x, y = camera.ray_slopes(stride)
    if isinstance(depth, torch.Tensor):
        z = depth[::stride, ::stride].float()
        z = torch.where(torch.isfinite(z), z, torch.nan)
        x, y = torch.from_numpy(x).to(z.device), torch.from_numpy(y).to(z.device)
        return torch.stack((z * x[None, :], z * y[:, None], z), dim=-1)
    z = depth[::stride, ::stride].astype(np.float32)
    z[~np.isfinite(z)] = np.nan
    return np.stack((z * x[None, :], z * y[:, None], z), axis=-1)
