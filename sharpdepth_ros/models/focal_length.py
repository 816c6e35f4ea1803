# SPDX-License-Identifier: Apache-2.0
"""Reads the focal length that metric models scale their depth by from the camera's intrinsics."""

import torch


def horizontal_focal_lengths(intrinsics: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The cameras' fx in pixels.

    Args:
        intrinsics: [B, 3, 3].
        device: where the result goes.

    Returns:
        float32 [B, 1, 1, 1], to multiply depth maps with.

    Raises:
        ValueError: an fx is not a positive number; the message has the values.
    """
    focal = intrinsics[:, 0, 0].float()
    if not ((focal > 0) & focal.isfinite()).all():
        raise ValueError(
            f"intrinsics have fx {focal.tolist()}, expected positive pixels: the camera is not "
            "calibrated"
        )
    return focal.to(device, non_blocking=True).view(-1, 1, 1, 1)
