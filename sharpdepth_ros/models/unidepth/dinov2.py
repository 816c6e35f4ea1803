# SPDX-License-Identifier: Apache-2.0
"""The DINOv2 vision transformer (ViT-S/B/L, patch 14) as UniDepth's encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from sharpdepth_ros.models.unidepth.cache import CachingModule
from sharpdepth_ros.models.unidepth.layers import FeedForward, LayerScale

PATCH = 14
# The position embedding was trained on 518 x 518 images: 37 x 37 patches.
TRAINED_GRID = 37


@dataclass(frozen=True)
class ViTSize:
    """Width, depth and heads of a ViT, and the blocks that end its four feature levels."""

    dim: int
    depth: int
    heads: int
    levels: tuple[int, int, int, int]


VIT_SIZES = {
    "dinov2_vits14": ViTSize(384, 12, 6, (3, 6, 9, 12)),
    "dinov2_vitb14": ViTSize(768, 12, 12, (3, 6, 9, 12)),
    "dinov2_vitl14": ViTSize(1024, 24, 16, (5, 12, 18, 24)),
}


class DinoVisionTransformer(CachingModule):
    """DINOv2.

    Args:
        size: width, depth and heads.
        outputs: numbers (from 1) of the blocks whose tokens are returned.
        norm_outputs: whether the final norm is applied to them.
        grid_offset: added to the patch grid's size when the position embedding is resampled. 0.1
            is DINO's historical guard against rounding, and V1 was trained with it.
    """

    def __init__(
        self, size: ViTSize, outputs: Sequence[int], *, norm_outputs: bool, grid_offset: float
    ) -> None:
        super().__init__()
        self.outputs = frozenset(outputs)
        self.norm_outputs = norm_outputs
        self.grid_offset = grid_offset
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + TRAINED_GRID**2, size.dim))
        # Both are in the published state dicts, and neither is used at inference.
        self.register_tokens = nn.Parameter(torch.zeros(1, 1, size.dim), requires_grad=False)
        self.mask_token = nn.Parameter(torch.zeros(1, size.dim), requires_grad=False)
        self.patch_embed = PatchEmbedding(size.dim)
        self.blocks = nn.ModuleList(Block(size.dim, size.heads) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.dim)

    def forward(self, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Encode standardised images.

        Args:
            image: [B, 3, 14 h, 14 w].

        Returns:
            For each output block, the patches' features [B, h, w, C]; and the class token
            [B, 1, C].
        """
        grid = (image.shape[-2] // PATCH, image.shape[-1] // PATCH)
        tokens = self.patch_embed(image)
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        tokens = tokens + self.position_embedding(grid)
        features, class_tokens = [], []
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if number in self.outputs:
                output = self.norm(tokens) if self.norm_outputs else tokens
                features.append(output[:, 1:].unflatten(1, grid))
                class_tokens.append(output[:, :1])
        return features, class_tokens

    def position_embedding(self, grid: tuple[int, int]) -> torch.Tensor:
        """The position embedding resampled to a patch grid: [1, 1 + h * w, C]."""
        return self.computed_once(
            ("position", grid), lambda: self._resample_position_embedding(grid), self.pos_embed
        )

    def _resample_position_embedding(self, grid: tuple[int, int]) -> torch.Tensor:
        if grid == (TRAINED_GRID, TRAINED_GRID):
            return self.pos_embed
        trained = self.pos_embed.float()
        patches = trained[:, 1:].unflatten(1, (TRAINED_GRID, TRAINED_GRID)).permute(0, 3, 1, 2)
        if self.grid_offset:
            scale = tuple((cells + self.grid_offset) / TRAINED_GRID for cells in grid)
            patches = F.interpolate(patches, scale_factor=scale, mode="bicubic")
        else:
            patches = F.interpolate(patches, size=grid, mode="bicubic")
        embedding = torch.cat((trained[:, :1], patches.flatten(2).transpose(1, 2)), dim=1)
        return embedding.to(self.pos_embed.dtype)


class PatchEmbedding(nn.Module):
    """[B, 3, 14 h, 14 w] image to [B, h * w, C] tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """A pre-norm transformer block with layer scale."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, 4 * dim)
        self.ls2 = LayerScale(dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class SelfAttention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.proj(attended.transpose(1, 2).flatten(2))
