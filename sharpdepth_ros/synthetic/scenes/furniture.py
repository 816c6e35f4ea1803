# SPDX-License-Identifier: Apache-2.0
"""Things found indoors, at their usual sizes in metres.

Each function adds one object that stands at the origin of the builder's frame, its front towards
+x. Those that stand against a wall have their back at x = 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.scenes.palette import (
    fabric,
    metal,
    paint,
    pick,
    print_,
    scaled,
    srgb,
    tone,
    wood,
)
from sharpdepth_ros.synthetic.scenes.vegetation import leaf_material, leaves

LAMP_SHADE = Material("plain", (srgb(1.0, 0.93, 0.8),), emission=2.5)


Item = Callable[[SceneBuilder, np.random.Generator], object]


def standing(item: Item, away: float) -> Item:
    """The item, turned at random and standing ``away`` metres off the wall at x = 0."""

    def add(b: SceneBuilder, rng: np.random.Generator) -> None:
        with b.at(away, 0, 0, rng.uniform(-0.5, 0.5)):
            item(b, rng)

    return add


def table(b: SceneBuilder, rng: np.random.Generator, size: tuple[float, float]) -> float:
    """A table with four legs and ``size`` (x, y); returns the height of its top."""
    material = wood(rng)
    height = float(rng.uniform(0.70, 0.78))
    x, y = size[0] / 2 - 0.06, size[1] / 2 - 0.06
    b.box((0, 0, height - 0.035), (*size, 0.035), material)
    legs = wood(rng) if rng.random() < 0.3 else material
    round_legs = rng.random() < 0.4
    for sx in (-x, x):
        for sy in (-y, y):
            if round_legs:
                b.cylinder((sx, sy, 0), (sx, sy, height - 0.035), 0.022, legs)
            else:
                b.box((sx, sy, 0), (0.055, 0.055, height - 0.035), legs)
    return height


def chair(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A wooden chair, 0.45 m seat; it faces +x."""
    material = wood(rng)
    seat = fabric(rng) if rng.random() < 0.5 else material
    b.box((0, 0, 0.42), (0.42, 0.42, 0.035), seat)
    for sx in (-0.18, 0.18):
        for sy in (-0.18, 0.18):
            top = 0.92 if sx < 0 else 0.42
            b.cylinder(
                (sx, sy, 0), (sx * (1.12 if sx < 0 and top > 0.5 else 1), sy, top), 0.017, material
            )
    slats = int(rng.integers(2, 4))
    for k in range(slats):
        b.box((-0.195, 0, 0.86 - 0.13 * k), (0.018, 0.4, 0.06), material)


