# SPDX-License-Identifier: Apache-2.0
"""A small metric depth model f_D: image and camera rays in, metres out. For demo and tests."""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from sharpdepth_ros.models.metric import MetricDepth

NAME = "SmallMetric"
DEFAULT_FOV = 70.0
"""Horizontal field of view, degrees, that is assumed of an unknown camera."""

LEAST_DEPTH = 0.1
"""Metres; the nearest answer."""

INPUT_CHANNELS = 5
"""Red, green, blue, and the ray's x / z and y / z."""


class SmallMetric(nn.Module):
    """A convolutional encoder and decoder; a MetricDepthModel.

    The network estimates what the depth would be if the image were one focal length wide, and
    the camera's focal length turns that into metres: a thing that appears large because the lens
    is long is not near. Its map is coarse, `output_stride` pixels of `image_shape` a cell, and
    interpolated: smooth edges are what the sharpener is for.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """Build the network with random weights.

        Args:
            config: `{"model": {"name": "SmallMetric", "image_shape": [height, width], "channels":
                [...], "blocks": n, "output_stride": s, "max_depth": metres}}`. The first level
                has stride 4, each further one twice the stride of the one before.

        Raises:
            ValueError: the output stride is not one of the levels'.
        """
        super().__init__()
        self.config = config
        model = config["model"]
        self.image_shape = tuple(model["image_shape"])
        self.max_depth = float(model["max_depth"])
        channels, blocks = list(model["channels"]), int(model["blocks"])
        strides = [4 * 2**level for level in range(len(channels))]
        if model["output_stride"] not in strides:
            raise ValueError(
                f"output_stride is {model['output_stride']}; the levels have "
                f"{', '.join(map(str, strides))}"
            )
        finest = strides.index(model["output_stride"])
        self.stem = nn.Sequential(
            _convolution(INPUT_CHANNELS, channels[0] // 2, stride=2),
            _convolution(channels[0] // 2, channels[0], stride=2),
        )
        self.levels = nn.ModuleList()
        for level, width in enumerate(channels):
            before = channels[max(level - 1, 0)]
            enter = nn.Identity() if level == 0 else _convolution(before, width, stride=2)
            self.levels.append(nn.Sequential(enter, *(_Residual(width) for _ in range(blocks))))
        self.context = nn.Sequential(*(_Attention(channels[-1]) for _ in range(2)))
        self.merges = nn.ModuleList()
        for level in range(len(channels) - 1, finest, -1):
            self.merges.append(_Merge(channels[level], channels[level - 1]))
        # The size of the room is one number: normalised feature maps hardly carry it.
        self.level = nn.Sequential(nn.LayerNorm(channels[-1]), nn.Linear(channels[-1], 1))
        self.head = nn.Conv2d(channels[finest], 1, 3, padding=1)
        for last in (self.level[-1], self.head):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Metric depth of a batch (see `MetricDepthModel`); an unknown camera has `DEFAULT_FOV`.

        Args:
            rgb: uint8 [B, 3, H, W].
            intrinsics: [B, 3, 3] pixels for H x W, or None.
        """
        if intrinsics is None:
            intrinsics = _default_camera(rgb)
        intrinsics = intrinsics.to(device=rgb.device, dtype=torch.float32)
        depth = self(rgb.float() / 255, intrinsics).clamp(LEAST_DEPTH, self.max_depth)
        return MetricDepth(depth, intrinsics)

    def forward(self, image: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
        """Depth in metres, float32 [B, 1, H, W], not limited to the range that it was taught.

        Args:
            image: float32 [B, 3, H, W] in [0, 1].
            intrinsics: float32 [B, 3, 3], pixels for H x W, pixel centres at whole numbers.
        """
        height, width = image.shape[-2:]
        shrunk = F.interpolate(image, self.image_shape, mode="bilinear", antialias=True)
        rays = _ray_slopes(intrinsics, (height, width), self.image_shape)
        dtype = self.head.weight.dtype
        x = self.stem(torch.cat([shrunk * 2 - 1, rays], 1).to(dtype))
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        x = self.context(features.pop())
        level = self.level(x.mean(dim=(2, 3))).float().view(-1, 1, 1, 1)
        for merge in self.merges:
            x = merge(x, features.pop())
        # Geometry in float32, whatever the networks run in.
        log_depth = F.interpolate(
            self.head(x).float(), (height, width), mode="bilinear", align_corners=False
        )
        focal = (intrinsics[:, 0, 0] / width).view(-1, 1, 1, 1)
        return (log_depth + level).clamp(-8, 8).exp() * focal * 4

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors, the layout that `load_metric_model` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")
        weights = {k: v.detach().to(dtype).contiguous() for k, v in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
        nn.GroupNorm(8, width),
        nn.SiLU(),
    )


class _Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(width, width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(x + self.body(x))


class _Attention(nn.Module):
    """Attention over the coarsest map, so that every place knows the whole room."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, width, height, columns = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm(tokens)).view(batch, -1, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(mixed)
        tokens = tokens + self.mlp(tokens)
        return tokens.transpose(1, 2).reshape(batch, width, height, columns)


class _Merge(nn.Module):
    """A coarse map joins the finer one of the encoder."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(coarse, fine, 1)
        self.join = _convolution(2 * fine, fine)
        self.body = _Residual(fine)

    def forward(self, x: torch.Tensor, finer: torch.Tensor) -> torch.Tensor:
        x = F.interpolate(self.project(x), finer.shape[-2:], mode="bilinear", align_corners=False)
        return self.body(self.join(torch.cat([x, finer], 1)))


def _default_camera(rgb: torch.Tensor) -> torch.Tensor:
    """Square pixels, `DEFAULT_FOV` across, principal point in the middle: [B, 3, 3]."""
    height, width = rgb.shape[-2:]
    focal = width / 2 / math.tan(math.radians(DEFAULT_FOV) / 2)
    camera = torch.tensor(
        [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], device=rgb.device
    )
    return camera.expand(len(rgb), 3, 3)


def _ray_slopes(
    intrinsics: torch.Tensor, size: tuple[int, int], shape: tuple[int, int]
) -> torch.Tensor:
    """x / z and y / z of the ray through each of `shape` cells of an image of `size`: [B, 2, h, w].

    A cell's centre is where its middle lies in the image, whose pixel centres are whole numbers.
    """
    k = intrinsics[:, :, :, None]
    across = torch.arange(shape[1], device=k.device, dtype=torch.float32)
    down = torch.arange(shape[0], device=k.device, dtype=torch.float32)
    u = (across + 0.5) * (size[1] / shape[1]) - 0.5
    v = (down + 0.5) * (size[0] / shape[0]) - 0.5
    x = ((u - k[:, 0, 2]) / k[:, 0, 0])[:, None, None, :].expand(-1, 1, shape[0], -1)
    y = ((v - k[:, 1, 2]) / k[:, 1, 1])[:, None, :, None].expand(-1, 1, -1, shape[1])
    return torch.cat([x, y], 1)
