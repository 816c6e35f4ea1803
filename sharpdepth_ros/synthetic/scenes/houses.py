# SPDX-License-Identifier: Apache-2.0
"""House fronts with shops, doors, balconies and roofs, in the plane x = 0; metres."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Colour, Material, SceneBuilder
from sharpdepth_ros.synthetic.scenes.palette import IRON, pick, scaled, srgb, tone


def house(b: SceneBuilder, rng: np.random.Generator, width: float, height: float) -> None:
    """A house front ``width`` wide along y, with a roof; storeys of about 3 m."""
    storeys = max(2, round(height / 3.1))
    storey = 3.1
    height = storeys * storey
    wall = tone(rng, (0.02, 0.16), (0.05, 0.5), (0.55, 0.92))
    kind = pick(rng, ["facade_plaster", "facade_brick", "facade_modern", "facade_glass"])
    if kind == "facade_brick":
        wall = tone(rng, (0.0, 0.06), (0.35, 0.65), (0.4, 0.7))
    trim = srgb(0.88, 0.87, 0.84) if rng.random() < 0.7 else scaled(wall, 0.5)
    glass, curtain = srgb(0.14, 0.17, 0.2), tone(rng, (0.08, 0.15), (0.1, 0.4), (0.6, 0.9))
    bay = width / max(2, round(width / 2.6))
    facade = Material(kind, (wall, glass, trim, curtain), (4 * bay, 4 * storey), gloss=0.12)
    deep = 10.0
    ring = np.array([(-deep, -width / 2), (0, -width / 2), (0, width / 2), (-deep, width / 2)])
    plain = Material("plaster", (wall, scaled(wall, 0.8)), 3.0)
    b.prism(ring, 0, ring, height, plain)
    x = 0.012
    b.polygon(
        [(x, -width / 2, 0), (x, width / 2, 0), (x, width / 2, height), (x, -width / 2, height)],
        facade,
    )
    _ground_floor(b, rng, width, storey, wall, trim)
    if rng.random() < 0.65:
        _gable_roof(b, rng, width, height, deep)
    else:
        b.box((-deep / 2, 0, height), (deep + 0.3, width, 0.35), Material("concrete", (trim,), 2.0))
    if kind != "facade_glass" and rng.random() < 0.45:
        for k in range(1, storeys):
            _balcony(b, rng, float(rng.uniform(-0.25, 0.25)) * width, k * storey, trim)


def _ground_floor(
    b: SceneBuilder,
    rng: np.random.Generator,
    width: float,
    storey: float,
    wall: Colour,
    trim: Colour,
) -> None:
    """Shops, garages or a plain base with a door."""
    base = Material(
        "blocks", (scaled(wall, 0.75), scaled(wall, 0.45), scaled(wall, 0.65)), (2.4, 1.55)
    )
    b.box((0.03, 0, 0), (0.06, width, storey), base)
    units = max(1, int(width / 3.6))
    each = width / units
    door_unit = int(rng.integers(units))
    for k in range(units):
        y = -width / 2 + each * (k + 0.5)
        if k == door_unit:
            colour = tone(rng, saturation=(0.3, 0.8), value=(0.25, 0.6))
            leaf = Material("door", (colour, trim, scaled(colour, 0.8), srgb(0.7, 0.6, 0.3)))
            _panel(b, y, 1.1, 0.0, 2.2, leaf)
            b.box(
                (0.2, y, -0.1), (0.5, 1.4, 0.14), Material("concrete", (srgb(0.6, 0.6, 0.58),), 1.0)
            )
        elif rng.random() < 0.45:
            sign = tone(rng, saturation=(0.4, 0.9), value=(0.3, 0.8))
            goods = tone(rng, saturation=(0.3, 0.8), value=(0.5, 0.9))
            shop = Material(
                "shopfront", (scaled(sign, 0.5), srgb(0.16, 0.19, 0.22), sign, goods), gloss=0.15
            )
            _panel(b, y, each - 0.7, 0.05, storey - 0.15, shop)
            if rng.random() < 0.5:
                _awning(b, rng, y, each - 0.6)
        elif rng.random() < 0.4:
            grey = tone(rng, saturation=(0, 0.3), value=(0.5, 0.8))
            _panel(b, y, 2.4, 0.0, 2.3, Material("shutter", (grey, scaled(grey, 0.6)), 1.0))
        else:
            window = Material(
                "window",
                (trim, srgb(0.13, 0.16, 0.2), srgb(0.7, 0.66, 0.6), srgb(0.4, 0.5, 0.6)),
                gloss=0.15,
            )
            _panel(b, y, 1.3, 0.9, 2.4, window)


def _panel(
    b: SceneBuilder, y: float, width: float, bottom: float, top: float, material: Material
) -> None:
    x, a, c = 0.066, y - width / 2, y + width / 2
    b.polygon([(x, a, bottom), (x, c, bottom), (x, c, top), (x, a, top)], material, fit=True)


def _awning(b: SceneBuilder, rng: np.random.Generator, y: float, width: float) -> None:
    cloth = Material("stripes", (srgb(0.9, 0.9, 0.86), tone(rng, saturation=(0.6, 0.9))), 1.6)
    a, c = y - width / 2, y + width / 2
    b.polygon([(0.07, a, 2.95), (0.07, c, 2.95), (1.1, c, 2.5), (1.1, a, 2.5)], cloth)
    b.polygon([(1.1, a, 2.36), (1.1, c, 2.36), (1.1, c, 2.5), (1.1, a, 2.5)], cloth)


def _gable_roof(
    b: SceneBuilder, rng: np.random.Generator, width: float, height: float, deep: float
) -> None:
    colour = tone(rng, pick(rng, [(0.0, 0.05), (0.55, 0.65)]), (0.15, 0.6), (0.3, 0.6))
    tiles = Material("roof", (colour, scaled(colour, 0.4), scaled(colour, 0.75)), (2.4, 2.4))
    ridge, y = height + float(rng.uniform(2, 3.5)), width / 2
    b.polygon(
        [
            (0.35, -y, height - 0.1),
            (0.35, y, height - 0.1),
            (-deep / 2, y, ridge),
            (-deep / 2, -y, ridge),
        ],
        tiles,
    )
    b.polygon(
        [(-deep, y, height), (-deep, -y, height), (-deep / 2, -y, ridge), (-deep / 2, y, ridge)],
        tiles,
    )
    gable = Material("plaster", (scaled(colour, 1.3),), 3.0)
    for side in (-y, y):
        b.polygon([(0, side, height), (-deep, side, height), (-deep / 2, side, ridge)], gable)
    chimney = Material(
        "brick", (srgb(0.6, 0.3, 0.22), srgb(0.7, 0.68, 0.62), srgb(0.45, 0.2, 0.15)), 1.0
    )
    b.box((-deep / 2 + 1, rng.uniform(-0.3, 0.3) * width, ridge - 1.2), (0.6, 0.9, 2.0), chimney)


def _balcony(b: SceneBuilder, rng: np.random.Generator, y: float, z: float, trim: Colour) -> None:
    b.box((0.5, y, z - 0.15), (1.0, 2.6, 0.15), Material("concrete", (trim,), 1.0))
    for k in np.linspace(-1.25, 1.25, 14):
        b.cylinder((0.95, y + k, z), (0.95, y + k, z + 1.0), 0.012, IRON)
    for side in (-1.27, 1.27):
        b.cylinder((0.02, y + side, z + 1.0), (0.97, y + side, z + 1.0), 0.018, IRON)
    b.cylinder((0.95, y - 1.27, z + 1.0), (0.95, y + 1.27, z + 1.0), 0.02, IRON)