def stool(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A round stool."""
    material = wood(rng)
    b.cylinder((0, 0, 0.44), (0, 0, 0.48), 0.17, material)
    for turn in np.arange(3) * 2.1:
        c, s = np.cos(turn), np.sin(turn)
        b.cylinder((0.19 * c, 0.19 * s, 0), (0.1 * c, 0.1 * s, 0.44), 0.014, material)


def sofa(b: SceneBuilder, rng: np.random.Generator, width: float) -> None:
    """A sofa or armchair of ``width`` along y, its back at x = 0."""
    cover = fabric(rng)
    b.box((0.45, 0, 0.08), (0.86, width, 0.3), cover)
    b.box((0.12, 0, 0.38), (0.2, width, 0.42), cover)
    for side in (-1, 1):
        b.box((0.45, side * (width / 2 - 0.09), 0.38), (0.86, 0.18, 0.2), cover)
        for x in (0.08, 0.82):
            b.cylinder(
                (x, side * (width / 2 - 0.08), 0),
                (x, side * (width / 2 - 0.08), 0.08),
                0.025,
                cover,
            )
    seats = max(1, round((width - 0.4) / 0.7))
    each = (width - 0.38) / seats
    for k in range(seats):
        y = -width / 2 + 0.19 + each * (k + 0.5)
        b.box((0.53, y, 0.38), (0.66, each - 0.02, 0.09), cover)
    if rng.random() < 0.7:
        pillow = fabric(rng)
        b.sphere((0.32, rng.uniform(-0.3, 0.3) * width, 0.62), (0.1, 0.22, 0.18), pillow)


def bed(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A bed with its head at x = 0, 2 m long."""
    frame, cover = wood(rng), fabric(rng)
    width = float(pick(rng, [0.95, 1.4, 1.65]))
    b.box((1.03, 0, 0.12), (2.06, width, 0.2), frame)
    b.box((0.03, 0, 0), (0.06, width + 0.08, 0.95), frame)
    sheet = Material("fabric", (srgb(0.92, 0.92, 0.9),), 0.5)
    b.box((1.03, 0, 0.32), (1.96, width - 0.06, 0.16), sheet)
    b.box((1.32, 0, 0.33), (1.42, width - 0.02, 0.19), cover)
    for y in (-0.22, 0.22) if width > 1.2 else (0,):
        b.sphere((0.34, y * width / 0.9, 0.54), (0.2, 0.3, 0.09), sheet)
    for x in (0.06, 2.0):
        for y in (-1, 1):
            b.box((x, y * (width / 2 - 0.05), 0), (0.07, 0.07, 0.14), frame)


def bookshelf(b: SceneBuilder, rng: np.random.Generator) -> None:
    """An open shelf with books and boxes, its back at x = 0."""
    material = wood(rng)
    width, height = float(rng.uniform(0.7, 1.3)), float(rng.uniform(1.2, 2.1))
    deep = 0.3
    for side in (-1, 1):
        b.box((deep / 2, side * (width / 2 - 0.012), 0), (deep, 0.024, height), material)
    b.box((0.006, 0, 0), (0.012, width, height), material)
    shelves = int(height / 0.36)
    for k in range(shelves + 1):
        z = 0.06 + k * (height - 0.09) / shelves
        b.box((deep / 2, 0, z), (deep, width - 0.04, 0.024), material)
        if k == shelves:
            continue
        free = (height - 0.09) / shelves - 0.03
        y = -width / 2 + 0.03
        while y < width / 2 - 0.12:
            run = float(min(rng.uniform(0.15, 0.5), width / 2 - 0.03 - y))
            kind = rng.random()
            if kind < 0.7:
                spines = print_(rng, pick(rng, ["books_a", "books_b", "books_c"]))
                tall = free * float(rng.uniform(0.7, 0.95))
                face = [(0.24, y, z + 0.024), (0.24, y + run, z + 0.024)]
                face += [(0.24, y + run, z + 0.024 + tall), (0.24, y, z + 0.024 + tall)]
                b.box((0.12, y + run / 2, z + 0.024), (0.235, run, tall * 0.97), material)
                b.polygon(face, spines, fit=True)
            elif kind < 0.85:
                b.sphere((0.17, y + run / 2, z + 0.024 + 0.08), 0.08, paint(rng, 0.2))
            y += run + 0.03


def cupboard(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A closed cupboard or dresser, its back at x = 0."""
    material = wood(rng) if rng.random() < 0.6 else paint(rng)
    width, deep = float(rng.uniform(0.7, 1.5)), float(rng.uniform(0.38, 0.55))
    height = float(pick(rng, [0.75, 0.9, 1.8, 2.0]))
    b.box((deep / 2, 0, 0.06), (deep, width, height - 0.06), material)
    b.box((deep / 2 - 0.02, 0, 0), (deep - 0.05, width - 0.04, 0.06), paint(rng))
    knob = metal(rng, 0.8)
    front = Material(
        material.texture, tuple(scaled(c, 0.85) for c in material.colours), material.tile
    )
    columns, rows = max(1, round(width / 0.5)), (1 if height > 1.2 else int(rng.integers(1, 4)))
    for i in range(columns):
        for j in range(rows):
            w, h = width / columns, (height - 0.1) / rows
            y, z = -width / 2 + w * (i + 0.5), 0.08 + h * j
            b.box((deep + 0.006, y, z + 0.015), (0.014, w - 0.03, h - 0.03), front)
            b.sphere((deep + 0.025, y + (0.35 * w if rows == 1 else 0), z + h / 2), 0.016, knob)
    if height < 1.2 and rng.random() < 0.6:
        with b.at(deep / 2, rng.uniform(-0.25, 0.25) * width, height):
            pick(rng, [vase, desk_lamp, books_pile])(b, rng)


def television(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A television on a low bench, its back at x = 0."""
    bench = wood(rng)
    b.box((0.2, 0, 0.05), (0.4, 1.5, 0.4), bench)
    b.box((0.2, 0, 0), (0.34, 1.4, 0.05), bench)
    black = Material("plain", (srgb(0.06, 0.06, 0.07),), gloss=0.4)
    b.box((0.18, 0, 0.45), (0.2, 0.4, 0.02), black)
    b.box((0.16, 0, 0.46), (0.04, 0.08, 0.1), black)
    b.box((0.18, 0, 0.52), (0.05, 1.15, 0.66), black)


def floor_lamp(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A standing lamp with a shade."""
    stand = metal(rng, 0.35)
    height = float(rng.uniform(1.4, 1.75))
    b.cylinder((0, 0, 0), (0, 0, 0.025), 0.14, stand)
    b.cylinder((0, 0, 0.025), (0, 0, height), 0.011, stand)
    with b.shadowless():
        b.cylinder((0, 0, height - 0.2), (0, 0, height + 0.06), 0.2, LAMP_SHADE, 0.12, capped=False)


def desk_lamp(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A small table lamp."""
    b.cylinder((0, 0, 0), (0, 0, 0.02), 0.07, metal(rng, 0.3))
    b.cylinder((0, 0, 0.02), (0, 0, 0.3), 0.012, metal(rng, 0.4))
    b.cylinder((0, 0, 0.26), (0, 0, 0.44), 0.13, LAMP_SHADE, 0.08, capped=False)


def vase(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A vase with a few twigs and leaves."""
    clay = paint(rng, 0.25)
    b.cylinder((0, 0, 0), (0, 0, 0.2), 0.045, clay, 0.075)
    b.cylinder((0, 0, 0.2), (0, 0, 0.26), 0.075, clay, 0.035, capped=False)
    twig = wood(rng, "bark", 0.2)
    green = leaf_material(rng)
    for _ in range(5):
        tip = np.array([rng.normal(0, 0.1), rng.normal(0, 0.1), rng.uniform(0.42, 0.65)])
        b.cylinder((0, 0, 0.2), tip, 0.004, twig)
        leaves(b, rng, tip + rng.normal(0, 0.05, (8, 3)), 0.06, green)


def potted_plant(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A plant in a pot, knee to head high."""
    b.cylinder((0, 0, 0), (0, 0, 0.32), 0.13, paint(rng), 0.18)
    height = float(rng.uniform(0.7, 1.6))
    b.cylinder((0, 0, 0.3), (0, 0, height * 0.75), 0.018, wood(rng, "bark", 0.3))
    count = 70
    centre = np.array([0, 0, height * 0.8])
    spread = rng.normal(0, 1, (count, 3)) * (0.16, 0.16, height * 0.16)
    leaves(b, rng, centre + spread, float(rng.uniform(0.1, 0.17)), leaf_material(rng))


def books_pile(b: SceneBuilder, rng: np.random.Generator) -> None:
    """Some books lying on each other."""
    z = 0.0
    for _ in range(int(rng.integers(2, 5))):
        thick = float(rng.uniform(0.02, 0.05))
        with b.at(0, 0, z, rng.uniform(-0.4, 0.4)):
            b.box((0, 0, 0), (rng.uniform(0.14, 0.18), rng.uniform(0.2, 0.26), thick), paint(rng))
        z += thick


def laptop(b: SceneBuilder, rng: np.random.Generator) -> None:
    """An open laptop facing +x."""
    case = metal(rng, 0.55)
    b.box((0, 0, 0), (0.22, 0.32, 0.018), case)
    screen = Material("screen", (srgb(0.85, 0.9, 0.95), srgb(0.05, 0.05, 0.06)), emission=0.6)
    back = np.array(
        [(-0.11, -0.16, 0.018), (-0.11, 0.16, 0.018), (-0.17, 0.16, 0.22), (-0.17, -0.16, 0.22)]
    )
    b.polygon(back, screen, fit=True)
    b.polygon(back - (0.006, 0, 0), case)


def tableware(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A cup, a bottle or a bowl of fruit."""
    kind = rng.random()
    if kind < 0.4:
        b.cylinder((0, 0, 0), (0, 0, 0.1), 0.035, paint(rng, 0.2), 0.042, capped=False)
    elif kind < 0.7:
        glass = Material("plain", (tone(rng, (0.2, 0.45), (0.4, 0.8), (0.2, 0.5)),), gloss=0.4)
        b.cylinder((0, 0, 0), (0, 0, 0.19), 0.036, glass)
        b.cylinder((0, 0, 0.19), (0, 0, 0.24), 0.036, glass, 0.013)
        b.cylinder((0, 0, 0.24), (0, 0, 0.3), 0.013, glass)
    else:
        b.cylinder((0, 0, 0), (0, 0, 0.07), 0.07, paint(rng, 0.2), 0.14, capped=False)
        for _ in range(5):
            x, y = rng.normal(0, 0.045, 2)
            b.sphere((x, y, 0.07), 0.038, paint(rng, 0.1))


def carton(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A cardboard box, sometimes with another on top."""
    brown = tone(rng, (0.07, 0.1), (0.35, 0.5), (0.55, 0.75))
    material = Material(
        "carton", (brown, scaled(brown, 0.8), srgb(0.9, 0.9, 0.88), srgb(0.15, 0.15, 0.2))
    )
    z = 0.0
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform((0.3, 0.3, 0.2), (0.55, 0.55, 0.45))
        with b.at(0, 0, z, rng.uniform(-0.25, 0.25)):
            b.box((0, 0, 0), size, material, fit=True)
        z += size[2]


def bin_(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A waste bin."""
    b.cylinder((0, 0, 0), (0, 0, 0.38), 0.12, paint(rng), 0.16, capped=False)


def coat_stand(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A pole with hooks and a coat."""
    stand = wood(rng)
    b.cylinder((0, 0, 0), (0, 0, 1.75), 0.02, stand)
    for turn in np.arange(4) * np.pi / 2 + rng.uniform(0, 1):
        c, s = np.cos(turn), np.sin(turn)
        b.cylinder((0.25 * c, 0.25 * s, 0), (0, 0, 0.14), 0.015, stand)
        b.cylinder((0, 0, 1.6), (0.12 * c, 0.12 * s, 1.72), 0.009, stand)
    coat = fabric(rng)
    b.cylinder((0.08, 0, 0.75), (0.1, 0, 1.45), 0.17, coat, 0.13)
    b.sphere((0.1, 0, 1.45), (0.13, 0.13, 0.12), coat)


def clothes_rack(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A wire rack: thin bars only."""
    wire = metal(rng, 0.7)
    for y in (-0.55, 0.55):
        b.cylinder((-0.25, y, 0), (0.05, y, 0.95), 0.007, wire)
        b.cylinder((0.25, y, 0), (-0.05, y, 0.95), 0.007, wire)
    for x in np.linspace(-0.28, 0.28, 6):
        b.cylinder((x, -0.55, 0.95), (x, 0.55, 0.95), 0.004, wire)
    for y in (-0.55, 0.55):
        b.cylinder((-0.28, y, 0.95), (0.28, y, 0.95), 0.006, wire)


def ball(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A play ball."""
    radius = float(rng.uniform(0.09, 0.14))
    colour = tone(rng, saturation=(0.6, 0.9), value=(0.5, 0.9))
    b.sphere(
        (0, 0, radius), radius, Material("stripes", (colour, srgb(0.95, 0.95, 0.9)), 0.5, gloss=0.1)
    )


def picture(b: SceneBuilder, rng: np.random.Generator, height: float = 1.5) -> None:
    """A framed picture on the wall at x = 0, its middle at ``height``."""
    width = float(rng.uniform(0.4, 1.0))
    tall = width * float(rng.uniform(0.7, 1.4))
    name = pick(rng, ["poster_a", "poster_b", "poster_c", "poster_d", "landscape", "landscape"])
    if name == "landscape":
        sky = tone(rng, (0.52, 0.62), (0.2, 0.5), (0.7, 0.95))
        field, hill = tone(rng, (0.2, 0.35)), tone(rng, (0.5, 0.65), (0.2, 0.4), (0.3, 0.6))
        art = Material(name, (sky, field, hill, srgb(0.2, 0.12, 0.06)))
        width, tall = tall, width
    else:
        art = print_(rng, name)
    b.box((0.01, 0, height - tall / 2), (0.02, width, tall), wood(rng))
    x, y0, y1, z0, z1 = 0.022, -width / 2, width / 2, height - tall / 2, height + tall / 2
    b.polygon([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], art, fit=True)


def door(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A closed door on the wall at x = 0: 2.05 m high."""
    leaf = tone(rng, (0.05, 0.12), (0.05, 0.6), (0.4, 0.92))
    frame = srgb(0.85, 0.84, 0.8) if rng.random() < 0.6 else scaled(leaf, 0.6)
    material = Material("door", (leaf, frame, scaled(leaf, 0.8), srgb(0.7, 0.65, 0.4)))
    b.box((0.02, 0, 0), (0.04, 0.98, 2.05), Material("plain", (frame,)))
    x, half = 0.042, 0.49
    b.polygon([(x, -half, 0), (x, half, 0), (x, half, 2.05), (x, -half, 2.05)], material, fit=True)
    knob = metal(rng, 0.75)
    b.cylinder((0.04, 0.38, 1.0), (0.1, 0.38, 1.0), 0.01, knob)
    b.cylinder((0.095, 0.38, 1.0), (0.095, 0.27, 1.0), 0.01, knob)


def radiator(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A ribbed radiator on the wall at x = 0."""
    white = Material("plain", (srgb(0.88, 0.88, 0.86),))
    for y in np.linspace(-0.5, 0.5, 13):
        b.box((0.07, y, 0.14), (0.09, 0.05, 0.5), white)
    b.cylinder((0.07, -0.52, 0.18), (0.07, 0.52, 0.18), 0.015, white)
