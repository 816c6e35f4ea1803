# SPDX-License-Identifier: Apache-2.0
"""Distils a tiny VAE from a checkpoint's own: the same latents, a small part of the work."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn

from sharpdepth_ros.models.safe_loading import load_network
from sharpdepth_ros.models.tiny_vae import save_tiny_vae
from sharpdepth_ros.models.weights_digest import weights_digest
from sharpdepth_ros.training.augmentation import random_part_of_range
from sharpdepth_ros.training.config import Count, Positive, Weight
from sharpdepth_ros.training.data import Batch
from sharpdepth_ros.training.diffusers_folder import last_checkpoint, require_written
from sharpdepth_ros.training.losses import edge_l1

NOISE = 0.1
"""Standard deviation of what is added to half of the latents that the decoder learns from, of 1
for the latents themselves: at work it decodes a UNet's latents, which no encoder made."""


@dataclass(frozen=True)
class TinyVaeOptions:
    """Options of the stage.

    Attributes:
        vae: the teacher: folder of a VAE training, or of a checkpoint with a vae/.
        channels: of every level; there are as many levels as the teacher has.
        encoder_blocks, decoder_blocks: residual blocks per level, from the image inwards.
        max_depth: metres; what is farther, and the sky, counts as this far.
        depth_weight, edge_weight, latent_weight: of the decoded depth maps' loss, of the loss on
            their differences between neighbours, and of the latents', against the images'.
        init: folder of a tiny VAE to go on from; None for random weights.
    """

    vae: str
    channels: Count = 16
    encoder_blocks: tuple[Count, ...] = (1, 2, 2)
    decoder_blocks: tuple[Count, ...] = (1, 2, 2)
    max_depth: Positive = 15.0
    depth_weight: Weight = 2.0
    edge_weight: Weight = 2.0
    latent_weight: Weight = 1.0
    init: str | None = None


class _BothHalves(nn.Module):
    """Encoder and decoder in one pass, as distributed training needs it."""

    def __init__(self, network: AutoencoderTiny) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, latents: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.network.encode(images).latents, self.network.decode(latents).sample


class TinyVaeStage:
    """The teacher's latents for the encoder, the true images and depth maps for the decoder."""

    state = None
    needs_depth = True

    def __init__(self, options: TinyVaeOptions) -> None:
        self._options = options
        teacher = load_network(last_checkpoint(options.vae) / "vae", AutoencoderKL)
        self._teacher = teacher.eval().requires_grad_(False)
        self.contents = {"stage.vae": weights_digest(teacher)}
        self._tiny = self._build()
        self.network = _BothHalves(self._tiny)
        self.multiple = 2 ** (len(teacher.config.block_out_channels) - 1)

    def attach(self, network: nn.Module, device: torch.device) -> None:
        self._both = network
        self._teacher.to(device)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        batch = batch.mirrored()
        images = batch.rgb.float() / 127.5 - 1
        depth = random_part_of_range(batch.depth.clamp(max=self._options.max_depth))
        given = torch.cat([images, depth.expand(-1, 3, -1, -1)])
        with torch.no_grad():
            wanted = self._teacher.encode(given).latent_dist.mode().float()
            wanted = wanted * self._teacher.config.scaling_factor
            disturbed = torch.rand(len(given), 1, 1, 1, device=given.device) < 0.5
            latents = wanted + NOISE * disturbed * torch.randn_like(wanted)
        encoded, decoded = self._both(given, latents)
        # The pipeline reads the channel mean of a decoded depth map.
        decoded_images, decoded_depth = decoded.float().chunk(2)
        decoded_depth = decoded_depth.mean(1, keepdim=True)
        parts = {
            "latent": F.mse_loss(encoded.float(), wanted),
            "image": (decoded_images - images).abs().mean(),
            "depth": (decoded_depth - depth).abs().mean(),
            "edges": edge_l1(decoded_depth, depth),
        }
        o = self._options
        loss = parts["image"] + o.depth_weight * parts["depth"] + o.edge_weight * parts["edges"]
        return loss + o.latent_weight * parts["latent"], parts

    def updated(self) -> None:
        pass

    def export(self, folder: Path) -> None:
        save_tiny_vae(self._tiny, folder / "tiny_vae")
        require_written(self._tiny, (folder / "tiny_vae").glob("*.safetensors"))

    def _build(self) -> AutoencoderTiny:
        o, levels = self._options, len(self._teacher.config.block_out_channels)
        if o.init is not None:
            return load_network(last_checkpoint(o.init) / "tiny_vae", AutoencoderTiny)
        for name in ("encoder_blocks", "decoder_blocks"):
            if len(getattr(o, name)) != levels:
                raise ValueError(
                    f"stage.{name} has {len(getattr(o, name))} levels, the teacher's VAE {levels}; "
                    "give one number per level"
                )
        return AutoencoderTiny(
            latent_channels=self._teacher.config.latent_channels,
            encoder_block_out_channels=(o.channels,) * levels,
            decoder_block_out_channels=(o.channels,) * levels,
            num_encoder_blocks=o.encoder_blocks,
            num_decoder_blocks=o.decoder_blocks[::-1],
        )
