# SPDX-License-Identifier: Apache-2.0
"""Plants: leaves, trees, firs and bushes, at the origin of the builder's frame, metres."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.scenes.palette import scaled, srgb, tone, wood


def leaf_material(rng: np.random.Generator) -> Material:
    """Leaves: spring green to autumn red, mostly green."""
    hue = (0.22, 0.36) if rng.random() < 0.85 else (0.03, 0.14)
    base = tone(rng, hue, (0.45, 0.75), (0.4, 0.7))
    return Material("foliage", (base, scaled(base, 0.7), scaled(base, 1.4)), 0.5)


def leaves(
    b: SceneBuilder, rng: np.random.Generator, centres: np.ndarray, size: float, material: Material
) -> None:
    """Flat pointed leaves of length ``size`` at ``centres`` [n, 3], turned at random."""
    n = len(centres)
    along = rng.normal(size=(n, 3))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(along, rng.normal(size=(n, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    along *= size * rng.uniform(0.35, 0.65, (n, 1))
    across *= size * rng.uniform(0.2, 0.3, (n, 1))
    corners = np.stack([centres - along, centres - across, centres + along, centres + across], 1)
    b.quads(corners, material, tint=rng.uniform(0.6, 1.3, n).astype(np.float32))


def tree(b: SceneBuilder, rng: np.random.Generator, height: float | None = None) -> None:
    """A leafy tree: trunk, boughs, and a crown of single leaves over a dark core."""
    height = float(rng.uniform(5, 9)) if height is None else height
    bark = wood(rng, "bark", 0.8)
    trunk = height * float(rng.uniform(0.36, 0.45))
    girth = 0.018 * height + 0.05
    lean = rng.normal(0, 0.03, 2) * height
    b.cylinder((0, 0, 0), (*lean, trunk * 1.15), girth, bark, girth * 0.6)
    green = leaf_material(rng)
    core = Material("foliage", tuple(scaled(c, 0.45) for c in green.colours), 1.6)
    crown_height = height - trunk
    blobs = int(rng.integers(5, 8))
    for k in range(blobs):
        turn = 2 * np.pi * k / (blobs - 1) + rng.uniform(-0.3, 0.3)
        out = 0.27 * crown_height * float(rng.uniform(0.8, 1.2)) * (k < blobs - 1)
        rise = float(rng.uniform(0.25, 0.6)) if k < blobs - 1 else 0.68
        offset = out * np.cos(turn), out * np.sin(turn), rise * crown_height
        centre = np.array([*lean, trunk]) + np.array(offset)
        radius = crown_height * float(rng.uniform(0.24, 0.32))
        start = (lean[0] * 0.9, lean[1] * 0.9, trunk * 0.95)
        b.cylinder(start, centre, girth * 0.45, bark, girth * 0.15)
        b.sphere(centre, radius * 0.62, core)
        direction = rng.normal(size=(130, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        away = radius * rng.uniform(0.55, 1.1, (130, 1))
        leaves(b, rng, centre + direction * away, 0.09 * crown_height, green)


def street_tree(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A young tree in a pit with a stake."""
    with b.at(0, 0):
        tree(b, rng, float(rng.uniform(4.8, 6.5)))
    b.floor((-0.5, -0.5), (0.5, 0.5), 0.008, Material("asphalt", (srgb(0.3, 0.22, 0.15),), 1.0))
    b.cylinder((0.25, 0, 0), (0.25, 0, 1.7), 0.025, wood(rng))


def conifer(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A fir: cones on a trunk, with needles as thin leaves."""
    height = float(rng.uniform(5, 9))
    b.cylinder((0, 0, 0), (0, 0, height * 0.3), 0.14, wood(rng, "bark", 0.6))
    dark = tone(rng, (0.3, 0.42), (0.4, 0.6), (0.25, 0.4))
    green = Material("foliage", (dark, scaled(dark, 0.6), scaled(dark, 1.3)), 0.8)
    for k in range(4):
        z = height * (0.14 + 0.2 * k)
        radius = height * 0.2 * (1 - 0.2 * k)
        b.cylinder((0, 0, z), (0, 0, z + height * 0.32), radius, green, 0.02)
        turn = rng.uniform(0, 2 * np.pi, 60)
        ring = np.column_stack([np.cos(turn), np.sin(turn), np.zeros(60)]) * radius
        leaves(b, rng, ring + np.array([0, 0, z + 0.05]), 0.35, green)


def bush(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A round bush."""
    radius = float(rng.uniform(0.5, 1.0))
    green = leaf_material(rng)
    b.sphere(
        (0, 0, radius * 0.7),
        radius * 0.8,
        Material("foliage", tuple(scaled(c, 0.5) for c in green.colours), 1.0),
    )
    direction = rng.normal(size=(180, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    direction[:, 2] = np.abs(direction[:, 2])
    leaves(
        b,
        rng,
        (0, 0, radius * 0.6) + direction * radius * rng.uniform(0.75, 1.05, (180, 1)),
        0.2,
        green,
    )
