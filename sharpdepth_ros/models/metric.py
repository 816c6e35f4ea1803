# SPDX-License-Identifier: Apache-2.0
"""What every metric depth model f_D looks like from outside: a protocol and its result."""

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
