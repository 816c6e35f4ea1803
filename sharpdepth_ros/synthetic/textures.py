# SPDX-License-Identifier: Apache-2.0
"""The texture library: procedural patterns, baked once per process, sampled with mip levels.

A texture has no colours of its own. Each of its texels holds three weights and a shade; a material
brings four colours c0..c3. The surface starts as c0, is mixed with c1 by w1, then with c2 by w2,
then with c3 by w3, and is multiplied by the shade. So one brick pattern gives red, yellow and
white walls. Patterns repeat in both directions. Texture coordinates (s, t) count repeats, t
upwards.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .patterns import PATTERNS, SIZE

_LEVELS = 9  # 256, 128, ... 1
_LEVEL_SIZES = SIZE >> np.arange(_LEVELS)
_LEVEL_START = np.concatenate([[0], np.cumsum(_LEVEL_SIZES**2)])
_TEXELS = int(_LEVEL_START[-1])
_SHADE_ONE = 160.0  # the stored shade that leaves the colour as it is; 255 brightens it


def texture_names() -> list[str]:
    """Every texture of the library, in the order of their numbers."""
    return list(PATTERNS)


def texture_index(name: str) -> int:
    """The number of a texture; ValueError for an unknown name."""
    if name not in PATTERNS:
        raise ValueError(f"no texture named {name!r}; there are {', '.join(PATTERNS)}")
    return texture_names().index(name)


def sample(texture: np.ndarray, s: np.ndarray, t: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Bilinear samples at the mip level that fits.

    Args:
        texture: texture numbers, int [n].
        s, t: texture coordinates in repeats, [n].
        footprint: the pixel's size in repeats, [n].

    Returns:
        float32 [4, n]: w1, w2, w3 in [0, 1] and the shade.
    """
    level = np.log2(np.maximum(footprint, 1e-9) * SIZE)
    level = np.clip(np.round(level), 0, _LEVELS - 1).astype(np.int64)
    size = _LEVEL_SIZES.take(level)
    base = texture * _TEXELS + _LEVEL_START.take(level)
    mask = size - 1
    scale = size.astype(np.float32)
    x = s * scale - 0.5
    y = -t * scale - 0.5
    x_floor, y_floor = np.floor(x), np.floor(y)
    wx, wy = x - x_floor, y - y_floor
    x0, y0 = x_floor.astype(np.int64), y_floor.astype(np.int64)
    left, right = x0 & mask, (x0 + 1) & mask
    upper, lower = base + (y0 & mask) * size, base + ((y0 + 1) & mask) * size
    atlas = _atlas()
    out = np.zeros((4, len(x0)), np.float32)
    for index, weight in (
        (upper + left, (1 - wx) * (1 - wy)),
        (upper + right, wx * (1 - wy)),
        (lower + left, (1 - wx) * wy),
        (lower + right, wx * wy),
    ):
        texel = atlas.take(index).view(np.uint8).reshape(-1, 4)
        for channel in range(4):  # numpy is slow along an axis of four
            out[channel] += texel[:, channel] * weight
    out *= np.array([1 / 255, 1 / 255, 1 / 255, 1 / _SHADE_ONE], np.float32)[:, None]
    return out


@lru_cache(maxsize=1)
def _atlas() -> np.ndarray:
    """All textures with all their mip levels: uint32 [textures * _TEXELS], four bytes a texel."""
    grid = (np.arange(SIZE) + 0.5) / SIZE
    t, s = np.meshgrid(1 - grid, grid, indexing="ij")  # the first row is the top
    baked = []
    for number, pattern in enumerate(PATTERNS.values()):
        weights = pattern(s, t, np.random.default_rng([77, number]))
        texel = np.stack([np.broadcast_to(w, s.shape) for w in weights], axis=-1)
        texel = np.clip(texel, 0, 1) * 255
        texel[..., 3] = np.clip(np.asarray(weights[3]) * _SHADE_ONE, 0, 255)
        for _ in range(_LEVELS):
            baked.append(np.round(texel).astype(np.uint8).reshape(-1, 4))
            half = texel.shape[0] // 2
            if half:
                texel = texel.reshape(half, 2, half, 2, 4).mean(axis=(1, 3))
    return np.ascontiguousarray(np.concatenate(baked)).view(np.uint32)[:, 0]
