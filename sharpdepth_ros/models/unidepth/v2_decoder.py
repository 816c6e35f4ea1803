# SPDX-License-Identifier: Apache-2.0
"""The decoder of UniDepth V2: encoder features and rays in, log radius and log confidence out."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sharpdepth_ros.models.unidepth.layers import (
    MLP,
    AttentionBlock,
    conv2d_float32,
    to_grid,
)
from sharpdepth_ros.models.unidepth.rays import decode_intrinsics


class Decoder(nn.Module):
    """Estimates the camera from class tokens, and radius and confidence from features and rays.

    Args:
        feature_dims: channels of the encoder's four levels.
        hidden_dim: width of the decoder.
        heads: attention heads.
        expansion: widening of the attention blocks' MLPs.
        depths: residual units of the three upsampling stages.
        out_dim: least channels of an upsampling stage's output.
        kernel_size: of the residual units.
    """

    def __init__(
        self,
        feature_dims: Sequence[int],
        hidden_dim: int,
        heads: int,
        expansion: int,
        depths: Sequence[int],
        out_dim: int,
        kernel_size: int,
    ) -> None:
        super().__init__()
        # In the published state dict, and not used by the published network.
        self.level_embeds = nn.Parameter(
            torch.zeros(1, 1, len(feature_dims), hidden_dim), requires_grad=False
        )
        self.input_adapter = Adapters(feature_dims, hidden_dim)
        self.camera_token_adapter = Adapters(feature_dims, hidden_dim)
        self.camera_layer = CameraHead(hidden_dim, heads, expansion)
        self.depth_layer = DepthHead(hidden_dim, heads, expansion, depths, out_dim, kernel_size)

    def estimate_camera(
        self, class_tokens: Sequence[torch.Tensor], image_size: tuple[int, int]
    ) -> torch.Tensor:
        """Intrinsics of the network's image, float32 [B, 3, 3] pixels.

        Args:
            class_tokens: [B, 1, C_i] of the four levels.
            image_size: height and width of the network's image.
        """
        prediction = self.camera_layer(torch.cat(self.camera_token_adapter(class_tokens), dim=1))
        return decode_intrinsics(prediction, image_size, focal_unit=0.7 * math.hypot(*image_size))

    def forward(
        self, levels: Sequence[torch.Tensor], rays: torch.Tensor, image_size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict the log radius and the log confidence.

        Args:
            levels: four of [B, h, w, C_i].
            rays: [B or 1, h * w, hidden_dim] embedded viewing rays.
            image_size: height and width of the network's image.

        Returns:
            Two maps, float32 [B, 1, *image_size].
        """
        return self.depth_layer(self.input_adapter(levels), rays, image_size)


