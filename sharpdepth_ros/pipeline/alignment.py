# SPDX-License-Identifier: Apache-2.0
"""Brings affine-invariant depth to metres: least squares in closed form, on the device."""

from dataclasses import dataclass

import torch

from sharpdepth_ros.models.generator import Space

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
    if space == "disparity":
        metric = metric.where(metric > 0, torch.nan).reciprocal()
    usable = affine.isfinite() & metric.isfinite()
    if mask is not None:
        usable &= mask
    # Sums over a million pixels: float64 where the device has it. mps has not.
    wide = torch.float32 if affine.device.type == "mps" else torch.float64
    weight = usable.to(wide)
    a = affine.to(wide).where(usable, 0.0)
    d = metric.to(wide).where(usable, 0.0)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (weight * values).sum(dim=(1, 2, 3)) / count

    count = weight.sum(dim=(1, 2, 3))
    mean_a, mean_d = mean(a), mean(d)
    centred_a = a - mean_a.view(-1, 1, 1, 1)
    variance = mean(centred_a.square())
    scale = mean(centred_a * (d - mean_d.view(-1, 1, 1, 1))) / variance
    shift = mean_d - scale * mean_a
    sound = (
        (count >= LEAST_SHARE * affine[0].numel())
        & (variance > LEAST_DEVIATION**2)
        & scale.isfinite()
        & shift.isfinite()
        & (scale > 0)
    )
    return Alignment(scale.float(), shift.float(), sound, space)
