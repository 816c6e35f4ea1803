# SPDX-License-Identifier: Apache-2.0
"""The decoder of UniDepth V1: encoder features and a camera in, log depth at three scales out."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sharpdepth_ros.models.unidepth.cache import CachingModule
from sharpdepth_ros.models.unidepth.layers import (
    MLP,
    AttentionBlock,
    conv2d_float32,
    resize,
    to_grid,
    to_tokens,
)
from sharpdepth_ros.models.unidepth.rays import decode_intrinsics

HARMONICS = 81  # spherical harmonics up to degree 8


class Decoder(CachingModule):
    """Estimates the camera from class tokens and features, and depth from features and rays.

    Args:
        feature_dims: channels of the encoder's four levels, fine to coarse.
        token_dims: channels of the four class tokens, last block first.
        hidden_dim: width at the coarsest scale; each finer scale has half.
        heads: attention heads at the coarsest scale; each finer scale has half.
        expansion: widening of the MLPs.
        depths: attention blocks at the three scales, coarse to fine.
    """

    def __init__(
        self,
        feature_dims: Sequence[int],
        token_dims: Sequence[int],
        hidden_dim: int,
        heads: int,
        expansion: int,
        depths: Sequence[int],
    ) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.level_embeds = nn.Parameter(torch.zeros(len(feature_dims), hidden_dim))
        self.input_adapter = Adapters(feature_dims, hidden_dim)
        self.token_adapter = Adapters(token_dims, hidden_dim)
        self.camera_layer = CameraHead(hidden_dim, heads, expansion)
        self.depth_layer = DepthHead(len(feature_dims), hidden_dim, heads, expansion, depths)
        self.level_embed_layer = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
        )

    def adapt(self, levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Bring the levels [B, h_i, w_i, C_i] to the third one's grid, [B, h * w, hidden_dim]."""
        grid = tuple(levels[2].shape[1:3])
        tokens = [to_tokens(resize(level.permute(0, 3, 1, 2), grid)) for level in levels]
        return self.input_adapter(tokens)

    def estimate_camera(
        self,
        features: list[torch.Tensor],
        class_tokens: Sequence[torch.Tensor],
        grid: tuple[int, int],
        image_size: tuple[int, int],
    ) -> torch.Tensor:
        """Intrinsics of the network's image, float32 [B, 3, 3] pixels.

        Args:
            features: of `adapt`.
            class_tokens: four of [B, 1, C], last block first.
            grid: height and width of the features.
            image_size: height and width of the network's image.
        """
        # As trained: the camera's loss does not reach the encoder through its class tokens.
        tokens = self.token_adapter([token.detach() for token in class_tokens])
        prediction = self.camera_layer(
            torch.cat(features, dim=1), torch.cat(tokens, dim=1), self.feature_embedding(grid)
        )
        return decode_intrinsics(prediction, image_size, focal_unit=max(image_size) / 2)

    def forward(
        self,
        features: list[torch.Tensor],
        rays: Sequence[torch.Tensor],
        grid: tuple[int, int],
    ) -> list[torch.Tensor]:
        """Predict log depth.

        Args:
            features: of `adapt`.
            rays: spherical harmonics of the viewing rays, [B or 1, n, 81] on the grids of 1, 2
                and 4 times `grid`.
            grid: height and width of the features.

        Returns:
            Log depth, float32 [B, 1, s h, s w] for s in 2, 4, 8.
        """
        return self.depth_layer(features, rays, self.feature_embedding(grid), grid)

    def feature_embedding(self, grid: tuple[int, int]) -> torch.Tensor:
        """Position plus level embedding of the features: [1, levels * h * w, hidden_dim]."""
        weights = (self.level_embeds, *self.level_embed_layer.parameters())
        return self.computed_once(
            ("embedding", grid), lambda: self._feature_embedding(grid), *weights
        )

    def _feature_embedding(self, grid: tuple[int, int]) -> torch.Tensor:
        level = self.level_embed_layer(self.level_embeds)
        position = sine_position_embedding(grid, self.hidden_dim, level.device).to(level.dtype)
        return (level[:, None] + position).flatten(0, 1).unsqueeze(0)


