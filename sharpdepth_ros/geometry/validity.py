# SPDX-License-Identifier: Apache-2.0
"""Makes depth NaN where it is not to be trusted: out of range, uncertain, or a flying point."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.edge_filter import flying_points


def only_valid(
    depth: torch.Tensor,
    camera: CameraModel,
    min_depth: float = 0.0,
    max_depth: float = float("inf"),
    discrepancy: torch.Tensor | None = None,
    max_discrepancy: float = 1.0,
    min_angle: float = 0.0,
) -> torch.Tensor:
    """A copy of the depth with NaN where it is not valid.

    Args:
        depth: float32 [H, W] in metres, on any device.
        camera: the pinhole camera of the depth image.
        min_depth: least valid depth in metres; depth is above zero in any case.
        max_depth: greatest valid depth in metres.
        discrepancy: float32 [H, W] on the same device; None: nobody knows, none is too great.
        max_discrepancy: greatest discrepancy of a valid pixel; 1 or more: any.
        min_angle: smallest angle between a surface and the viewing ray, in degrees (see
            edge_filter); 0: any.
    """
    least = max(min_depth, torch.finfo(torch.float32).smallest_normal)
    if max_discrepancy >= 1:
        discrepancy = None
    check = _on_cpu if depth.device.type == "cpu" else _on_device
    flying = flying_points(depth, camera, min_angle) if min_angle > 0 else None
    return check(depth, least, max_depth, discrepancy, max_discrepancy, flying)


# Comparisons with NaN are false: what is not a number is not valid.


def _on_device(
    depth: torch.Tensor,
    least: float,
    greatest: float,
    discrepancy: torch.Tensor | None,
    max_discrepancy: float,
    flying: torch.Tensor | None,
) -> torch.Tensor:
    valid = (depth >= least) & (depth <= greatest)
    if discrepancy is not None:
        valid &= discrepancy <= max_discrepancy
    if flying is not None:
        valid &= ~flying
    return depth.where(valid, torch.nan)


def _on_cpu(
    depth: torch.Tensor,
    least: float,
    greatest: float,
    discrepancy: torch.Tensor | None,
    max_discrepancy: float,
    flying: torch.Tensor | None,
) -> torch.Tensor:
    """The same by OpenCV: fewer passes and images in between, and no branch in any of them."""
    valid = cv2.inRange(depth.numpy(), least, greatest)
    if discrepancy is not None:
        certain = cv2.compare(discrepancy.numpy(), max_discrepancy, cv2.CMP_LE)
        cv2.bitwise_and(valid, certain, dst=valid)
    if flying is not None:
        valid[flying.numpy()] = 0
    checked = np.full(depth.shape, np.nan, np.float32)
    cv2.copyTo(depth.numpy(), valid, checked)
    return torch.from_numpy(checked)
