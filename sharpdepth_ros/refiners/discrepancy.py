# SPDX-License-Identifier: Apache-2.0
"""Where the two models disagree, and the noise-aware gate that renoises just that."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

Gate = Literal["noise-aware", "uniform", "none"]

FLAT_RANGE = 1e-3
"""A metric map whose depth varies by less than this share of its farthest point is flat: a wall
that fills the view. Min-max normalisation would blow its noise up to edges."""

LEAST_DISAGREEMENT = 1e-3
"""Lower bound of the discrepancy's maximum, on the normalised scale [-1, 1]. Below it the models
agree everywhere, and dividing by it would call their rounding a disagreement."""


@dataclass(frozen=True)
class DepthRange:
    """Nearest and farthest point of each metric map of a batch: what [-1, 1] stands for.

    Attributes:
        near: [B, 1, 1, 1] metres.
        extent: [B, 1, 1, 1] metres from near to far, bounded from below.
        flat: bool [B]; the map is flat or empty, so that its normalised form carries nothing.
    """

    near: torch.Tensor
    extent: torch.Tensor
    flat: torch.Tensor

    @classmethod
    def of(cls, depth: torch.Tensor) -> "DepthRange":
        """The range of the finite pixels of [B, 1, h, w] metres."""
        finite = depth.isfinite()
        near = depth.where(finite, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
        far = depth.where(finite, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
        extent, least = far - near, FLAT_RANGE * torch.maximum(near.abs(), far.abs())
        flat = (extent < least) | (extent <= 0)  # an empty map has the extent -inf
        return cls(near, torch.maximum(extent, least), flat.flatten())

    def normalise(self, depth: torch.Tensor) -> torch.Tensor:
        """Depth [B, 1, h, w] on the scale of this range, in [-1, 1] and finite everywhere.

        Pixels that are not finite count as far.
        """
        normalised = (depth - self.near) / self.extent * 2 - 1
        return normalised.where(normalised.isfinite() & depth.isfinite(), 1.0).clamp(-1, 1)

    def carry(self, normalised: torch.Tensor, other: "DepthRange") -> torch.Tensor:
        """What is `normalised` on another range, [B, 1, h, w], on the scale of this one."""
        metres = (normalised + 1) / 2 * other.extent + other.near
        return (metres - self.near) / self.extent * 2 - 1


def discrepancy_map(generated: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """e = |d_g - n| / max |d_g - n|, the paper's discrepancy, in [0, 1].

    Args:
        generated: [B, 1, h, w] the generator's depth, about [-1, 1].
        metric: [B, 1, h, w] the normalised metric depth.

    Returns:
        [B, 1, h, w]. A pixel where the generator gives no finite number counts as 1.
    """
    error = (generated - metric).abs()
    finite = error.isfinite()
    largest = error.where(finite, 0.0).amax(dim=(1, 2, 3), keepdim=True)
    return (error / largest.clamp_min(LEAST_DISAGREEMENT)).where(finite, 1.0).clamp(0, 1)


def gate_strength(gate: Gate, discrepancy: torch.Tensor) -> torch.Tensor:
    """How much noise goes where, [B, 1, h, w] in [0, 1].

    Args:
        gate: "noise-aware": the discrepancy itself; "uniform": its mean over the image, so the
            same amount of noise without knowing where; "none": 1, the metric depth is not shown.
            The last two are the paper's ablations.
        discrepancy: [B, 1, h, w], e.
    """
    if gate == "noise-aware":
        return discrepancy
    if gate == "uniform":
        return discrepancy.mean(dim=(1, 2, 3), keepdim=True).expand_as(discrepancy)
    return torch.ones_like(discrepancy)


def gate_latent(
    discrepancy: torch.Tensor, renoised: torch.Tensor, metric_latent: torch.Tensor, stride: int
) -> torch.Tensor:
    """z' = m * renoised + (1 - m) * z_d: noise where the models disagree, f_D where they agree.

    Args:
        discrepancy: [B, 1, h, w] in [0, 1].
        renoised: [B, C, h / stride, w / stride] the generator's latent with noise.
        metric_latent: the same shape, the metric depth's latent.
        stride: pixels per latent cell; m is the discrepancy at every stride-th pixel.
    """
    gate = F.interpolate(discrepancy, scale_factor=1 / stride, mode="nearest").to(renoised.dtype)
    return gate * renoised + (1 - gate) * metric_latent