class Adapters(nn.Module):
    """One projection to the decoder's width per input."""

    def __init__(self, in_dims: Sequence[int], hidden_dim: int) -> None:
        super().__init__()
        self.input_adapters = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden_dim), nn.GELU())
            for dim in in_dims
        )

    def forward(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [adapter(x) for adapter, x in zip(self.input_adapters, inputs, strict=True)]


class CameraHead(nn.Module):
    """Four class tokens look at the features and become the four pinhole parameters."""

    def __init__(self, hidden_dim: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.latents_pos = nn.Parameter(torch.zeros(1, 4, hidden_dim))
        self.aggregate = AttentionBlock(hidden_dim, 1, expansion)
        self.layers = nn.ModuleList(AttentionBlock(hidden_dim, heads, expansion) for _ in range(2))
        self.in_features = MLP(hidden_dim, expansion=2)
        self.out = MLP(hidden_dim, expansion=2, out_dim=1)
        self.cls_project = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            nn.Linear(hidden_dim, hidden_dim // 2),
            nn.GELU(),
            nn.Linear(hidden_dim // 2, hidden_dim),
        )

    def forward(
        self, features: torch.Tensor, class_tokens: torch.Tensor, embedding: torch.Tensor
    ) -> torch.Tensor:
        """[B, M, C] features, [B, 4, C] tokens: see `decode_intrinsics`, float32 [B, 4]."""
        tokens = self.cls_project(class_tokens)
        context = torch.cat((self.in_features(features + embedding), tokens), dim=1)
        tokens = self.aggregate(tokens, context, pos_embed=self.latents_pos)
        for layer in self.layers:
            tokens = layer(tokens, pos_embed=self.latents_pos)
        return self.out(tokens).squeeze(-1).float()


class DepthHead(nn.Module):
    """Latents pooled from the features, prompted by the rays, refined over three scales."""

    def __init__(
        self, levels: int, hidden_dim: int, heads: int, expansion: int, depths: Sequence[int]
    ) -> None:
        super().__init__()
        dims = [hidden_dim, hidden_dim // 2, hidden_dim // 4]
        self.project_rays16 = MLP(HARMONICS, expansion, dims[0])
        self.project_rays8 = MLP(HARMONICS, expansion, dims[1])
        self.project_rays4 = MLP(HARMONICS, expansion, dims[2])
        self.to_latents = MLP(hidden_dim, expansion=2)
        self.features_channel_cat = nn.Linear(hidden_dim * levels, hidden_dim)
        self.up8 = Upsample(dims[0], expansion)
        self.up4 = Upsample(dims[1], expansion)
        self.up2 = Upsample(dims[2], expansion)
        self.layers_16, self.layers_8, self.layers_4 = (
            nn.ModuleList(
                AttentionBlock(dim, heads >> scale, expansion, across_heads=scale > 0)
                for _ in range(depth)
            )
            for scale, (dim, depth) in enumerate(zip(dims, depths, strict=True))
        )
        self.aggregate_16 = AttentionBlock(hidden_dim, 1, expansion)
        self.prompt_camera = AttentionBlock(hidden_dim, 1, expansion)
        self.out8 = nn.Conv2d(dims[1], 1, kernel_size=3, padding=1)
        self.out4 = nn.Conv2d(dims[2], 1, kernel_size=3, padding=1)
        self.out2 = nn.Conv2d(dims[2] // 2, 1, kernel_size=3, padding=1)

    def forward(
        self,
        features: list[torch.Tensor],
        rays: Sequence[torch.Tensor],
        embedding: torch.Tensor,
        grid: tuple[int, int],
    ) -> list[torch.Tensor]:
        """See `Decoder.forward`; the embedding is that of the stacked features."""
        rays16, rays8, rays4 = (
            project(basis)
            for project, basis in zip(
                (self.project_rays16, self.project_rays8, self.project_rays4), rays, strict=True
            )
        )
        latents = self.to_latents(self.features_channel_cat(torch.cat(features, dim=-1)))
        latents = self.aggregate_16(
            latents, context=torch.cat(features, dim=1), context_pos_embed=embedding
        )
        latents = self.prompt_camera(latents, context=rays16)

        log_depths = []
        for layers, rays_here, up, out in (
            (self.layers_16, rays16, self.up8, self.out8),
            (self.layers_8, rays8, self.up4, self.out4),
            (self.layers_4, rays4, self.up2, self.out2),
        ):
            for layer in layers:
                latents = layer(latents, pos_embed=rays_here)
            finer = up(to_grid(latents + rays_here, grid))
            log_depths.append(conv2d_float32(out, finer))
            grid, latents = tuple(finer.shape[-2:]), to_tokens(finer)
        return log_depths


class Upsample(nn.Module):
    """Two ConvNeXt blocks, then twice the resolution at half the channels."""

    def __init__(self, dim: int, expansion: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvNeXtBlock(dim, expansion) for _ in range(2))
        self.up = nn.Sequential(
            nn.Conv2d(dim, dim // 2, kernel_size=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(dim // 2, dim // 2, kernel_size=3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = conv(x)
        return self.up(x)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7 convolution, norm, MLP and a gain per channel, residual."""

    def __init__(self, dim: int, expansion: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.pwconv1 = nn.Linear(dim, expansion * dim)
        self.pwconv2 = nn.Linear(expansion * dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


def sine_position_embedding(grid: tuple[int, int], dim: int, device: torch.device) -> torch.Tensor:
    """DETR's normalised sine embedding: float32 [h * w, dim], y in the first half, x in the second.

    Each half interleaves sines and cosines over dim / 4 wavelengths from 2 pi to 2 pi * 10000.
    """
    half = dim // 2
    wavelength = 10000 ** (torch.arange(0, half, 2, device=device).float() / half)

    def embed(cells: int) -> torch.Tensor:
        position = torch.arange(1, cells + 1, device=device) * (2 * math.pi / (cells + 1e-6))
        angle = position[:, None] / wavelength
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)

    y, x = embed(grid[0]), embed(grid[1])
    y = y[:, None].expand(-1, grid[1], -1)
    x = x[None].expand(grid[0], -1, -1)
    return torch.cat((y, x), dim=-1).flatten(0, 1)
