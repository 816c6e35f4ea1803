# SPDX-License-Identifier: Apache-2.0
"""What UniDepth V1 and V2 do alike: colours, and results kept for each camera."""

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch

from sharpdepth_ros.models.unidepth.cache import CachingModule

T = TypeVar("T")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UniDepth(CachingModule):
    """Base of the two architectures."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def standardise(self, colours: torch.Tensor) -> torch.Tensor:
        """Colours [B, 3, H, W] in 0..255 to zero mean and unit deviation on ImageNet (float32)."""
        mean, std = self.computed_once(
            ("colours", colours.device),
            lambda: (
                torch.tensor(IMAGENET_MEAN, device=colours.device)[:, None, None] * 255,
                torch.tensor(IMAGENET_STD, device=colours.device)[:, None, None] * 255,
            ),
        )
        return (colours - mean) / std

    def computed_once_per_camera(
        self, key: tuple[Hashable, ...], intrinsics: torch.Tensor, compute: Callable[..., T]
    ) -> T:
        """Return `compute(intrinsics)`, from the store where that needs no wait for the device.

        A batch from one camera is computed for a batch of one; the result then broadcasts.

        Args:
            key: everything besides the camera that the result depends on.
            intrinsics: [B, 3, 3]; looked up by value when on the CPU, else computed every time.
            compute: function of the intrinsics [B or 1, 3, 3] on the model's device.
        """
        if intrinsics.device.type != "cpu" or torch.compiler.is_compiling():
            return compute(intrinsics.to(self.device, non_blocking=True))
        cameras = {tuple(values) for values in intrinsics.flatten(1).tolist()}
        if len(cameras) > 1:
            return compute(intrinsics.to(self.device, non_blocking=True))
        return self.computed_once(
            (*key, cameras.pop()),
            lambda: compute(intrinsics[:1].to(self.device, non_blocking=True)),
        )
