# SPDX-License-Identifier: Apache-2.0
"""What the student is shown: the gated latent, and the variants of it that the paper ablates."""

from typing import Literal

import torch

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.pipeline.discrepancy import Gate, gate_latent, gate_strength

GateNoise = Literal["pure", "released"]


def gated_input(
    model: DepthDiffusion,
    gate: Gate,
    gate_noise: GateNoise,
    discrepancy: torch.Tensor,
    generated: torch.Tensor,
    metric_latent: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """z' = m * noisy + (1 - m) * z_d, the depth latent that the student gets.

    Args:
        model: its schedule and stride.
        gate: see `gate_strength`.
        gate_noise: noisy is "pure" (the paper): the noise; or "released" (the published code):
            q(x_t | z_g) at the last timestep.
        discrepancy: [B, 1, h, w] in [0, 1].
        generated: [B, C, ...], z_g.
        metric_latent: [B, C, ...], z_d.
        noise: [B, C, ...], standard normal.
    """
    noisy = noise if gate_noise == "pure" else model.renoise(generated, noise)
    strength = gate_strength(gate, discrepancy)
    return gate_latent(strength, noisy.to(metric_latent.dtype), metric_latent, model.stride)
