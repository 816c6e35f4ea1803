# SPDX-License-Identifier: Apache-2.0
"""UniDepth V1 (CVPR 2024): one image, and the camera if known, to metric depth."""

import functools
import itertools
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
from sharpdepth_ros.models.unidepth.convnext import CONVNEXT_SIZES, ConvNeXt
from sharpdepth_ros.models.unidepth.dinov2 import PATCH, VIT_SIZES, DinoVisionTransformer
from sharpdepth_ros.models.unidepth.layers import resize
from sharpdepth_ros.models.unidepth.rays import (
    pixel_rays,
    resample_rays,
    spherical_harmonics,
    transform_intrinsics,
)
from sharpdepth_ros.models.unidepth.v1_decoder import Decoder


class UniDepthV1(UniDepth):
    """UniDepth V1 with a DINOv2 or ConvNeXt-L encoder and the published state-dict keys.

    Args:
        config: the published JSON configuration.

    Raises:
        ValueError: a key of the configuration is missing or wrong.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        check_architecture(config, "UniDepthV1")
        self.image_shape = lookup_numbers(config, "data.image_shape", 2, int)
        encoder = check_encoder(config, [*VIT_SIZES, *CONVNEXT_SIZES])
        if encoder in VIT_SIZES:
            self._build_dinov2(config, encoder)
        else:
            self._build_convnext(config, encoder)
        hidden_dim = lookup_positive(config, "model.pixel_decoder.hidden_dim")
        self.pixel_decoder = Decoder(
            feature_dims=[self.block_dims[last - 1] for last in self.levels],
            token_dims=self.block_dims[::-1][:4],
            hidden_dim=hidden_dim,
            # Each of the two finer scales has half the heads.
            heads=lookup_heads(config, hidden_dim, multiple_of=4),
            expansion=lookup_positive(config, "model.expansion"),
            depths=lookup_numbers(config, "model.pixel_decoder.depths", 3, int),
        )

    def _build_dinov2(self, config: Mapping[str, Any], name: str) -> None:
        if any(side % PATCH for side in self.image_shape):
            raise ValueError(
                f"UniDepth config: 'data.image_shape' is {list(self.image_shape)}, expected "
                f"multiples of {PATCH} for encoder '{name}'"
            )
        size = VIT_SIZES[name]
        self.block_dims = [size.dim] * size.depth
        self.levels = lookup_levels(config, size.levels, size.depth)
        self.pixel_encoder = DinoVisionTransformer(
            size,
            outputs=range(1, size.depth + 1),
            norm_outputs=lookup(config, "model.pixel_encoder.use_norm", bool, False),
            grid_offset=0.1,
        )

    def _build_convnext(self, config: Mapping[str, Any], name: str) -> None:
        size = CONVNEXT_SIZES[name]
        stages = zip(size.dims, size.depths, strict=True)
        self.block_dims = [dim for dim, depth in stages for _ in range(depth)]
        stage_ends = tuple(itertools.accumulate(size.depths))
        self.levels = lookup_levels(config, stage_ends, stage_ends[-1])
        self.pixel_encoder = ConvNeXt(size)

    @torch.no_grad()
    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W] or [3, H, W], any H and W.
            intrinsics: [B, 3, 3] or [3, 3] in pixels of H x W, the centre of the first pixel at
                0.5; None: estimated. The rays of a camera given on the CPU are kept between calls.

        Returns:
            Depth [B, 1, H, W] and intrinsics [B, 3, 3]; V1 has no confidence.
        """
        rgb, intrinsics = check_inputs(rgb, intrinsics)
        box = Letterbox.fit(tuple(rgb.shape[-2:]), self.image_shape)
        image = box.pad(self.standardise(box.shrink(rgb.to(self.device))))
        camera = None if intrinsics is None else box.to_network(intrinsics)
        depth, estimate = self(image.to(self.dtype), camera)
        if intrinsics is None:
            intrinsics = box.to_image(estimate)
        return MetricDepth(
            box.restore(depth), intrinsics.to(self.device, non_blocking=True, copy=True)
        )

    def forward(
        self, image: torch.Tensor, intrinsics: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the network; differentiable.

        Args:
            image: [B, 3, h, w] standardised, h x w the configured shape.
            intrinsics: [B, 3, 3] pixels of h x w, or None.

        Returns:
            Depth, float32 [B, 1, h, w] metres; and the intrinsics, given or estimated.
        """
        size = tuple(image.shape[-2:])
        levels, class_tokens = self.encode(image)
        grid = tuple(levels[2].shape[1:3])
        features = self.pixel_decoder.adapt(levels)
        if intrinsics is None:
            intrinsics = self.pixel_decoder.estimate_camera(features, class_tokens, grid, size)
            # As trained: the depth's loss does not reach the camera through its rays.
            rays = self._embed_rays(intrinsics.detach(), size, grid)
        else:
            rays = self.computed_once_per_camera(
                ("rays", size, grid),
                intrinsics,
                functools.partial(self._embed_rays, size=size, grid=grid),
            )
        log_depths = self.pixel_decoder(features, rays, grid)
        scales = [resize(log.clamp(-10, 10).exp(), size) for log in log_depths]
        return sum(scales) / len(scales), intrinsics

    def encode(self, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Encoder features of the four levels, and the class tokens of the last four blocks.

        Args:
            image: [B, 3, h, w] standardised.

        Returns:
            Four maps [B, h_i, w_i, C_i], the maximum over the blocks of each level; and four
            tokens [B, 1, C], last block first.
        """
        features, class_tokens = self.pixel_encoder(image)
        if isinstance(self.pixel_encoder, DinoVisionTransformer):
            features = [f + token[:, None] for f, token in zip(features, class_tokens, strict=True)]
        starts = (0, *self.levels[:-1])
        levels = [
            functools.reduce(torch.maximum, features[start:end])
            for start, end in zip(starts, self.levels, strict=True)
        ]
        return levels, class_tokens[::-1][:4]

    def _embed_rays(
        self, intrinsics: torch.Tensor, size: tuple[int, int], grid: tuple[int, int]
    ) -> list[torch.Tensor]:
        """Spherical harmonics of the rays at the decoder's three scales, [B, n, 81] each."""
        full = pixel_rays(intrinsics, size)
        rays = [resample_rays(full, (grid[0] * s, grid[1] * s)) for s in (1, 2, 4)]
        basis = spherical_harmonics(torch.cat(rays, dim=1)).to(self.dtype)
        return list(basis.split([r.shape[1] for r in rays], dim=1))


@dataclass(frozen=True)
class Letterbox:
    """How an H x W image is scaled into the network's fixed shape and centred in it."""

    image_size: tuple[int, int]
    network_size: tuple[int, int]
    inner_size: tuple[int, int]
    scale: float

    @classmethod
    def fit(cls, image_size: tuple[int, int], network_size: tuple[int, int]) -> "Letterbox":
        """The largest scale at which the image fits."""
        height, width = image_size
        scale = min(network_size[0] / height, network_size[1] / width)
        inner = tuple(max(1, math.ceil(side * scale - 0.5)) for side in image_size)
        return cls(image_size, network_size, inner, scale)

    @property
    def top(self) -> int:
        return (self.network_size[0] - self.inner_size[0]) // 2

    @property
    def left(self) -> int:
        return (self.network_size[1] - self.inner_size[1]) // 2

    def shrink(self, rgb: torch.Tensor) -> torch.Tensor:
        """The image [B, 3, H, W] at its size in the network, float32."""
        return resize(rgb.float(), self.inner_size)

    def pad(self, image: torch.Tensor) -> torch.Tensor:
        """Zeros (the mean colour, once standardised) around the image."""
        bottom = self.network_size[0] - self.inner_size[0] - self.top
        right = self.network_size[1] - self.inner_size[1] - self.left
        return F.pad(image, (self.left, right, self.top, bottom))

    def restore(self, depth: torch.Tensor) -> torch.Tensor:
        """The network's depth without the padding, at the image's size."""
        height, width = self.inner_size
        inner = depth[..., self.top : self.top + height, self.left : self.left + width]
        return resize(inner, self.image_size)

    def to_network(self, intrinsics: torch.Tensor) -> torch.Tensor:
        """Intrinsics of the image to those of the network's image."""
        return transform_intrinsics(intrinsics, self.scale, self.left, self.top)

    def to_image(self, intrinsics: torch.Tensor) -> torch.Tensor:
        """Intrinsics of the network's image to those of the image."""
        scale = 1 / self.scale
        return transform_intrinsics(intrinsics, scale, -self.left * scale, -self.top * scale)
