# SPDX-License-Identifier: Apache-2.0
"""Long corridors of offices, schools and basements: doors, lamps, pipes, things at the sides."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.lighting import Lamp
from sharpdepth_ros.synthetic.scene import Ambient, Motion, Scene
from sharpdepth_ros.synthetic.scenes import furniture as f
from sharpdepth_ros.synthetic.scenes.palette import metal, paint, pick, scaled, srgb, tone, wood
from sharpdepth_ros.synthetic.scenes.people import person


def make_corridor(seed: int) -> Scene:
    """A corridor along x, 10 to 20 m long, with a door or a turn at its end."""
    rng = np.random.default_rng([seed, 2])
    b = SceneBuilder()
    length, width = float(rng.uniform(10, 20)), float(rng.uniform(1.9, 3.2))
    height = float(rng.uniform(2.4, 3.1))
    _shell(b, rng, length, width, height)
    lights = _ceiling_lamps(b, rng, length, height)
    _sides(b, rng, length, width)
    if rng.random() < 0.6:
        _pipes(b, rng, length, width, height)
    if rng.random() < 0.35:
        _railing(b, rng, length, width)
    if rng.random() < 0.5:
        _walker(b, rng, length)
    above = 0.3 * np.array(srgb(1.0, 0.97, 0.92)) * float(rng.uniform(0.7, 1.3))
    quads, quadrics, materials = b.surfaces()
    return Scene(
        kind="corridor",
        seed=seed,
        quads=quads,
        quadrics=quadrics,
        materials=materials,
        lights=tuple(lights),
        ambient=Ambient(above, above * 0.75),
        sky=None,
        indoors=True,
        motions=tuple(b.motions),
        ground=(0.0, length, -width / 2, width / 2),
        eye_height=(0.35, 1.65),
        far_view=4.0,
        shadow_size=768,
    )


def _shell(
    b: SceneBuilder, rng: np.random.Generator, length: float, width: float, height: float
) -> None:
    y = width / 2
    kind = pick(rng, ["tiles", "checker", "planks", "carpet", "concrete"])
    base = tone(rng, (0.04, 0.6), (0.03, 0.3), (0.45, 0.8))
    gloss = 0.0 if kind in ("carpet", "concrete") else 0.12
    floor = Material(kind, (base, scaled(base, 0.5), scaled(base, 0.75)), 1.6, gloss=gloss)
    b.floor((0, -y), (length, y), 0.0, floor)
    b.floor(
        (0, -y),
        (length, y),
        height,
        Material("tiles", (srgb(0.88, 0.88, 0.86), srgb(0.6, 0.6, 0.6)), 2.4),
    )
    upper = Material("plaster", (tone(rng, saturation=(0.02, 0.2), value=(0.75, 0.93)),), 2.0)
    lower = upper
    if rng.random() < 0.6:
        colour = tone(rng, saturation=(0.15, 0.5), value=(0.35, 0.7))
        kind = pick(rng, ["plain", "boards", "blocks", "brick", "tiles"])
        lower = Material(kind, (colour, scaled(colour, 0.7), scaled(colour, 1.2)), 1.2)
    line = float(rng.uniform(0.9, 1.3))
    for side in (-1, 1):
        b.wall((0, side * y, 0), (length, side * y, 0), line, lower)
        b.wall((0, side * y, line), (length, side * y, line), height - line, upper)
        b.box(
            (length / 2, side * (y - 0.008), 0),
            (length, 0.016, 0.1),
            Material("plain", (srgb(0.3, 0.3, 0.3),)),
        )
    for x in (0.0, length):
        b.wall((x, -y, 0), (x, y, 0), height, upper)
    with b.at(length, 0, 0, np.pi):
        f.door(b, rng)
    with b.at(0, 0):
        f.door(b, rng)


def _ceiling_lamps(
    b: SceneBuilder, rng: np.random.Generator, length: float, height: float
) -> list[Lamp]:
    """Panels all along; the light of neighbouring panels is gathered in three lamps."""
    colour = np.array(srgb(1.0, float(rng.uniform(0.92, 1.0)), float(rng.uniform(0.8, 1.0))))
    panel = Material("plain", (tuple(colour),), emission=4.0)
    spacing = float(rng.uniform(2.2, 3.4))
    with b.shadowless():
        for x in np.arange(spacing / 2, length, spacing):
            b.box((x, 0, height - 0.03), (1.1, 0.28, 0.03), panel)
    strength = float(rng.uniform(1.6, 2.6)) * length / 14
    places = (np.arange(3) + 0.5) / 3 * length
    return [Lamp(np.array([x, 0.0, height - 0.15]), strength * colour) for x in places]


def _bench(b: SceneBuilder, rng: np.random.Generator) -> None:
    seat, iron = wood(rng), metal(rng, 0.3)
    for x in (0.12, 0.24, 0.36):
        b.box((x, 0, 0.43), (0.1, 1.3, 0.03), seat)
    for y in (-0.5, 0.5):
        b.box((0.24, y, 0), (0.36, 0.04, 0.43), iron)


def _locker(b: SceneBuilder, rng: np.random.Generator) -> None:
    body = paint(rng)
    dark = Material("plain", (scaled(body.colours[0], 0.55),))
    for k in range(3):
        y = -0.42 + 0.42 * k
        b.box((0.2, y, 0.05), (0.4, 0.4, 1.75), body)
        for z in (1.5, 1.55, 1.6):
            b.box((0.402, y, z), (0.006, 0.2, 0.015), dark)
        b.box((0.41, y + 0.14, 0.95), (0.02, 0.02, 0.1), metal(rng, 0.7))


def _extinguisher(b: SceneBuilder, rng: np.random.Generator) -> None:
    red = Material("plain", (srgb(0.8, 0.06, 0.05),), gloss=0.2)
    black = Material("plain", (srgb(0.1, 0.1, 0.1),))
    b.cylinder((0.1, 0, 0.55), (0.1, 0, 1.0), 0.075, red)
    b.sphere((0.1, 0, 1.0), (0.075, 0.075, 0.05), red)
    b.cylinder((0.1, 0, 1.03), (0.1, 0, 1.12), 0.02, black)
    b.cylinder((0.1, 0.02, 1.08), (0.13, 0.09, 0.7), 0.01, black)


def _notice_board(b: SceneBuilder, rng: np.random.Generator) -> None:
    cork = tone(rng, (0.07, 0.1), (0.4, 0.6), (0.5, 0.7))
    b.box((0.012, 0, 1.1), (0.024, 1.4, 0.9), Material("carpet", (cork, scaled(cork, 0.7)), 0.5))
    for _ in range(6):
        y, z = rng.uniform(-0.58, 0.5), rng.uniform(1.15, 1.68)
        paper = Material(
            "screen", (tone(rng, saturation=(0, 0.3), value=(0.85, 0.95)), srgb(0.8, 0.8, 0.8))
        )
        corner = np.array(
            [(0.027, y, z), (0.027, y + 0.2, z), (0.027, y + 0.2, z + 0.28), (0.027, y, z + 0.28)]
        )
        b.polygon(corner, paper, fit=True)


def _picture(b: SceneBuilder, rng: np.random.Generator) -> None:
    f.picture(b, rng, 1.55)


def _column(b: SceneBuilder, rng: np.random.Generator) -> None:
    b.box((0.15, 0, 0), (0.3, 0.4, 2.4), Material("plaster", (tone(rng, saturation=(0, 0.2)),)))


def _cart(b: SceneBuilder, rng: np.random.Generator) -> None:
    bar = metal(rng, 0.6)
    for z in (0.2, 0.85):
        b.box((0.3, 0, z), (0.5, 0.8, 0.03), bar)
    for x in (0.07, 0.53):
        for y in (-0.38, 0.38):
            b.cylinder((x, y, 0.06), (x, y, 1.0), 0.012, bar)
            b.cylinder(
                (x - 0.015, y, 0.06),
                (x + 0.015, y, 0.06),
                0.06,
                Material("plain", (srgb(0.1, 0.1, 0.1),)),
            )
    with b.at(0.3, 0.1, 0.23, 0.1):
        f.carton(b, rng)


_ITEMS = [
    (f.door, 1.2),
    (f.door, 1.2),
    (f.door, 1.2),
    (_picture, 1.2),
    (_notice_board, 1.6),
    (_extinguisher, 0.4),
    (f.radiator, 1.2),
    (_bench, 1.4),
    (_locker, 1.4),
    (_column, 0.5),
    (_cart, 1.0),
    (f.standing(f.potted_plant, 0.3), 0.6),
    (f.standing(f.bin_, 0.22), 0.4),
    (f.standing(f.carton, 0.35), 0.7),
    (f.standing(f.coat_stand, 0.32), 0.6),
    (f.standing(f.stool, 0.25), 0.5),
]


def _sides(b: SceneBuilder, rng: np.random.Generator, length: float, width: float) -> None:
    deep_side = int(rng.integers(2))  # one side stays walkable
    flat = [
        entry for entry in _ITEMS if entry[0] in (f.door, _picture, _notice_board, _extinguisher)
    ]
    for number, (side, yaw) in enumerate(((-1, np.pi / 2), (1, -np.pi / 2))):
        with b.at(length / 2, side * width / 2, 0, yaw):
            place = -length / 2 + 0.8
            while place < length / 2 - 1.6:
                item, need = pick(rng, _ITEMS if number == deep_side else flat)
                b.place(item, rng, 0.0, place + need / 2)
                place += need + float(rng.uniform(0.2, 1.2))


def _pipes(
    b: SceneBuilder, rng: np.random.Generator, length: float, width: float, height: float
) -> None:
    """Pipes and thin cables under the ceiling."""
    side = pick(rng, [-1, 1])
    for k in range(int(rng.integers(2, 6))):
        radius = float(pick(rng, [0.006, 0.012, 0.04, 0.06]))
        y = side * (width / 2 - 0.12 - 0.11 * k)
        z = height - 0.1 - radius
        material = paint(rng) if radius > 0.02 else metal(rng, 0.2)
        with b.shadowless():  # they hang beside the lamps, which cast no shadow upwards
            b.cylinder((0, y, z), (length, y, z), radius, material)


def _railing(b: SceneBuilder, rng: np.random.Generator, length: float, width: float) -> None:
    """A hand rail on brackets along one wall."""
    side = pick(rng, [-1, 1])
    y, rail = side * (width / 2 - 0.07), wood(rng)
    b.cylinder((0.8, y, 0.92), (length - 0.8, y, 0.92), 0.02, rail)
    for x in np.arange(1.0, length - 0.8, 1.0):
        b.cylinder((x, y, 0.92), (x, side * width / 2, 0.85), 0.008, metal(rng, 0.5))


def _walker(b: SceneBuilder, rng: np.random.Generator, length: float) -> None:
    """Somebody who walks to and fro at the far end."""
    way = float(rng.uniform(1.0, 2.5))
    motion = Motion((way, 0, 0), float(rng.uniform(2.4, 3.2) * way), float(rng.random()))

    def walk(b: SceneBuilder, rng: np.random.Generator) -> None:
        with b.moving(motion):
            person(b, rng)

    b.place(walk, rng, length - 1.0 - way, 0.0)