class Adapters(nn.Module):
    """One projection to the decoder's width per input."""

    def __init__(self, in_dims: Sequence[int], hidden_dim: int) -> None:
        super().__init__()
        self.input_adapters = nn.ModuleList(nn.Linear(dim, hidden_dim) for dim in in_dims)

    def forward(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [adapter(x) for adapter, x in zip(self.input_adapters, inputs, strict=True)]


class CameraHead(nn.Module):
    """Four class tokens exchange what they know and become the four pinhole parameters."""

    def __init__(self, hidden_dim: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.aggregate1 = AttentionBlock(hidden_dim, heads, expansion, bias=False)
        self.aggregate2 = AttentionBlock(hidden_dim, heads, expansion, bias=False)
        self.latents_pos = nn.Parameter(torch.zeros(1, 4, hidden_dim))
        self.project = MLP(hidden_dim, expansion=1)
        self.out_pinhole = MLP(hidden_dim, expansion=1, out_dim=1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, 4, C] tokens to what `decode_intrinsics` takes, float32 [B, 4]."""
        tokens = self.project(tokens)
        tokens = self.aggregate1(tokens, pos_embed=self.latents_pos)
        tokens = self.aggregate2(tokens, pos_embed=self.latents_pos)
        return self.out_pinhole(tokens).squeeze(-1).float()


class RayPrompt(nn.Module):
    """Lets the features of one level attend to the viewing rays."""

    def __init__(self, hidden_dim: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [AttentionBlock(hidden_dim, heads, expansion, bias=False, layer_scale=False)]
        )

    def forward(self, features: torch.Tensor, rays: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            features = layer(features, context=rays)
        return features


class DepthHead(nn.Module):
    """Prompts every level with the rays, then adds them up from coarse to fine."""

    def __init__(
        self,
        hidden_dim: int,
        heads: int,
        expansion: int,
        depths: Sequence[int],
        out_dim: int,
        kernel_size: int,
    ) -> None:
        super().__init__()
        self.to_latents = nn.Linear(hidden_dim, hidden_dim)
        self.prompt_camera = nn.ModuleList(
            RayPrompt(hidden_dim, heads, expansion) for _ in range(len(depths) + 1)
        )
        self.process_features = nn.ModuleList()
        self.ups = nn.ModuleList()
        for stage, depth in enumerate(depths):
            dim = min(hidden_dim, 2 * hidden_dim >> stage)
            last_dim = hidden_dim >> stage
            stage_out_dim = max(last_dim, out_dim)
            stride = max(1, 2 * stage)
            self.process_features.append(
                nn.ConvTranspose2d(hidden_dim, dim, kernel_size=stride, stride=stride)
            )
            self.ups.append(ResidualUpsample(dim, stage_out_dim, depth, kernel_size))

        def pixel_mlp() -> nn.Sequential:
            return nn.Sequential(nn.LayerNorm(last_dim), nn.Linear(last_dim, stage_out_dim))

        # Only the finest stage is read out; the published keys count the coarser ones too.
        self.depth_mlp = nn.ModuleList([*(nn.Identity() for _ in depths[1:]), pixel_mlp()])
        self.confidence_mlp = pixel_mlp()
        self.to_depth_lr = reflect_conv(stage_out_dim, stage_out_dim // 2)
        self.to_confidence_lr = reflect_conv(stage_out_dim, stage_out_dim // 2)
        self.to_depth_hr = high_resolution_head(stage_out_dim // 2)
        self.to_confidence_hr = high_resolution_head(stage_out_dim // 2)

    def forward(
        self, features: list[torch.Tensor], rays: torch.Tensor, image_size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Decoder.forward`; the features are [B, h, w, hidden_dim]."""
        grid = tuple(features[0].shape[1:3])
        first, *others = (
            prompt(level.flatten(1, 2), rays)
            for prompt, level in zip(self.prompt_camera, features, strict=True)
        )
        latents = to_grid(self.to_latents(first), grid)
        for tokens, process, up in zip(others, self.process_features, self.ups, strict=True):
            latents = up(latents + process(to_grid(tokens, grid)))

        def read_out(mlp: nn.Module, low: nn.Module, high: nn.Sequential) -> torch.Tensor:
            x = low(mlp(latents.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            x = F.interpolate(x, image_size, mode="bilinear", align_corners=True)
            return conv2d_float32(high[-1], high[:-1](x))

        return (
            read_out(self.depth_mlp[-1], self.to_depth_lr, self.to_depth_hr),
            read_out(self.confidence_mlp, self.to_confidence_lr, self.to_confidence_hr),
        )


class ResidualUpsample(nn.Module):
    """Residual units, then twice the resolution."""

    def __init__(self, dim: int, out_dim: int, depth: int, kernel_size: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ResidualUnit(dim, kernel_size) for _ in range(depth))
        self.up = nn.Sequential(
            nn.Conv2d(dim, out_dim, kernel_size=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = conv(x)
        return self.up(x)


class ResidualUnit(nn.Module):
    """Two convolutions with a gain per channel, residual."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, kernel_size, padding=(kernel_size - 1) // 2)
        self.conv2 = nn.Conv2d(dim, dim, kernel_size, padding=(kernel_size - 1) // 2)
        self.gamma = nn.Parameter(torch.ones(1, dim, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x))))
        return x + self.gamma * y


def reflect_conv(in_dim: int, out_dim: int) -> nn.Conv2d:
    """A 3 x 3 convolution with reflected borders."""
    return nn.Conv2d(in_dim, out_dim, kernel_size=3, padding=1, padding_mode="reflect")


def high_resolution_head(dim: int) -> nn.Sequential:
    """From `dim` channels to one value per pixel of the network's image."""
    return nn.Sequential(reflect_conv(dim, 32), nn.LeakyReLU(), nn.Conv2d(32, 1, kernel_size=1))
