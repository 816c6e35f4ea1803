# SPDX-License-Identifier: Apache-2.0
"""Viewing rays of a pinhole camera and the bases in which UniDepth presents them to a network."""

import math

import torch
from torch.nn import functional as F

from sharpdepth_ros.models.unidepth.layers import resize

LegendreTables = tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], ...]

# By degree and device. Not functools.cache: torch.compile warns about it.
_TABLES: dict[tuple[int, torch.device], LegendreTables] = {}


def transform_intrinsics(
    intrinsics: torch.Tensor, scale: float, shift_x: float, shift_y: float
) -> torch.Tensor:
    """Intrinsics [B, 3, 3] (float32) after image coordinates became `scale * u + shift`."""
    moved = intrinsics.to(torch.float32, copy=True)
    moved[:, :2] *= scale
    moved[:, 0, 2] += shift_x
    moved[:, 1, 2] += shift_y
    return moved


def decode_intrinsics(
    prediction: torch.Tensor, image_size: tuple[int, int], focal_unit: float
) -> torch.Tensor:
    """Intrinsics [B, 3, 3] in pixels from what a camera head predicts.

    Args:
        prediction: float32 [B, 4]: log fx and log fy in focal units, logits of cx and cy as
            fractions of the image.
        image_size: height and width in pixels.
        focal_unit: in pixels.
    """
    height, width = image_size
    fx, fy = (prediction[:, :2].exp() * focal_unit).unbind(dim=1)
    cx, cy = prediction[:, 2:].sigmoid().unbind(dim=1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    entries = (fx, zero, cx * width, zero, fy, cy * height, zero, zero, one)
    return torch.stack(entries, dim=1).unflatten(1, (3, 3))


def pixel_rays(intrinsics: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Unit viewing rays through the pixel centres.

    Args:
        intrinsics: [B, 3, 3] pixels, centre of the first pixel at 0.5; skew is not modelled.
        size: height and width in pixels.

    Returns:
        float32 [B, 3, h, w]: x right, y down, z forward.
    """
    height, width = size
    intrinsics = intrinsics.float()
    u = torch.arange(width, device=intrinsics.device) + 0.5
    v = torch.arange(height, device=intrinsics.device) + 0.5
    x = (u - intrinsics[:, 0, 2, None]) / intrinsics[:, 0, 0, None]
    y = (v - intrinsics[:, 1, 2, None]) / intrinsics[:, 1, 1, None]
    x = x[:, None, :].expand(-1, height, -1)
    y = y[:, :, None].expand(-1, -1, width)
    return F.normalize(torch.stack((x, y, torch.ones_like(x)), dim=1), dim=1)


def resample_rays(rays: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Average unit rays [B, 3, H, W] down to a coarser grid: unit rays [B, h * w, 3]."""
    return F.normalize(resize(rays, size).flatten(2).transpose(1, 2), dim=-1)


def spherical_harmonics(rays: torch.Tensor, degree: int = 8) -> torch.Tensor:
    """Real orthonormal spherical harmonics Y_lm of unit rays, with the Condon-Shortley phase.

    Args:
        rays: float32 [..., 3] unit vectors; the polar axis is z, the viewing direction.
        degree: highest l.

    Returns:
        float32 [..., (degree + 1) ** 2], Y_lm at index l * (l + 1) + m.
    """
    x, y, z = rays.reshape(-1, 3).T.contiguous()
    # With P_lm = sin^m(theta) Q_lm(z), Y_lm is Q_lm(z) times sqrt(2) (-1)^m times the real
    # (m > 0) or imaginary (m < 0) part of (x + i y)^m: polynomials, without any angle.
    real, imaginary = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(degree):
        a, b = real[-1], imaginary[-1]
        real.append(y * b - x * a)
        imaginary.append(-x * b - y * a)
    azimuthal = math.sqrt(2) * torch.stack([*imaginary[:0:-1], *real])  # m = -degree..degree
    azimuthal[degree] = 1

    two_below, below = None, torch.full_like(z, math.sqrt(0.25 / math.pi)).unsqueeze(0)
    bands = [below]
    for n, (rise, fall, diagonal) in enumerate(_legendre_tables(degree, rays.device), start=1):
        polar = rise * z * below
        if two_below is not None:
            polar[:-1] -= fall * two_below
        two_below, below = below, torch.cat((polar, diagonal.expand(1, len(z))))
        bands.append(azimuthal[degree - n : degree + n + 1] * torch.cat((below[1:].flip(0), below)))
    return torch.cat(bands).T.contiguous().reshape(*rays.shape[:-1], -1)


def _legendre_tables(degree: int, device: torch.device) -> LegendreTables:
    """Coefficients of the recursion over l of the normalised associated Legendre functions.

    For each l >= 1, as columns over m: Q_lm = rise[m] z Q_(l-1)m - fall[m] Q_(l-2)m for m < l
    (without the second term for m = l - 1), and the constant Q_ll.
    """
    if (degree, device) in _TABLES:
        return _TABLES[degree, device]
    tables = []
    diagonal = math.sqrt(0.25 / math.pi)
    with torch.inference_mode(False):
        for n in range(1, degree + 1):
            rise = [math.sqrt((4 * n * n - 1) / (n * n - m * m)) for m in range(n)]
            fall = [
                rise[m] * math.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1))
                for m in range(n - 1)
            ]
            diagonal *= math.sqrt((2 * n + 1) / (2 * n))
            columns = (rise, fall, [diagonal])
            tables.append(tuple(torch.tensor(c, device=device).unsqueeze(1) for c in columns))
    if not torch.compiler.is_compiling():  # in an exported graph these are not real tensors
        _TABLES[degree, device] = tuple(tables)
    return tuple(tables)


def ray_angles(rays: torch.Tensor) -> torch.Tensor:
    """Angles of unit rays [..., 3]: [..., 2], from the optical axis and around it, radians.

    Near the vertical through the axis |x| is held at 1e-3, as the published V2 was trained.
    """
    x, y, z = rays.unbind(dim=-1)
    # Not acos(z): it is coarse near the axis in float32, and NaN where rounding takes z above 1.
    polar = torch.atan2(torch.hypot(x, y), z)
    x = torch.where(x >= 0, x.clamp(min=1e-3), x.clamp(max=-1e-3))
    return torch.stack((polar, torch.atan2(y, x)), dim=-1)


def fourier_features(values: torch.Tensor, dim: int, max_frequency: int) -> torch.Tensor:
    """Sines of each value at octave-spaced frequencies from 1/2 to max_frequency / 2 cycles.

    Args:
        values: [..., n].
        dim: number of features, n equal parts.
        max_frequency: in half cycles per unit.

    Returns:
        [..., dim].
    """
    octaves = torch.linspace(
        0, math.log2(max_frequency), dim // values.shape[-1], device=values.device
    )
    return torch.sin(values.unsqueeze(-1) * (2**octaves * math.pi)).flatten(-2)
