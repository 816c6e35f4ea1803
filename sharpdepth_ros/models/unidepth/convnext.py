# SPDX-License-Identifier: Apache-2.0
"""The ConvNeXt encoder of UniDepth V1, with timm's state-dict keys."""

from dataclasses import dataclass

import torch
from torch import nn

from sharpdepth_ros.models.unidepth.layers import FeedForward


@dataclass(frozen=True)
class ConvNeXtSize:
    """Channels and blocks of the four stages (strides 4, 8, 16, 32)."""

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


CONVNEXT_SIZES = {"convnext_large": ConvNeXtSize((192, 384, 768, 1536), (3, 3, 27, 3))}


class ConvNeXt(nn.Module):
    """ConvNeXt, returning the output of every block."""

    def __init__(self, size: ConvNeXtSize) -> None:
        super().__init__()
        dims = size.dims
        self.stem = nn.Sequential(nn.Conv2d(3, dims[0], kernel_size=4, stride=4), Norm2d(dims[0]))
        self.stages = nn.ModuleList(
            Stage(in_dim, dim, depth)
            for in_dim, dim, depth in zip((dims[0], *dims[:-1]), dims, size.depths, strict=True)
        )
        # In the published state dict, and not used at inference.
        self.mask_token = nn.Parameter(torch.zeros(1, dims[0], 1, 1), requires_grad=False)

    def forward(self, image: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Encode standardised images.

        Args:
            image: [B, 3, H, W].

        Returns:
            For each block, its features [B, h, w, C]; and their mean over the image [B, 1, C],
            in the place of a transformer's class token.
        """
        # The norms and MLPs work on [B, h, w, C]: in this memory format nothing is copied.
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        features = []
        for stage in self.stages:
            outputs = stage(x)
            features.extend(y.permute(0, 2, 3, 1) for y in outputs)
            x = outputs[-1]
        return features, [f.mean(dim=(1, 2)).unsqueeze(1) for f in features]


class Norm2d(nn.LayerNorm):
    """Layer norm over the channels of a [B, C, H, W] map."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Halves the resolution (except the first stage), then a row of blocks."""

    def __init__(self, in_dim: int, dim: int, depth: int) -> None:
        super().__init__()
        self.downsample = (
            nn.Identity()
            if in_dim == dim
            else nn.Sequential(Norm2d(in_dim), nn.Conv2d(in_dim, dim, kernel_size=2, stride=2))
        )
        self.blocks = nn.ModuleList(Block(dim) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The output of every block."""
        x = self.downsample(x)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs


class Block(nn.Module):
    """Depthwise 7 x 7 convolution, norm, MLP and a gain per channel, residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, 4 * dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv_dw(x).permute(0, 2, 3, 1)
        y = self.gamma * self.mlp(self.norm(y))
        return x + y.permute(0, 3, 1, 2)
