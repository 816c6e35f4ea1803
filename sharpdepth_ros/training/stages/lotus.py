# SPDX-License-Identifier: Apache-2.0
"""Trains a small Lotus on labels: a UNet that predicts the depth latent x0 at t = 999."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from sharpdepth_ros.pipeline.discrepancy import DepthRange
from sharpdepth_ros.training.checkpoint_folder import (
    SmallBase,
    find_checkpoint,
    last_checkpoint,
    load_for_training,
    small_unet,
    write_trained,
)
from sharpdepth_ros.training.data import Batch


@dataclass(frozen=True)
class LotusOptions:
    """Options of the stage.

    Attributes:
        vae: folder of a VAE training, or of a checkpoint with a vae/; for a new UNet.
        channels, attention, layers: of the new UNet, per level.
        init: folder of a Lotus to go on from, instead of `vae`.
        max_depth: metres; what is farther, and the sky, counts as this far.
        keep_latents: keep each image's latents in memory, half precision, so that the VAE runs
            once per image and its mirror: 2 C bytes for each of an image's latent cells and maps.
    """

    vae: str | None = None
    channels: tuple[int, ...] = (48, 96, 160)
    attention: tuple[bool, ...] = (False, False, True)
    layers: int = 1
    init: str | None = None
    max_depth: float = 15.0
    keep_latents: bool = False


class LotusStage:
    """mean (UNet([z_i, noise], 999) - z_d)^2: image and noise to the latent of the true depth."""

    state = None
    needs_depth = True

    def __init__(self, options: LotusOptions) -> None:
        if (options.vae is None) == (options.init is None):
            raise ValueError("give either stage.vae, for a new Lotus, or stage.init")
        self._max_depth = options.max_depth
        self._kept: dict[tuple[str, bool], tuple[torch.Tensor, ...]] | None = None
        if options.keep_latents:
            self._kept = {}
        self._small = None
        if options.init is not None:
            self._base = find_checkpoint(options.init, "generator")
        else:
            vae = AutoencoderKL.from_pretrained(last_checkpoint(options.vae) / "vae")
            unet = small_unet(
                vae.config.latent_channels, options.channels, options.attention, options.layers
            )
            self._small = SmallBase(vae, unet)
            self._base = self._small.folder
        self._model = load_for_training(self._base)
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
        if self._kept is None:
            return self._encode(batch)
        keys = list(zip(batch.keys, batch.flip.tolist(), strict=True))
        missing = [index for index, key in enumerate(keys) if key not in self._kept]
        if missing:
            made = (part.half().cpu() for part in self._encode(batch.part(missing)))
            self._kept.update(zip((keys[i] for i in missing), zip(*made, strict=True), strict=True))
        parts = zip(*(self._kept[key] for key in keys), strict=True)
        # Each as float32 first: autocast on the CPU does not stack half precision.
        return tuple(torch.stack([p.float() for p in part]).to(batch.rgb.device) for part in parts)

    def _encode(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        batch = batch.mirrored()
        depth = batch.depth.clamp(max=self._max_depth)
        extent = DepthRange.of(depth)
        images = batch.rgb.float() / 127.5 - 1
        pair = torch.cat([extent.normalise(depth).expand(-1, 3, -1, -1), images])
        target, image_latent = self._model.encode(pair).float().chunk(2)
        # The normalised form of a flat wall is its noise.
        return target, image_latent, (~extent.flat).float()

    def updated(self) -> None:
        pass

    def export(self, folder: Path) -> None:
        write_trained(folder, self.network, self._base)
