# SPDX-License-Identifier: Apache-2.0
"""UniDepth V2 (2025): one image, and the camera if known, to metric depth and its confidence."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from sharpdepth_ros.models.metric import MetricDepth, check_inputs
from sharpdepth_ros.models.unidepth.base import UniDepth
from sharpdepth_ros.models.unidepth.config import (
    check_architecture,
    check_encoder,
    lookup,
    lookup_heads,
    lookup_levels,
    lookup_numbers,
    lookup_positive,
)
from sharpdepth_ros.models.unidepth.dinov2 import PATCH, VIT_SIZES, DinoVisionTransformer
from sharpdepth_ros.models.unidepth.layers import resize
from sharpdepth_ros.models.unidepth.rays import (
    fourier_features,
    pixel_rays,
    ray_angles,
    resample_rays,
    transform_intrinsics,
)
from sharpdepth_ros.models.unidepth.v2_decoder import Decoder

SHAPES = "data.augmentations.shape_constraints"


class UniDepthV2(UniDepth):
    """UniDepth V2 with a DINOv2 ViT-S, B or L encoder and the published state-dict keys.

    Args:
        config: the published JSON configuration.
        resolution_level: see the property of this name.

    Raises:
        ValueError: a key of the configuration is missing or wrong, or the level is out of range.
    """

    def __init__(self, config: Mapping[str, Any], resolution_level: float | None = None) -> None:
        super().__init__()
        check_architecture(config, "UniDepthV2")
        self.resolution_level = resolution_level
        self.pixel_bounds = (
            lookup_positive(config, f"{SHAPES}.pixels_min"),
            lookup_positive(config, f"{SHAPES}.pixels_max"),
        )
        self.ratio_bounds = lookup_numbers(config, f"{SHAPES}.ratio_bounds", 2, float)
        stacking = lookup(config, "model.pixel_encoder.stacking_fn", str)
        if stacking != "last":
            raise ValueError(
                f"UniDepth config: 'model.pixel_encoder.stacking_fn' is '{stacking}', only 'last' "
                "(as published) is supported"
            )
        size = VIT_SIZES[check_encoder(config, VIT_SIZES)]
        levels = lookup_levels(config, size.levels, size.depth)
        self.pixel_encoder = DinoVisionTransformer(
            size,
            outputs=levels,
            norm_outputs=lookup(config, "model.pixel_encoder.use_norm", bool, False),
            grid_offset=0.0,
        )
        self.hidden_dim = lookup_positive(config, "model.pixel_decoder.hidden_dim")
        self.pixel_decoder = Decoder(
            feature_dims=[size.dim] * len(levels),
            hidden_dim=self.hidden_dim,
            heads=lookup_heads(config, self.hidden_dim),
            expansion=lookup_positive(config, "model.expansion"),
            depths=lookup_numbers(config, "model.pixel_decoder.depths", 3, int),
            out_dim=lookup_positive(config, "model.pixel_decoder.out_dim"),
            kernel_size=lookup_positive(config, "model.pixel_decoder.kernel_size", 7),
        )

    @property
    def resolution_level(self) -> float | None:
        """Which tenth of the trained range of pixels the network works at, in [0, 10).

        None: images inside the range keep their size. 0 is the fastest, 9 the sharpest.
        """
        return self._resolution_level

    @resolution_level.setter
    def resolution_level(self, level: float | None) -> None:
        if level is not None and not 0 <= level < 10:
            raise ValueError(f"resolution_level is {level}, expected None or a number in [0, 10)")
        self._resolution_level = level

    @torch.no_grad()
    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W] or [3, H, W], any H and W.
            intrinsics: [B, 3, 3] or [3, 3] in pixels of H x W, the centre of the first pixel at
                0.5; None: estimated. The rays of a camera given on the CPU are kept between calls.

        Returns:
            Depth [B, 1, H, W], intrinsics [B, 3, 3] and confidence [B, 1, H, W]. The published
            "confidence" was trained to be exp(expected absolute error): larger is less sure.
        """
        rgb, intrinsics = check_inputs(rgb, intrinsics)
        frame = NetworkFrame.fit(tuple(rgb.shape[-2:]), self.ratio_bounds, self._pixel_range())
        image = frame.image(self.standardise(rgb.to(self.device)))
        camera = None if intrinsics is None else frame.to_network(intrinsics)
        depth, confidence, estimate = self(image.to(self.dtype), camera)
        if intrinsics is None:
            intrinsics = frame.to_image(estimate)
        return MetricDepth(
            depth=frame.restore(depth),
            intrinsics=intrinsics.to(self.device, non_blocking=True, copy=True),
            confidence=frame.restore(confidence),
        )

    def _pixel_range(self) -> tuple[float, float]:
        least, most = self.pixel_bounds
        if self.resolution_level is None:
            return least, most
        tenth = (most - least) / 10
        return (
            least + self.resolution_level * tenth,
            least + (self.resolution_level + 1) * tenth,
        )

    def forward(
        self, image: torch.Tensor, intrinsics: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run the network; differentiable.

        Args:
            image: [B, 3, 14 h, 14 w] standardised.
            intrinsics: [B, 3, 3] pixels of the image, or None.

        Returns:
            Depth and confidence, float32 [B, 1, 14 h, 14 w]; and the intrinsics, given or
            estimated.
        """
        size = tuple(image.shape[-2:])
        levels, class_tokens = self.pixel_encoder(image)
        if intrinsics is None:
            intrinsics = self.pixel_decoder.estimate_camera(class_tokens, size)
            embedding, z = self._embed_rays(intrinsics, size)
        else:
            embedding, z = self.computed_once_per_camera(
                ("rays", size), intrinsics, functools.partial(self._embed_rays, size=size)
            )
        log_radius, log_confidence = self.pixel_decoder(levels, embedding, size)
        radius = (log_radius.clamp(-8, 8) + 2).exp()
        return z * radius, log_confidence.clamp(-8, 8).exp(), intrinsics

    def _embed_rays(
        self, intrinsics: torch.Tensor, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rays embedded for the decoder [B, n, hidden_dim], and their z components [B, 1, h, w].

        The network predicts the distance along the ray; times z it is depth.
        """
        rays = pixel_rays(intrinsics, size)
        grid = (size[0] // PATCH, size[1] // PATCH)
        embedding = fourier_features(
            ray_angles(resample_rays(rays, grid)), self.hidden_dim, max(grid) // 2
        )
        return embedding.to(self.dtype), rays[:, 2:].clone()


@dataclass(frozen=True)
class NetworkFrame:
    """How an H x W image is padded to an aspect ratio and scaled to a size the network knows."""

    image_size: tuple[int, int]
    padded_size: tuple[int, int]
    network_size: tuple[int, int]
    scale: float

    @classmethod
    def fit(
        cls,
        image_size: tuple[int, int],
        ratio_bounds: tuple[float, float],
        pixel_range: tuple[float, float],
    ) -> "NetworkFrame":
        """Pad to the nearest allowed ratio, then scale to the nearest allowed number of pixels.

        Args:
            image_size: height and width.
            ratio_bounds: least and greatest width / height.
            pixel_range: least and greatest number of pixels of the network's image.
        """
        height, width = image_size
        ratio = width / height
        target = min(max(ratio, ratio_bounds[0]), ratio_bounds[1])
        wide = ratio > target
        padded = (int(width / target), width) if wide else (height, int(height * target))
        pixels = padded[0] * padded[1]
        scale = (min(max(pixels, pixel_range[0]), pixel_range[1]) / pixels) ** 0.5
        network = tuple(math.ceil(int(side * scale) / PATCH) * PATCH for side in padded)
        return cls(image_size, padded, network, scale)

    @property
    def top(self) -> int:
        return (self.padded_size[0] - self.image_size[0]) // 2

    @property
    def left(self) -> int:
        return (self.padded_size[1] - self.image_size[1]) // 2

    def image(self, image: torch.Tensor) -> torch.Tensor:
        """The standardised image [B, 3, H, W], padded with the mean colour, at network size."""
        bottom = self.padded_size[0] - self.image_size[0] - self.top
        right = self.padded_size[1] - self.image_size[1] - self.left
        padded = F.pad(image, (self.left, right, self.top, bottom))
        return resize(padded, self.network_size, antialias=False)

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """A map [B, 1, h, w] of the network's image at the image's size, without the padding."""
        height, width = self.image_size
        padded = resize(values, self.padded_size, antialias=False)
        return padded[..., self.top : self.top + height, self.left : self.left + width]

    # As published, both use the scale before the size is rounded up to whole patches.

    def to_network(self, intrinsics: torch.Tensor) -> torch.Tensor:
        """Intrinsics of the image to those of the network's image."""
        return transform_intrinsics(
            intrinsics, self.scale, self.left * self.scale, self.top * self.scale
        )

    def to_image(self, intrinsics: torch.Tensor) -> torch.Tensor:
        """Intrinsics of the network's image to those of the image."""
        return transform_intrinsics(intrinsics, 1 / self.scale, -self.left, -self.top)
