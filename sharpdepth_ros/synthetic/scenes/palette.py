# SPDX-License-Identifier: Apache-2.0
"""Random colours and materials that go together, in linear RGB reflectance."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

from sharpdepth_ros.synthetic.builder import Colour, Material


def srgb(red: float, green: float, blue: float) -> Colour:
    """A colour as one would pick it on a screen, 0..1, to linear reflectance."""
    return tuple(float(c) ** 2.2 for c in (red, green, blue))


def tone(
    rng: np.random.Generator,
    hue: tuple[float, float] = (0.0, 1.0),
    saturation: tuple[float, float] = (0.2, 0.6),
    value: tuple[float, float] = (0.4, 0.85),
) -> Colour:
    """A random colour within ranges of hue, saturation and value, each 0..1."""
    h, s, v = (float(rng.uniform(*limits)) for limits in (hue, saturation, value))
    return srgb(*colorsys.hsv_to_rgb(h % 1.0, s, v))


def scaled(colour: Colour, factor: float) -> Colour:
    """The colour made darker or brighter."""
    return tuple(min(c * factor, 0.95) for c in colour)


def pick(rng: np.random.Generator, options: Sequence):
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def wood(rng: np.random.Generator, texture: str = "wood", tile: float = 0.8) -> Material:
    """Pale birch to dark walnut."""
    base = tone(rng, (0.06, 0.1), (0.35, 0.65), (0.3, 0.8))
    return Material(texture, (base, scaled(base, 0.55), scaled(base, 0.75)), tile)


def fabric(rng: np.random.Generator) -> Material:
    """Upholstery, curtains, clothes."""
    base = tone(rng, saturation=(0.15, 0.7), value=(0.25, 0.8))
    return Material(pick(rng, ["fabric", "fabric", "plaid"]), (base, scaled(base, 0.5)), 0.6)


def paint(rng: np.random.Generator, gloss: float = 0.0) -> Material:
    """One flat colour."""
    return Material(
        "plain", (tone(rng, saturation=(0.1, 0.7), value=(0.35, 0.9)),), 1.0, 0.0, gloss
    )


def metal(rng: np.random.Generator, bright: float = 0.5) -> Material:
    """Brushed metal."""
    level = bright * float(rng.uniform(0.7, 1.2))
    return Material("metal", (srgb(level, level, level * 1.03),), 0.5, gloss=0.25)


def print_(rng: np.random.Generator, texture: str) -> Material:
    """Four unrelated colours: posters, book spines, packaging."""
    paper = tone(rng, (0.05, 0.18), (0.0, 0.25), (0.8, 0.95))
    inks = tuple(tone(rng, saturation=(0.5, 0.9), value=(0.25, 0.8)) for _ in range(3))
    return Material(texture, (paper, *inks))


IRON = Material("metal", (srgb(0.16, 0.18, 0.17),), 0.5, gloss=0.08)
