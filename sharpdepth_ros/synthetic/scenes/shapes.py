# SPDX-License-Identifier: Apache-2.0
"""Halls and plains full of plain shapes in odd textures: variety rather than likeness."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.lighting import Lamp, Sun
from sharpdepth_ros.synthetic.scene import Ambient, Scene
from sharpdepth_ros.synthetic.scenes.palette import pick, srgb, tone
from sharpdepth_ros.synthetic.scenes.sky import random_sky
from sharpdepth_ros.synthetic.scenes.vegetation import leaf_material, leaves
from sharpdepth_ros.synthetic.textures import texture_names


def make_shapes(seed: int) -> Scene:
    """Boxes, balls, cones, poles, grilles, wires and leaves on the floor of a hall or a plain."""
    rng = np.random.default_rng([seed, 4])
    b = SceneBuilder()
    indoors = rng.random() < 0.5
    half = float(rng.uniform(3.5, 6.5))
    height = float(rng.uniform(3, 5))
    sky = random_sky(rng)
    with b.shadowless():
        reach = half if indoors else 150.0
        b.floor((-reach, -reach), (reach, reach), 0.0, _material(rng))
        if indoors:
            b.floor((-half, -half), (half, half), height, _material(rng))
            for side in (-half, half):
                b.wall((-half, side, 0), (half, side, 0), height, _material(rng))
                b.wall((side, -half, 0), (side, half, 0), height, _material(rng))
    # On a plain, shapes also stand around the area where the camera moves.
    spread = half - 0.5 if indoors else 2 * half
    for _ in range(int(rng.integers(24, 48)) * (1 if indoors else 3)):
        x, y = rng.uniform(-spread, spread, 2)
        b.place(pick(rng, _SHAPES), rng, x, y, 0.0, rng.uniform(0, 2 * np.pi), gap=0.1)
    if indoors:
        _overhead(b, rng, half, height)
    colour = np.array(tone(rng, saturation=(0, 0.25), value=(0.9, 1.0)))
    if indoors:
        spots = rng.uniform(-0.5, 0.5, (int(rng.integers(1, 4)), 2)) * half
        power = float(rng.uniform(0.5, 0.9)) * half * half / len(spots)
        lights = [Lamp(np.array([*spot, height - 0.3]), power * colour * 0.7) for spot in spots]
        above = 0.3 * colour
    else:
        lights = [Sun(sky.sun.direction, sky.sun.colour)]
        above = 0.5 * sky.zenith + 0.3 * sky.horizon
    quads, quadrics, materials = b.surfaces()
    return Scene(
        kind="shapes",
        seed=seed,
        quads=quads,
        quadrics=quadrics,
        materials=materials,
        lights=tuple(lights),
        ambient=Ambient(above, 0.6 * above),
        sky=None if indoors else sky,
        indoors=indoors,
        ground=(-half, half, -half, half),
        eye_height=(0.3, 2.0),
        far_view=2.5,
    )


def _material(rng: np.random.Generator) -> Material:
    colours = tuple(tone(rng, saturation=(0, 0.8), value=(0.2, 0.95)) for _ in range(4))
    gloss = 0.15 if rng.random() < 0.2 else 0.0
    return Material(pick(rng, texture_names()), colours, float(rng.uniform(0.5, 2.5)), gloss=gloss)


def _box(b: SceneBuilder, rng: np.random.Generator) -> None:
    b.box(
        (0, 0, 0),
        rng.uniform(0.15, 1.0, 3) * rng.uniform(0.6, 1.8),
        _material(rng),
        fit=bool(rng.random() < 0.4),
    )


def _tower(b: SceneBuilder, rng: np.random.Generator) -> None:
    z, size = 0.0, float(rng.uniform(0.5, 1.0))
    for _ in range(int(rng.integers(2, 5))):
        tall = float(rng.uniform(0.15, 0.5))
        with b.at(0, 0, z, rng.uniform(0, 1)):
            b.box((0, 0, 0), (size, size, tall), _material(rng))
        z, size = z + tall, size * float(rng.uniform(0.5, 0.85))


def _ball(b: SceneBuilder, rng: np.random.Generator) -> None:
    radii = rng.uniform(0.12, 0.6) * rng.uniform(0.6, 1.0, 3)
    b.sphere((0, 0, radii[2]), radii, _material(rng))


def _drum(b: SceneBuilder, rng: np.random.Generator) -> None:
    radius = float(rng.uniform(0.1, 0.45))
    b.cylinder(
        (0, 0, 0),
        (0, 0, rng.uniform(0.2, 1.6)),
        radius,
        _material(rng),
        radius * float(rng.uniform(0.1, 1)),
    )


def _log(b: SceneBuilder, rng: np.random.Generator) -> None:
    radius, half = float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.3, 1.0))
    hollow = rng.random() < 0.4
    b.cylinder((-half, 0, radius), (half, 0, radius), radius, _material(rng), capped=not hollow)


def _pole(b: SceneBuilder, rng: np.random.Generator) -> None:
    tip = (*rng.normal(0, 0.15, 2), rng.uniform(1.2, 2.8))
    b.cylinder((0, 0, 0), tip, float(rng.uniform(0.004, 0.03)), _material(rng))


def _grille(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A fence of thin bars."""
    wide, tall = float(rng.uniform(0.8, 2.2)), float(rng.uniform(0.8, 1.6))
    radius, material = float(rng.uniform(0.004, 0.015)), _material(rng)
    for y in np.arange(-wide / 2, wide / 2 + 0.01, float(rng.uniform(0.08, 0.2))):
        b.cylinder((0, y, 0), (0, y, tall), radius, material)
    for z in (0.1, tall - 0.05):
        b.cylinder((0, -wide / 2, z), (0, wide / 2, z), radius * 1.3, material)


def _plant(b: SceneBuilder, rng: np.random.Generator) -> None:
    b.cylinder((0, 0, 0), (0, 0, 1.0), 0.02, _material(rng))
    spread = rng.normal(0, 1, (90, 3)) * (0.22, 0.22, 0.25)
    leaves(
        b, rng, spread + np.array([0, 0, 1.0]), float(rng.uniform(0.08, 0.2)), leaf_material(rng)
    )


def _panel(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A thin upright board on two feet."""
    wide, tall = float(rng.uniform(0.5, 1.8)), float(rng.uniform(0.6, 2.0))
    b.box((0, 0, 0.05), (0.015, wide, tall), _material(rng), fit=True)
    for y in (-wide / 2 + 0.05, wide / 2 - 0.05):
        b.box((0, y, 0), (0.4, 0.04, 0.05), Material("plain", (srgb(0.2, 0.2, 0.2),)))


_SHAPES = [
    _box,
    _box,
    _tower,
    _ball,
    _ball,
    _drum,
    _drum,
    _log,
    _pole,
    _pole,
    _grille,
    _plant,
    _panel,
]


def _overhead(b: SceneBuilder, rng: np.random.Generator, half: float, height: float) -> None:
    """Wires and hanging balls, above head height."""
    z = max(2.4, height - 0.6)
    for _ in range(int(rng.integers(0, 5))):
        y0, y1 = rng.uniform(-half, half, 2)
        b.cylinder((-half, y0, z), (half, y1, z), float(rng.uniform(0.004, 0.02)), _material(rng))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-0.8, 0.8, 2) * half
        radius = float(rng.uniform(0.08, 0.25))
        b.cylinder((x, y, z + 0.1), (x, y, height), 0.005, _material(rng))
        b.sphere((x, y, z + 0.1), radius, _material(rng))
