# SPDX-License-Identifier: Apache-2.0
"""Brings a camera image to the size that the networks work at, and their maps back to its size."""

from dataclasses import dataclass

import torch
from diffusers.pipelines.marigold.marigold_image_processing import MarigoldImageProcessor

# The resampling of the released code is diffusers' own; calling it is what keeps the numbers equal.
_resize = MarigoldImageProcessor.resize_antialias


@dataclass(frozen=True)
class ProcessingImage:
    """An image at processing size, and the way back.

    Attributes:
        rgb: float32 [B, 3, h, w] in [0, 1]; h and w are multiples of the VAE's stride.
        intrinsics: [B, 3, 3] pixels of the h x w image, or None.
        padding: rows added at the bottom and columns added at the right.
        size: (H, W) of the camera image.
    """

    rgb: torch.Tensor
    intrinsics: torch.Tensor | None
    padding: tuple[int, int]
    size: tuple[int, int]

    @property
    def rgb8(self) -> torch.Tensor:
        """uint8 [B, 3, h, w], truncated as the released code truncates."""
        return (self.rgb * 255).to(torch.uint8)

    def restore(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps [B, C, h, w] at the camera image's size [B, C, H, W]: unpadded, then bilinear."""
        maps = MarigoldImageProcessor.unpad_image(maps, self.padding)
        if maps.shape[-2:] == self.size:
            return maps
        return _resize(maps, self.size, mode="bilinear", is_aa=False)


def to_processing_size(
    rgb: torch.Tensor, intrinsics: torch.Tensor | None, resolution: int, stride: int
) -> ProcessingImage:
    """Resize so that the longest edge is `resolution`, then pad to multiples of the stride.

    Args:
        rgb: uint8 [B, 3, H, W].
        intrinsics: [B, 3, 3] pixels for H x W, or None.
        resolution: longest edge in pixels; 0 keeps the image's own size.
        stride: pixels per latent cell. Padding repeats the last row and column.

    Raises:
        ValueError: the resolution is negative, or leaves no pixels of the shorter edge.
    """
    if resolution < 0:
        raise ValueError(
            f"processing_resolution is {resolution}; give the longest edge in pixels, or 0 for "
            "the image's own size"
        )
    height, width = rgb.shape[-2:]
    image = rgb.to(torch.float32) / 255
    if resolution > 0:
        image = MarigoldImageProcessor.resize_to_max_edge(image, resolution, "bilinear")
    if intrinsics is not None:
        scale = intrinsics.new_tensor([image.shape[-1] / width, image.shape[-2] / height, 1.0])
        intrinsics = intrinsics * scale[:, None]
    image, padding = MarigoldImageProcessor.pad_image(image, stride)
    return ProcessingImage(image, intrinsics, padding, (height, width))
