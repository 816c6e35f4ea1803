# SPDX-License-Identifier: Apache-2.0
"""Trains the small metric model on synthetic frames: exact depth, known camera."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sharpdepth_ros.models.small_metric import NAME, SmallMetric
from sharpdepth_ros.training.config import Channels, Count, Positive, Size
from sharpdepth_ros.training.data import Batch
from sharpdepth_ros.training.diffusers_folder import require_written
from sharpdepth_ros.training.losses import log_l1


@dataclass(frozen=True)
class MetricOptions:
    """Options of the stage.

    Attributes:
        image_shape: height and width that the network works at.
        channels: of each level; the first has stride 4.
        blocks: residual blocks per level.
        output_stride: pixels per cell of the estimate.
        max_depth: metres; what is farther, and the sky, counts as this far.
    """

    image_shape: tuple[Size, ...] = (144, 192)
    channels: tuple[Channels, ...] = (32, 64, 128, 192)
    blocks: Count = 2
    output_stride: Count = 8
    max_depth: Positive = 15.0


class MetricStage:
    """L1 of the logarithm of depth."""

    state = None
    multiple = 1
    needs_depth = True

    def __init__(self, options: MetricOptions) -> None:
        self.contents: dict[str, str] = {}
        self._max_depth = options.max_depth
        if len(options.image_shape) != 2:
            raise ValueError(f"stage.image_shape is {options.image_shape}; give [height, width]")
        if not options.channels or options.channels[0] % 16:
            raise ValueError(
                f"stage.channels is {options.channels}; give one number per level, the first a "
                "multiple of 16"
            )
        self.network = SmallMetric(
            {
                "model": {
                    "name": NAME,
                    "image_shape": list(options.image_shape),
                    "channels": list(options.channels),
                    "blocks": options.blocks,
                    "output_stride": options.output_stride,
                    "max_depth": options.max_depth,
                }
            }
        )

    def attach(self, network: nn.Module, device: torch.device) -> None:
        self._estimate = network

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        batch = batch.mirrored()
        depth = self._estimate(_jittered(batch.rgb.float() / 255), batch.intrinsics)
        target = batch.depth.clamp(max=self._max_depth)
        loss = log_l1(depth, target, torch.ones_like(target, dtype=torch.bool))
        ratio = torch.maximum(depth / target, target / depth)
        return loss, {"delta1": (ratio < 1.25).float().mean()}

    def updated(self) -> None:
        pass

    def export(self, folder: Path) -> None:
        self.network.save_pretrained(folder)
        require_written(self.network, [folder / "model.safetensors"])


def _jittered(image: torch.Tensor) -> torch.Tensor:
    """Another exposure and white balance: cameras differ in them, rooms do not."""
    gain = 0.8 + 0.4 * torch.rand(len(image), 1, 1, 1, device=image.device)
    tint = 0.92 + 0.16 * torch.rand(len(image), 3, 1, 1, device=image.device)
    return (image * gain * tint).clamp(0, 1)
