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

import cv2
import numpy as np

from sharpdepth_ros.synthetic.patterns import PATTERNS, SIZE

_LEVELS = 9  # 256, 128, ... 1
_LEVEL_SIZES = SIZE >> np.arange(_LEVELS)
# In the atlas each texture is a band of rows in which its levels stand side by side, each framed
# by the texels of its opposite sides, so that samples blend across the repeat.
_BAND = SIZE + 2
_LEVEL_START = np.concatenate([[0], np.cumsum(_LEVEL_SIZES + 2)])  # and where the band ends
# Where texture coordinates begin: at the left edge of the first texel inside the frame.
_LEVEL_COLUMN = (_LEVEL_START[:-1] + 0.5).astype(np.float32)
_TEXTURE_ROW = (np.arange(len(PATTERNS)) * _BAND + 0.5).astype(np.float32)
_ROW = 256  # samples that OpenCV draws as one row of an image
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

    OpenCV blends texels by 32nds, and to whole steps of the 255 that are stored.

    Returns:
        float32 [4, n]: w1, w2, w3 in [0, 1] and the shade.
    """
    level = np.log2(np.maximum(footprint, np.float32(1e-9)) * np.float32(SIZE))
    level = np.clip(np.rint(level), 0, _LEVELS - 1).astype(np.int32)
    size = _LEVEL_SIZES.take(level).astype(np.float32)
    column = (s - np.floor(s)) * size + _LEVEL_COLUMN.take(level)
    down = -t
    row = (down - np.floor(down)) * size + _TEXTURE_ROW.take(texture)
    # The last row is filled up with samples of the first texel, which are cut off again.
    rows = -(-len(s) // _ROW)
    where = np.zeros((2, rows * _ROW), np.float32)
    where[0, : len(s)], where[1, : len(s)] = column, row
    texel = cv2.remap(_atlas(), *where.reshape(2, rows, _ROW), cv2.INTER_LINEAR)
    out = texel.reshape(-1, 4)[: len(s)].T.astype(np.float32, order="C")
    out *= np.array([1 / 255, 1 / 255, 1 / 255, 1 / _SHADE_ONE], np.float32)[:, None]
    return out


@lru_cache(maxsize=1)
def _atlas() -> np.ndarray:
    """All textures with all their mip levels: uint8 [textures * _BAND, columns, 4]."""
    grid = (np.arange(SIZE) + 0.5) / SIZE
    t, s = np.meshgrid(1 - grid, grid, indexing="ij")  # the first row is the top
    atlas = np.zeros((len(PATTERNS), _BAND, _LEVEL_START[-1], 4), np.uint8)
    for number, pattern in enumerate(PATTERNS.values()):
        weights = pattern(s, t, np.random.default_rng([77, number]))
        texel = np.stack([np.broadcast_to(w, s.shape) for w in weights], axis=-1)
        texel = np.clip(texel, 0, 1) * 255
        texel[..., 3] = np.clip(np.asarray(weights[3]) * _SHADE_ONE, 0, 255)
        for size, start in zip(_LEVEL_SIZES, _LEVEL_START, strict=False):
            tile = np.pad(np.round(texel).astype(np.uint8), ((1, 1), (1, 1), (0, 0)), "wrap")
            atlas[number, : size + 2, start : start + size + 2] = tile
            half = size // 2
            if half:
                texel = texel.reshape(half, 2, half, 2, 4).mean(axis=(1, 3))
    return atlas.reshape(-1, *atlas.shape[2:])
