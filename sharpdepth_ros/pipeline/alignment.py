# SPDX-License-Identifier: Apache-2.0
"""Brings affine-invariant depth to metres: scale and shift in closed form, on the device."""

import math
from dataclasses import dataclass

import torch

from sharpdepth_ros.models.generator import Fit, Space

AGREEMENT = 0.5
"""Pixels whose discrepancy is below this take part in the fit (released code: valid_mask)."""

LEAST_SHARE = 0.01
"""A fit on fewer pixels than this share of the image says nothing about the rest of it."""

LEAST_DISPARITY = 1e-3
"""One over metres; a fitted disparity below this would be farther than a kilometre, or behind the
camera (as the published evaluation clips it)."""

LEAST_DEVIATION = 1e-4
"""Standard deviation of the affine depth, on its own scale of about [-1, 1], under which the
scale is noise."""

FIT_PIXELS = 20_000
"""About as many pixels of a regular grid take part in the relative fit: plenty for two unknowns."""

ROUNDS = 6
"""Weightings of the relative fit; on rooms, more change the share within 25 % by less than 1e-4."""

LEAST_DEPTH = 0.05
"""Share of the mean depth. What is nearer counts as if it were there: a few pixels at a millimetre
would decide the relative fit alone."""

LEAST_RELATIVE_ERROR = 0.02
"""Errors below this share of the depth weigh alike in the relative fit, so that no pixel decides
alone. Half of it and twice of it give the same fit within 1e-3."""


@dataclass(frozen=True)
class Alignment:
    """A fit per image; all tensors are on the device, so that computing it never waits.

    Attributes:
        scale: float32 [B], metres (in disparity space 1 / metres) per unit of the affine map.
        shift: float32 [B], metres (1 / metres).
        sound: bool [B]; False where the fit is degenerate: too few pixels, an affine depth that
            hardly varies, a scale that is not positive, a number that is not finite.
        space: what the affine map is affine to.
    """

    scale: torch.Tensor
    shift: torch.Tensor
    sound: torch.Tensor
    space: Space = "depth"

    def apply(self, affine: torch.Tensor) -> torch.Tensor:
        """The affine map as metres: scale * affine + shift, or one over that; [B, 1, H, W]."""
        fitted = affine * self.scale.view(-1, 1, 1, 1) + self.shift.view(-1, 1, 1, 1)
        return fitted if self.space == "depth" else 1 / fitted.clamp_min(LEAST_DISPARITY)


def align(
    affine: torch.Tensor,
    metric: torch.Tensor,
    mask: torch.Tensor | None = None,
    space: Space = "depth",
    fit: Fit = "least-squares",
) -> Alignment:
    """Fit scale and shift of an affine map to the metric depth; see the two functions below."""
    chosen = align_relative if fit == "relative" else align_least_squares
    return chosen(affine, metric, mask, space)


def align_least_squares(
    affine: torch.Tensor,
    metric: torch.Tensor,
    mask: torch.Tensor | None = None,
    space: Space = "depth",
) -> Alignment:
    """Fit scale and shift of an affine map to the metric depth (released: alignment.py).

    Closed form of min over (s, t) of sum over the mask of (s a + t - d)^2: with means over the
    mask, s = cov(a, d) / var(a) and t = mean(d) - s mean(a).

    Args:
        affine: [B, 1, H, W] affine-invariant depth or disparity.
        metric: [B, 1, H, W] metres.
        mask: bool [B, 1, H, W]; pixels to use, None for all. Pixels that are not finite in
            either map are never used.
        space: of the affine map; in "disparity" it is fitted to one over the metric depth, where
            that is positive (published Lotus evaluation: least_square_disparity).
    """
    a, d, usable = _fitted_pixels(affine, metric, mask, space)
    scale, shift, variance = _weighted_line(a, d, usable.to(a.dtype))
    return _judged(scale, shift, variance, usable, space)


def align_relative(
    affine: torch.Tensor,
    metric: torch.Tensor,
    mask: torch.Tensor | None = None,
    space: Space = "depth",
) -> Alignment:
    """Fit scale and shift by the errors' share of the depth instead of their squared metres.

    Squared metres are decided by what is far: a metre at 10 m counts as much as one at 1 m. This is
    min over (s, t) of sum over the mask of |s a + t - d| / d, by a fixed number of reweighted least
    squares (Beaton and Tukey, 1974), which start from the least squared shares. Arguments as in
    `align_least_squares`; pixels whose metric depth is not positive are never used.
    """
    step = max(1, math.ceil(math.sqrt(affine[0].numel() / FIT_PIXELS)))
    grid = (..., slice(None, None, step), slice(None, None, step))
    positive = metric[grid] > 0
    mask = positive if mask is None else mask[grid] & positive
    a, d, usable = _fitted_pixels(affine[grid], metric[grid], mask, space)
    mean = d.sum(dim=(1, 2, 3), keepdim=True) / usable.sum(dim=(1, 2, 3), keepdim=True)
    share = d.maximum(LEAST_DEPTH * mean).reciprocal().where(usable, 0.0)
    weight = share.square()
    for _ in range(ROUNDS):
        scale, shift, variance = _weighted_line(a, d, weight)
        error = (scale.view(-1, 1, 1, 1) * a + shift.view(-1, 1, 1, 1) - d).abs() * share
        weight = share.square() / error.clamp_min(LEAST_RELATIVE_ERROR)
    return _judged(scale, shift, variance, usable, space)


def _fitted_pixels(
    affine: torch.Tensor, metric: torch.Tensor, mask: torch.Tensor | None, space: Space
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Affine map and what it is fitted to, 0 where a pixel takes no part, and which do."""
    if space == "disparity":
        metric = metric.where(metric > 0, torch.nan).reciprocal()
    usable = affine.isfinite() & metric.isfinite()
    if mask is not None:
        usable &= mask
    # Sums over a million pixels: float64 where the device has it. mps has not.
    wide = torch.float32 if affine.device.type == "mps" else torch.float64
    return affine.to(wide).where(usable, 0.0), metric.to(wide).where(usable, 0.0), usable


def _weighted_line(
    a: torch.Tensor, d: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scale, shift and the variance of a under the weights, each [B]."""
    total = weight.sum(dim=(1, 2, 3))

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (weight * values).sum(dim=(1, 2, 3)) / total

    mean_a, mean_d = mean(a), mean(d)
    centred_a = a - mean_a.view(-1, 1, 1, 1)
    variance = mean(centred_a.square())
    scale = mean(centred_a * (d - mean_d.view(-1, 1, 1, 1))) / variance
    return scale, mean_d - scale * mean_a, variance


def _judged(
    scale: torch.Tensor,
    shift: torch.Tensor,
    variance: torch.Tensor,
    usable: torch.Tensor,
    space: Space,
) -> Alignment:
    """The fit, and whether it is sound."""
    sound = (
        (usable.sum(dim=(1, 2, 3)) >= LEAST_SHARE * usable[0].numel())
        & (variance > LEAST_DEVIATION**2)
        & scale.isfinite()
        & shift.isfinite()
        & (scale > 0)
    )
    return Alignment(scale.float(), shift.float(), sound, space)
