# SPDX-License-Identifier: Apache-2.0
"""SharpDepth (CVPR 2025, arXiv 2411.18229) as pure functions of tensors.

Inference, training and the released arrangement in benchmarks/ all call these. The numbers are the
steps of docs/method.md, the variables are the paper's. `sharpdepth` is the whole method.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import torch

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.refiners.discrepancy import (
    DepthRange,
    Gate,
    discrepancy_map,
    gate_latent,
    gate_strength,
)

GateNoise = Literal["released", "pure"]
"""What the gate adds where the models disagree: the generator's latent with noise (the published
code), or pure noise (the paper)."""


class Vae(Protocol):
    """What encodes images to latents and back: a `DepthDiffusion`, or a `TinyVae`."""

    def encode(self, images: torch.Tensor) -> torch.Tensor: ...

    def decode(self, latent: torch.Tensor) -> torch.Tensor: ...


class EncodedDepth(NamedTuple):
    """A metric depth map as the networks see it.

    Attributes:
        z_d: [B, C, h/s, w/s], its latent.
        n: [B, 1, h, w], normalised to [-1, 1].
        near, extent, flat: the fields of the `DepthRange` that n is on; tensors of their own, so
            that a CUDA graph can return them.
    """

    z_d: torch.Tensor
    n: torch.Tensor
    near: torch.Tensor
    extent: torch.Tensor
    flat: torch.Tensor

    @property
    def range(self) -> DepthRange:
        return DepthRange(self.near, self.extent, self.flat)


def encode_image(vae: Vae, image: torch.Tensor) -> torch.Tensor:
    """Step 4, the image's half: z_i [B, C, h/s, w/s] of an image [B, 3, h, w] in [-1, 1]."""
    return vae.encode(image)


def encode_depth(vae: Vae, metric_depth: torch.Tensor) -> EncodedDepth:
    """Steps 3 and 4, the depth's half.

    Args:
        vae: the sharpener's, or a distilled one.
        metric_depth: d, [B, 1, h, w] metres.
    """
    span = DepthRange.of(metric_depth)
    n = span.normalise(metric_depth)  #                                        [B, 1, h, w]
    return EncodedDepth(vae.encode(_three_channels(n)), n, span.near, span.extent, span.flat)


def encode(
    vae: Vae, image: torch.Tensor, metric_depth: torch.Tensor
) -> tuple[torch.Tensor, EncodedDepth]:
    """Steps 3 and 4 with one pass of the encoder for both halves: z_i and the encoded depth."""
    span = DepthRange.of(metric_depth)
    n = span.normalise(metric_depth)  #                                        [B, 1, h, w]
    z_d, z_i = vae.encode(torch.cat([_three_channels(n), image])).chunk(2)
    return z_i, EncodedDepth(z_d, n, span.near, span.extent, span.flat)


def generate(
    generator: DepthDiffusion,
    vae: Vae,
    z_i: torch.Tensor,
    noise: torch.Tensor | None,
    steps: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Step 6, the first pass.

    Args:
        generator: f_G.
        vae: decodes its latent.
        z_i: [B, C, h/s, w/s].
        noise: standard normal of that shape; None for a generator without noise input.
        steps: denoising steps.

    Returns:
        z_g [B, C, h/s, w/s] and d_g [B, 1, h, w], about [-1, 1].
    """
    z_g = generator.generate(z_i, noise, steps)
    return z_g, decode_depth(vae, z_g)


def gate(
    model: DepthDiffusion,
    z_d: torch.Tensor,
    n: torch.Tensor,
    z_g: torch.Tensor,
    d_g: torch.Tensor,
    noise: torch.Tensor,
    kind: Gate = "noise-aware",
    gate_noise: GateNoise = "released",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps 7 to 9: noise where the models disagree, f_D where they agree.

    Args:
        model: its noise schedule and stride.
        z_d, n: of the metric depth.
        z_g, d_g: of the generator.
        noise: standard normal, the shape of z_g.
        kind: see `gate_strength`; "noise-aware" is the method.
        gate_noise: what is added.

    Returns:
        z' [B, C, h/s, w/s] and e [B, 1, h, w] in [0, 1].
    """
    e = discrepancy_map(d_g, n)
    noisy = noise if gate_noise == "pure" else model.renoise(z_g, noise)
    strength = gate_strength(kind, e)
    return gate_latent(strength, noisy.to(z_d.dtype), z_d, model.stride), e


def sharpen(
    sharpener: DepthDiffusion, vae: Vae, z_i: torch.Tensor, z_gated: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Step 10, the second pass: the sharpener's latent z_s, and d_s [B, 1, h, w], about [-1, 1]."""
    z_s = sharpener.predict(z_i, z_gated)
    return z_s, decode_depth(vae, z_s)


def decode_depth(vae: Vae, latent: torch.Tensor) -> torch.Tensor:
    """Affine depth [B, 1, h, w] of a latent: the mean of the decoded channels."""
    return vae.decode(latent).mean(1, keepdim=True)


def sharpdepth(
    model: DepthDiffusion,
    image: torch.Tensor,
    metric_depth: torch.Tensor,
    noise_generator: torch.Tensor,
    noise_gate: torch.Tensor,
    kind: Gate = "noise-aware",
) -> tuple[torch.Tensor, torch.Tensor]:
    """The method as released, steps 3 to 10: one network is generator and sharpener.

    Args:
        model: the sharpener.
        image: [B, 3, h, w] in [-1, 1].
        metric_depth: d, [B, 1, h, w] metres.
        noise_generator, noise_gate: standard normal [B, C, h/s, w/s].
        kind: of the gate.

    Returns:
        d_s and e, each [B, 1, h, w].
    """
    z_i, depth = encode(model, image, metric_depth)  #            3.-4.  [B, C, h/s, w/s]
    z_g, d_g = generate(model, model, z_i, noise_generator)  #       6.  [B, 1, h, w]
    z_gated, e = gate(model, depth.z_d, depth.n, z_g, d_g, noise_gate, kind)  # 7.-9.
    _, d_s = sharpen(model, model, z_i, z_gated)  #                 10.  [B, 1, h, w]
    return d_s, e


def _three_channels(maps: torch.Tensor) -> torch.Tensor:
    return maps.expand(-1, 3, -1, -1)
