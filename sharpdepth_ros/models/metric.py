# SPDX-License-Identifier: Apache-2.0
"""What every metric depth model f_D looks like from outside: protocol, result, checked input."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch


@dataclass(frozen=True)
class MetricDepth:
    """One batch of metric depth.

    Attributes:
        depth: float32 [B, 1, H, W], metres along the optical axis; not finite or <= 0 is invalid.
        intrinsics: float32 [B, 3, 3], pixels, of the H x W image: the camera that was given, or
            the model's own estimate. None where the model needs no camera and estimates none.
        confidence: float32 [B, 1, H, W], what the model itself calls so, as upstream defines it
            (UniDepth V2's is an expected error: larger is less sure); None where it has none.
    """

    depth: torch.Tensor
    intrinsics: torch.Tensor | None = None
    confidence: torch.Tensor | None = None


@runtime_checkable
class MetricDepthModel(Protocol):
    """Anything that turns colour images, and the camera if it is known, into metres."""

    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W].
            intrinsics: [B, 3, 3] pixels for H x W, or None when the camera is unknown.
        """
        ...


def check_inputs(
    rgb: torch.Tensor, intrinsics: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Bring the arguments of `infer` to [B, 3, H, W] and float32 [B, 3, 3].

    Raises:
        ValueError: a shape or type is wrong, or the batch sizes differ.
    """
    if rgb.ndim == 3:
        rgb = rgb.unsqueeze(0)
    if rgb.ndim != 4 or rgb.shape[1] != 3 or rgb.dtype != torch.uint8 or 0 in rgb.shape:
        raise ValueError(
            f"rgb is {rgb.dtype} {list(rgb.shape)}, expected torch.uint8 [B, 3, H, W] or [3, H, W]"
        )
    if intrinsics is None:
        return rgb, None
    if intrinsics.ndim == 2:
        intrinsics = intrinsics.unsqueeze(0)
    if intrinsics.ndim != 3 or intrinsics.shape[1:] != (3, 3):
        raise ValueError(
            f"intrinsics have shape {list(intrinsics.shape)}, expected [B, 3, 3] or [3, 3]"
        )
    if len(intrinsics) not in (1, len(rgb)):
        raise ValueError(f"{len(intrinsics)} intrinsics for {len(rgb)} images")
    return rgb, intrinsics.to(torch.float32).expand(len(rgb), -1, -1)
