# SPDX-License-Identifier: Apache-2.0
"""Trains a small VAE on images and depth maps: the latent space of the small Lotus."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import nn

from sharpdepth_ros.models.safe_loading import load_network
from sharpdepth_ros.training.augmentation import random_part_of_range
from sharpdepth_ros.training.config import Count, Positive, Weight
from sharpdepth_ros.training.data import Batch
from sharpdepth_ros.training.diffusers_folder import last_checkpoint, save_network
from sharpdepth_ros.training.losses import edge_l1, kl_divergence

MEMORY = 0.99
"""Of the running standard deviation of the latents."""


@dataclass(frozen=True)
class VaeOptions:
    """Options of the stage.

    Attributes:
        channels: of each level of the VAE; the stride is 2 ** (levels - 1).
        layers: residual blocks per level.
        groups: of its group normalisation.
        latent_channels: of the latent.
        max_depth: metres; what is farther, and the sky, counts as this far.
        depth_weight: of the depth maps' loss against the images'.
        edge_weight: of the loss on the depth maps' differences between neighbours.
        kl_weight: of the KL divergence of the posterior from the standard normal.
        init: folder of a VAE, or of its training, to go on from; None for random weights.
    """

    channels: tuple[Count, ...] = (16, 32, 64)
    layers: Count = 1
    groups: Count = 8
    latent_channels: Count = 8
    max_depth: Positive = 15.0
    depth_weight: Weight = 1.0
    edge_weight: Weight = 1.0
    kl_weight: Weight = 1e-4
    init: str | None = None


class _Reconstruction(nn.Module):
    """Posterior and its decoded sample in one pass, as distributed training needs it."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        posterior = self.vae.encode(images).latent_dist
        return self.vae.decode(posterior.sample()).sample, posterior.mean, posterior.logvar


class _LatentSpread:
    """Running standard deviation of the latents: one over it is the VAE's scaling factor."""

    def __init__(self) -> None:
        self.deviation: float | None = None

    def update(self, mean: torch.Tensor) -> None:
        now = float(mean.detach().float().std())
        old = self.deviation
        self.deviation = now if old is None else MEMORY * old + (1 - MEMORY) * now

    def state_dict(self) -> dict[str, Any]:
        return {"deviation": self.deviation}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.deviation = state["deviation"]


class VaeStage:
    """Reconstructs images and normalised depth maps, half and half."""

    needs_depth = True

    def __init__(self, options: VaeOptions) -> None:
        self.contents: dict[str, str] = {}
        self._options = options
        self._vae = self._build()
        self.network = _Reconstruction(self._vae)
        self.state = _LatentSpread()
        self.multiple = 2 ** (len(self._vae.config.block_out_channels) - 1)

    def attach(self, network: nn.Module, device: torch.device) -> None:
        self._reconstruct = network

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        batch = batch.mirrored()
        images = batch.rgb.float() / 127.5 - 1
        depth = random_part_of_range(batch.depth.clamp(max=self._options.max_depth))
        given = torch.cat([images, depth.expand(-1, 3, -1, -1)])
        decoded, mean, logvar = self._reconstruct(given)
        # The pipeline reads the channel mean of a decoded depth map.
        decoded_images, decoded_depth = decoded.float().chunk(2)
        decoded_depth = decoded_depth.mean(1, keepdim=True)
        parts = {
            "image": (decoded_images - images).abs().mean(),
            "depth": (decoded_depth - depth).abs().mean(),
            "edges": edge_l1(decoded_depth, depth),
            "kl": kl_divergence(mean.float(), logvar.float()),
        }
        o = self._options
        loss = parts["image"] + o.depth_weight * parts["depth"]
        loss = loss + o.edge_weight * parts["edges"] + o.kl_weight * parts["kl"]
        self.state.update(mean)
        return loss, parts

    def updated(self) -> None:
        pass

    def export(self, folder: Path) -> None:
        if self.state.deviation is not None:
            self._vae.register_to_config(scaling_factor=1 / self.state.deviation)
        save_network(self._vae, folder / "vae")

    def _build(self) -> AutoencoderKL:
        o = self._options
        if o.init is not None:
            folder = last_checkpoint(o.init)
            inside = folder / "vae"
            return load_network(inside if inside.is_dir() else folder, AutoencoderKL)
        levels = len(o.channels)
        if not levels or any(channels % o.groups for channels in o.channels):
            raise ValueError(
                f"stage.channels is {o.channels}; give one number per level, each a multiple of "
                f"stage.groups, {o.groups}"
            )
        return AutoencoderKL(
            block_out_channels=o.channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=o.layers,
            norm_num_groups=o.groups,
            latent_channels=o.latent_channels,
            # Attention over a whole image is what a small stride costs most; edges are local.
            mid_block_add_attention=False,
        )
