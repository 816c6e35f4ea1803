# SPDX-License-Identifier: Apache-2.0
"""A distilled VAE in the place of a checkpoint's own: a small part of its work, nearly its maps."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import nn

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.safe_loading import CheckpointError, load_network


class TinyVae(nn.Module):
    """diffusers' AutoencoderTiny with the encode and decode of a `DepthDiffusion`.

    Attributes:
        stride: pixels per latent cell.
        latent_channels: channels of one latent.
    """

    def __init__(self, network: AutoencoderTiny) -> None:
        super().__init__()
        self.network = network
        self.stride = 2 ** (len(network.config.encoder_block_out_channels) - 1)
        self.latent_channels = network.config.latent_channels

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def compile_networks(self) -> None:
        """Run encoder and decoder through torch.compile from now on."""
        for network in (self.network.encoder, self.network.decoder):
            network.compile(dynamic=False)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latent, as scaled for the UNet, of images [B, 3, h, w] in [-1, 1]."""
        return self.network.encode(images.to(self.dtype)).latents * self.network.scaling_factor

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Image of a latent, float32 [B, 3, h, w], about [-1, 1] and not clamped."""
        latent = latent.to(self.dtype) / self.network.scaling_factor
        return self.network.decode(latent).sample.float()

    def require_fit(self, model: DepthDiffusion) -> None:
        """Check that the latents have the shape of the model's; their meaning cannot be checked.

        Raises:
            CheckpointError: they have not.
        """
        mine, wanted = (
            f"{vae.latent_channels} channels and stride {vae.stride}" for vae in (self, model)
        )
        if mine != wanted:
            raise CheckpointError(
                f"the tiny VAE's latents have {mine}, the checkpoint's {wanted}: they are of "
                "different models. `taesd` fits the released ones; `sharpdepth train tiny-vae` "
                "makes one for any checkpoint"
            )


def save_tiny_vae(network: AutoencoderTiny, folder: Path) -> None:
    """Write it in diffusers' layout, without a key of its config.json that diffusers warns of when
    it reads what it wrote."""
    network.save_pretrained(folder)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config.pop("block_out_channels", None)
    file.write_text(json.dumps(config, indent=2) + "\n")


def load_tiny_vae(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> TinyVae:
    """Load an AutoencoderTiny in diffusers' layout: config.json beside the weights.

    Args:
        folder: holds them, or a subfolder tiny_vae/ that does, as training writes it.
        device: where it runs.
        dtype: of its weights.

    Raises:
        CheckpointError: the folder is not one, or is incomplete.
    """
    if (folder / "tiny_vae").is_dir():
        folder = folder / "tiny_vae"
    network = load_network(folder, AutoencoderTiny, dtype)
    return TinyVae(network.to(device)).eval().requires_grad_(False)
