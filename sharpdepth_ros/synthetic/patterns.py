# SPDX-License-Identifier: Apache-2.0
"""The patterns of the texture library; see textures.py for how their weights become colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIZE = 256  # texels on a side

_Pattern = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple]
PATTERNS: dict[str, _Pattern] = {}


def _pattern(*names: str) -> Callable[[_Pattern], _Pattern]:
    """Register a pattern: (s, t, rng) -> (w1, w2, w3, shade), each a number or [SIZE, SIZE].

    With several names the pattern is drawn once for each, with different random numbers.
    """

    def register(pattern: _Pattern) -> _Pattern:
        for name in names:
            PATTERNS[name] = pattern
        return pattern

    return register


def _noise(rng: np.random.Generator, octaves: int = 5, first: int = 4, stretch: int = 1):
    """Repeating fractal noise [SIZE, SIZE] in [0, 1]; ``stretch`` draws it out along s."""
    total = np.zeros((SIZE, SIZE))
    for octave in range(octaves):
        cells = first << octave
        if cells > SIZE:
            break
        wide = max(cells // stretch, 1)
        lattice = rng.standard_normal((cells, wide))
        total += _enlarge(lattice) / 2**octave
    low, high = np.percentile(total, (1, 99))
    return np.clip((total - low) / (high - low), 0, 1)


def _enlarge(lattice: np.ndarray) -> np.ndarray:
    """Smooth repeating interpolation of a small lattice to [SIZE, SIZE]."""
    for axis in (0, 1):
        cells = lattice.shape[axis]
        x = np.arange(SIZE) * cells / SIZE
        low = x.astype(int)
        w = x - low
        w = w * w * (3 - 2 * w)
        shape = (-1, 1) if axis == 0 else (1, -1)
        w = w.reshape(shape)
        first = np.take(lattice, low % cells, axis=axis)
        lattice = first * (1 - w) + np.take(lattice, (low + 1) % cells, axis=axis) * w
    return lattice


def _cells(s, t, columns: int, rows: int, shift: float = 0.0):
    """Masonry: cell numbers (i, j) and position (x, y) in [0, 1) within the cell."""
    j = np.floor(t * rows)
    across = s * columns + shift * (j % 2)
    i = np.floor(across)
    return i % columns, j, across - i, t * rows - j


def _hash(rng: np.random.Generator, i, j, count: int = 1):
    """One random number in [0, 1] per cell."""
    table = rng.random((64, 64, count))
    values = table[np.asarray(j, int) % 64, np.asarray(i, int) % 64]
    return values[..., 0] if count == 1 else values


def _inside(x, y, left, bottom, right, top):
    return ((x > left) & (x < right) & (y > bottom) & (y < top)).astype(float)


@_pattern("plain")
def _plain(s, t, rng):
    return 0, 0, 0, 0.97 + 0.06 * _noise(rng, 6, 8)


@_pattern("plaster", "concrete")
def _plaster(s, t, rng):
    return 0.5 * _noise(rng, 4, 2), 0, 0, 0.85 + 0.3 * _noise(rng, 7, 4)


@_pattern("checker")
def _checker(s, t, rng):
    odd = (np.floor(s * 4) + np.floor(t * 4)) % 2
    return odd, 0, 0, 0.92 + 0.12 * _noise(rng, 6, 8)


@_pattern("tiles")
def _tiles(s, t, rng):
    i, j, x, y = _cells(s, t, 4, 4)
    grout = 1 - _inside(x, y, 0.03, 0.03, 0.97, 0.97)
    return grout, 0, 0, 0.86 + 0.18 * _hash(rng, i, j) + 0.1 * _noise(rng, 5, 8)


@_pattern("brick")
def _brick(s, t, rng):
    i, j, x, y = _cells(s, t, 4, 12, 0.5)
    mortar = 1 - _inside(x, y, 0.03, 0.08, 0.97, 0.92)
    tone = _hash(rng, i, j)
    return mortar, (1 - mortar) * tone, 0, 0.75 + 0.4 * _noise(rng, 6, 8)


@_pattern("blocks")
def _blocks(s, t, rng):
    i, j, x, y = _cells(s, t, 3, 6, 0.5)
    mortar = 1 - _inside(x, y, 0.025, 0.05, 0.975, 0.95)
    return mortar, 0.6 * _hash(rng, i, j), 0, 0.75 + 0.4 * _noise(rng, 7, 8)


@_pattern("planks")
def _planks(s, t, rng):
    i, j, x, y = _cells(s, t, 2, 8, 0.37)
    gap = 1 - _inside(x, y, 0.004, 0.03, 0.996, 0.97)
    grain = _noise(rng, 5, 32, 16)
    return gap, 0.7 * _hash(rng, i, j) + 0.3 * grain, 0, 0.8 + 0.3 * grain


@_pattern("boards")
def _boards(s, t, rng):
    i, _, x, _ = _cells(s, t, 8, 1)
    gap = ((x < 0.04) | (x > 0.96)).astype(float)
    grain = _noise(rng, 5, 32, 16).T
    return gap, 0.7 * _hash(rng, i, i * 0) + 0.3 * grain, 0, 0.8 + 0.3 * grain


@_pattern("wood")
def _wood(s, t, rng):
    ring = np.sin(2 * np.pi * (6 * t + 1.2 * _noise(rng, 3, 4, 4))) * 0.5 + 0.5
    return 0.8 * ring, 0, 0, 0.85 + 0.3 * _noise(rng, 5, 32, 16)


@_pattern("stripes")
def _stripes(s, t, rng):
    x = s * 4 % 1
    return (x < 0.45).astype(float), ((x > 0.6) & (x < 0.72)).astype(float), 0, 1


@_pattern("wallpaper")
def _wallpaper(s, t, rng):
    _, _, x, y = _cells(s, t, 4, 4, 0.5)
    radius = np.hypot(x - 0.5, y - 0.5)
    petal = radius < 0.22 + 0.1 * np.cos(5 * np.arctan2(y - 0.5, x - 0.5))
    return petal.astype(float), (radius < 0.07).astype(float), 0, 0.95 + 0.1 * _noise(rng, 5, 8)


@_pattern("carpet")
def _carpet(s, t, rng):
    return _noise(rng, 3, 32), 0, 0, 0.75 + 0.5 * _noise(rng, 2, 128)


@_pattern("rug")
def _rug(s, t, rng):
    edge = np.minimum(np.minimum(s, 1 - s), np.minimum(t, 1 - t))
    border = ((edge > 0.04) & (edge < 0.12)).astype(float)
    diamond = (np.abs(s - 0.5) + np.abs(t - 0.5)) * 8 % 1
    field = (edge > 0.16) * (diamond < 0.4)
    middle = (np.abs(s - 0.5) + np.abs(t - 0.5) < 0.14).astype(float)
    return border, field * (1 - middle), middle, 0.8 + 0.35 * _noise(rng, 3, 64)


@_pattern("plaid")
def _plaid(s, t, rng):
    return (s * 4 % 1 < 0.3) * 0.7, (t * 4 % 1 < 0.3) * 0.6, 0, 0.85 + 0.25 * _noise(rng, 2, 128)


@_pattern("fabric")
def _fabric(s, t, rng):
    weave = np.sin(2 * np.pi * 48 * s) * np.sin(2 * np.pi * 48 * t)
    return 0.4 * _noise(rng, 4, 4), 0, 0, 0.95 + 0.12 * weave


@_pattern("asphalt")
def _asphalt(s, t, rng):
    return 0.6 * _noise(rng, 4, 2), 0, 0, 0.7 + 0.6 * _noise(rng, 3, 64)


@_pattern("grass")
def _grass(s, t, rng):
    return _noise(rng, 5, 4), 0.6 * _noise(rng, 3, 2), 0, 0.6 + 0.8 * _noise(rng, 3, 64)


@_pattern("cobbles")
def _cobbles(s, t, rng):
    i, j, x, y = _cells(s, t, 8, 10, 0.5)
    dome = np.clip(1.25 - 2.1 * np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) ** 2 * 2, 0, 1.2)
    gap = 1 - _inside(x, y, 0.06, 0.06, 0.94, 0.94)
    return gap, 0.8 * _hash(rng, i, j), 0, dome * (0.85 + 0.25 * _noise(rng, 5, 16))


@_pattern("paving")
def _paving(s, t, rng):
    i, j, x, y = _cells(s, t, 3, 3)
    gap = 1 - _inside(x, y, 0.015, 0.015, 0.985, 0.985)
    return gap, 0.7 * _hash(rng, i, j), 0, 0.8 + 0.35 * _noise(rng, 7, 8)


@_pattern("bark")
def _bark(s, t, rng):
    return _noise(rng, 5, 16, 8).T, 0, 0, 0.6 + 0.7 * _noise(rng, 5, 32, 8).T


@_pattern("foliage")
def _foliage(s, t, rng):
    return _noise(rng, 5, 16), _noise(rng, 4, 8), 0, 0.35 + 1.0 * _noise(rng, 4, 32)


@_pattern("roof")
def _roof(s, t, rng):
    i, j, x, y = _cells(s, t, 8, 8, 0.5)
    return (y < 0.1).astype(float), 0.8 * _hash(rng, i, j), 0, 0.7 + 0.45 * (1 - (2 * x - 1) ** 2)


@_pattern("metal")
def _metal(s, t, rng):
    return 0.3 * _noise(rng, 3, 2), 0, 0, 0.9 + 0.2 * _noise(rng, 4, 64, 32)


@_pattern("corrugated")
def _corrugated(s, t, rng):
    return 0.5 * _noise(rng, 4, 4), 0, 0, 0.85 + 0.3 * np.sin(2 * np.pi * 12 * s)


@_pattern("shutter")
def _shutter(s, t, rng):
    y = t * 12 % 1
    return (y < 0.12).astype(float), 0, 0, 0.85 + 0.25 * y + 0.1 * _noise(rng, 5, 8)


@_pattern("hazard")
def _hazard(s, t, rng):
    return ((s + t) * 4 % 1 < 0.5).astype(float), 0, 0, 0.95 + 0.1 * _noise(rng, 5, 8)


@_pattern("door")
def _door(s, t, rng):
    frame = 1 - _inside(s, t, 0.06, 0.0, 0.94, 0.97)
    panels = sum(
        _inside(s, t, left, bottom, left + 0.27, top)
        for left in (0.18, 0.55)
        for bottom, top in ((0.08, 0.42), (0.5, 0.9))
    )
    handle = _inside(s, t, 0.84, 0.46, 0.9, 0.49)
    return frame, 0.6 * panels, handle, 0.92 + 0.15 * _noise(rng, 5, 32, 16).T


@_pattern("window")
def _window(s, t, rng):
    pane = _inside(s, t, 0.07, 0.07, 0.47, 0.95) + _inside(s, t, 0.53, 0.07, 0.93, 0.95)
    curtain = pane * ((np.abs(s - 0.5) > 0.3) & (t > 0.1))
    glare = pane * (1 - curtain) * np.clip(t + 0.3 * s, 0, 1)
    return pane, curtain * (0.7 + 0.3 * np.sin(60 * s)), 0.5 * glare * (1 - curtain), 1


def _bays(s, t, rng, columns, rows, box, sill):
    """A facade of equal window bays; w1 glass, w2 frame and sill, w3 curtain or lit room."""
    i, j, x, y = _cells(s, t, columns, rows)
    left, bottom, right, top = box
    frame = _inside(x, y, left - 0.03, bottom - 0.03, right + 0.03, top + 0.03)
    glass = _inside(x, y, left, bottom, right, top)
    glass *= np.abs(x - (left + right) / 2) > 0.012
    glass *= np.abs(y - (bottom + 0.65 * (top - bottom))) > 0.012
    ledge = _inside(x, y, left - 0.06, bottom - 0.09, right + 0.06, bottom - 0.02) * sill
    look = _hash(rng, i, j)
    drawn = glass * ((look > 0.55) & (y > top - (top - bottom) * look))
    bare = glass - drawn
    return bare, np.clip(frame - glass + ledge, 0, 1), drawn, glass


@_pattern("facade_plaster", "facade_modern")
def _facade_plaster(s, t, rng):
    box = (0.28, 0.28, 0.72, 0.82) if rng.random() < 0.5 else (0.2, 0.3, 0.8, 0.8)
    glass, frame, drawn, _ = _bays(s, t, rng, 4, 4, box, 1.0)
    band = (t * 4 % 1 < 0.04).astype(float)
    return glass, np.clip(frame + band, 0, 1), drawn, 0.85 + 0.25 * _noise(rng, 6, 4)


@_pattern("facade_brick")
def _facade_brick(s, t, rng):
    glass, frame, drawn, _ = _bays(s, t, rng, 4, 4, (0.3, 0.25, 0.7, 0.8), 1.0)
    i, j, *_ = _cells(s, t, 40, 120, 0.5)
    wall = 1 - np.clip(glass + frame + drawn, 0, 1)
    tone = 0.7 + 0.45 * _hash(rng, i, j)
    return glass, frame, drawn, np.where(wall > 0, tone, 1.0)


@_pattern("facade_glass")
def _facade_glass(s, t, rng):
    i, j, x, y = _cells(s, t, 8, 8)
    glass = _inside(x, y, 0.04, 0.05, 0.96, 0.95)
    lit = glass * (_hash(rng, i, j) > 0.85)
    return glass * (1 - lit), 0, lit, 0.75 + 0.5 * _hash(rng, i, j)


@_pattern("shopfront")
def _shopfront(s, t, rng):
    sign = _inside(s, t, 0.04, 0.76, 0.96, 0.96)
    letters = (
        sign * _inside(s * 10 % 1, t, 0.2, 0.81, 0.8, 0.91) * (_hash(rng, s * 40, t * 40) > 0.3)
    )
    glass = _inside(s, t, 0.05, 0.18, 0.66, 0.72) + _inside(s, t, 0.73, 0.03, 0.93, 0.72)
    goods = glass * (t < 0.5) * (_hash(rng, s * 24, t * 16) > 0.6)
    return glass - goods, np.clip(sign - letters, 0, 1), np.clip(goods + letters, 0, 1), 1


@_pattern("books_a", "books_b", "books_c")
def _books(s, t, rng):
    edges = np.sort(rng.random(34))
    book = np.searchsorted(edges, s)
    height = rng.uniform(0.7, 0.98, 40)[book]
    there = (t < height).astype(float)
    hue = rng.random((40, 3))[book]
    pick = rng.integers(0, 4, 40)[book]
    band = 1 - 0.35 * ((t > height * 0.7) & (t < height * 0.8))
    near = np.abs(s[..., None] - edges).min(axis=-1)
    spine = np.clip(near * 120, 0.35, 1)
    shade = there * band * spine * (0.7 + 0.5 * hue[..., 0]) + (1 - there) * 0.12
    return (pick == 1).astype(float), (pick == 2).astype(float), (pick == 3).astype(float), shade


@_pattern("poster_a", "poster_b", "poster_c", "poster_d")
def _poster(s, t, rng):
    edge = np.minimum(np.minimum(s, 1 - s), np.minimum(t, 1 - t))
    inner = edge > 0.05
    weights = np.zeros((3, SIZE, SIZE))
    for _ in range(7):
        x, y, size = rng.uniform(0.15, 0.85), rng.uniform(0.25, 0.85), rng.uniform(0.06, 0.25)
        if rng.random() < 0.5:
            shape = np.hypot(s - x, t - y) < size
        else:
            turn = rng.uniform(0, np.pi)
            along = (s - x) * np.cos(turn) + (t - y) * np.sin(turn)
            shape = (np.abs(along) < size) & (np.abs((s - x) + (t - y) - along) < size * 0.6)
        weights[:, shape & inner] = 0
        weights[rng.integers(3), shape & inner] = 1
    text = inner & (t < 0.2) & (t * 24 % 1 < 0.5) & (_hash(rng, s * 60, t * 24) > 0.25)
    weights[:, text] = 0
    weights[0, text] = 1
    return (*weights, np.where(inner, 1.0, 1.15))


@_pattern("landscape")
def _landscape(s, t, rng):
    ridge = 0.45 + 0.2 * (_noise(rng, 4, 2)[0] - 0.5)
    hills = 0.3 + 0.15 * (_noise(rng, 4, 2)[1] - 0.5)
    edge = np.minimum(np.minimum(s, 1 - s), np.minimum(t, 1 - t))
    near, far = t < hills, (t >= hills) & (t < ridge)
    frame = edge < 0.05
    shade = 0.8 + 0.3 * _noise(rng, 6, 8) + 0.2 * t
    return near * 1.0 * ~frame, far * 1.0 * ~frame, frame * 1.0, np.where(frame, 0.6, shade)


@_pattern("screen")
def _screen(s, t, rng):
    bezel = 1 - _inside(s, t, 0.03, 0.05, 0.97, 0.95)
    line = (t * 20 % 1 < 0.5) & (s < 0.1 + 0.7 * _hash(rng, s * 0, t * 20)) & (s > 0.08)
    return bezel, line * (1 - bezel) * 0.8, 0, 1


@_pattern("carton")
def _carton(s, t, rng):
    tape = (np.abs(s - 0.5) < 0.06).astype(float)
    label = _inside(s, t, 0.62, 0.12, 0.9, 0.32)
    print_ = label * (t * 40 % 1 < 0.5)
    return tape * 0.7, label - print_, print_, 0.9 + 0.15 * _noise(rng, 5, 16, 8)


@_pattern("cloud")
def _cloud(s, t, rng):
    return np.clip(_noise(rng, 7, 2) * 2.2 - 1.0, 0, 1), 0, 0, 1
