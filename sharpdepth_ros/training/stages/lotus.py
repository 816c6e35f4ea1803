# SPDX-License-Identifier: Apache-2.0
"""Trains a small Lotus on labels: a UNet that predicts the depth latent x0 at t = 999."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from sharpdepth_ros.models.safe_loading import load_network
from sharpdepth_ros.models.weights_digest import weights_digest
from sharpdepth_ros.refiners.discrepancy import DepthRange
from sharpdepth_ros.training.config import Channels, Count, Positive
from sharpdepth_ros.training.data import Batch
from sharpdepth_ros.training.diffusers_folder import (
    SmallBase,
    find_checkpoint,
    last_checkpoint,
    load_for_training,
    small_unet,
    write_trained,
)
from sharpdepth_ros.training.disk_cache import DiskCache, content_key


@dataclass(frozen=True)
class LotusOptions:
    """Options of the stage.

    Attributes:
        vae: folder of a VAE training, or of a checkpoint with a vae/; for a new UNet.
        channels, attention, layers: of the new UNet, per level.
        init: folder of a Lotus to go on from, instead of `vae`.
        max_depth: metres; what is farther, and the sky, counts as this far.
        latent_cache: folder in which the latents of each image and of its mirror are kept, half
            precision, so that the VAE runs once on them; None for none.
    """

    vae: str | None = None
    channels: tuple[Channels, ...] = (48, 96, 160)
    attention: tuple[bool, ...] = (False, False, True)
    layers: Count = 1
    init: str | None = None
    max_depth: Positive = 15.0
    latent_cache: str | None = None


class LotusStage:
    """mean (UNet([z_i, noise], 999) - z_d)^2: image and noise to the latent of the true depth."""

    state = None
    needs_depth = True

    def __init__(self, options: LotusOptions) -> None:
        if (options.vae is None) == (options.init is None):
            raise ValueError("give either stage.vae, for a new Lotus, or stage.init")
        self._max_depth = options.max_depth
        self._small = None
        if options.init is not None:
            self._base = find_checkpoint(options.init, "generator")
        else:
            vae = load_network(last_checkpoint(options.vae) / "vae", AutoencoderKL)
            unet = small_unet(
                vae.config.latent_channels, options.channels, options.attention, options.layers
            )
            self._small = SmallBase(vae, unet)
            self._base = self._small.folder
        self._model = load_for_training(self._base)
        vae = self._model.vae
        settings = {k: v for k, v in sorted(vae.config.items()) if not k.startswith("_")}
        frozen = content_key(weights_digest(vae), str(settings))
        self.contents = {"stage.vae" if options.init is None else "stage.init": frozen}
        self._cache = None
        if options.latent_cache is not None:
            network = content_key(frozen, str(options.max_depth))
            self._cache = DiskCache(Path(options.latent_cache), network)
        self.network = self._model.unet.requires_grad_(True)
        self.multiple = self._model.stride

    def attach(self, network: nn.Module, device: torch.device) -> None:
        self._model.to(device)
        self._model.unet = network

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        target, image_latent, told = self._latents(batch)
        predicted = self._model.predict(image_latent, torch.randn_like(target)).float()
        error = F.mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))
        return (error * told).sum() / told.sum().clamp_min(1), {}

    @torch.no_grad()
    def _latents(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Of the true depth and of the image, [B, C, h, w], and which depth maps tell, [B]."""
        batch = replace(batch, depth=batch.depth.clamp(max=self._max_depth))
        # The normalised form of a flat wall is its noise.
        told = (~DepthRange.of(batch.depth).flat).float()
        if self._cache is None:
            return *self._encode(batch).chunk(2, dim=1), told
        device = told.device.type
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        keys = [
            content_key(key, str(flip), str(precision))
            for key, flip in zip(batch.keys, batch.flip.tolist(), strict=True)
        ]
        height, width = (side // self._model.stride for side in batch.rgb.shape[-2:])
        latents = self._cache.read(
            keys,
            (2 * self._model.latent_channels, height, width),
            lambda missing: self._encode(batch.part(missing)),
        )
        return *latents.to(told.device).chunk(2, dim=1), told

    def _encode(self, batch: Batch) -> torch.Tensor:
        """Both latents, [B, 2 C, h, w]."""
        batch = batch.mirrored()
        normalised = DepthRange.of(batch.depth).normalise(batch.depth)
        images = batch.rgb.float() / 127.5 - 1
        pair = torch.cat([normalised.expand(-1, 3, -1, -1), images])
        return torch.cat(self._model.encode(pair).float().chunk(2), dim=1)

    def updated(self) -> None:
        pass

    def export(self, folder: Path) -> None:
        write_trained(folder, self.network, self._base)
