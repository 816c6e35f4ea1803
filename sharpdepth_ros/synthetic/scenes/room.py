# SPDX-License-Identifier: Apache-2.0
"""Living rooms, bedrooms and studies: furniture along the walls, a table, sun or lamp light."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.lighting import Lamp, Sky, Sun
from sharpdepth_ros.synthetic.scene import Ambient, Motion, Scene
from sharpdepth_ros.synthetic.scenes import furniture as f
from sharpdepth_ros.synthetic.scenes.palette import fabric, metal, pick, scaled, srgb, tone, wood
from sharpdepth_ros.synthetic.scenes.sky import random_sky
from sharpdepth_ros.synthetic.scenes.vegetation import leaf_material


def make_room(seed: int) -> Scene:
    """A furnished room of 3.5 x 3.5 to 7 x 6 m with a window."""
    rng = np.random.default_rng([seed, 1])
    b = SceneBuilder()
    length, width = float(rng.uniform(3.6, 7.0)), float(rng.uniform(3.6, 6.0))
    height = float(rng.uniform(2.4, 2.9))
    sky = random_sky(rng, low_sun=True)
    window = _shell(b, rng, length, width, height)
    _along_walls(b, rng, length, width, window)
    _middle(b, rng, length, width)
    lamp = _ceiling_lamp(b, rng, height)
    if rng.random() < 0.5:
        _rolling_ball(b, rng, length, width)
    return _lit(b, rng, seed, sky, lamp, (length, width))


def _rolling_ball(b: SceneBuilder, rng: np.random.Generator, length: float, width: float) -> None:
    """A ball that rolls to and fro where the floor is free, if there is such a place."""
    for _ in range(8):
        span = float(rng.uniform(0.8, 0.5 * length))
        motion = Motion((span, 0, 0), float(rng.uniform(2.5, 4) * span), float(rng.random()))
        x, y = rng.uniform(-0.4, 0.4, 2) * (length - 2 * span, width)

        def roll(b: SceneBuilder, rng: np.random.Generator, motion: Motion = motion) -> None:
            with b.moving(motion):
                f.ball(b, rng)

        if b.place(roll, rng, x, y):
            return


def _lit(
    b: SceneBuilder,
    rng: np.random.Generator,
    seed: int,
    sky: Sky,
    lamp: np.ndarray,
    size: tuple[float, float],
) -> Scene:
    by_day = rng.random() < 0.6
    warm = np.array(srgb(1.0, float(rng.uniform(0.86, 0.97)), float(rng.uniform(0.68, 0.9))))
    strength = float(rng.uniform(0.3, 1.2)) if by_day else float(rng.uniform(2.2, 3.5))
    lights: list[Sun | Lamp] = [Lamp(lamp, strength * warm)]
    glow = 0.42 if by_day else 0.28
    above = glow * (0.6 * warm + 0.4)
    if by_day:
        lights.append(Sun(sky.sun.direction, 2.2 * sky.sun.colour))
    else:
        sky = Sky(
            sky.zenith * 0.02, sky.horizon * 0.03, Sun(sky.sun.direction, np.zeros(3)), 0, (0, 0)
        )
    quads, quadrics, materials = b.surfaces()
    length, width = size
    return Scene(
        kind="room",
        seed=seed,
        quads=quads,
        quadrics=quadrics,
        materials=materials,
        lights=tuple(lights),
        ambient=Ambient(above, above * 0.75),
        sky=sky,
        indoors=True,
        motions=tuple(b.motions),
        ground=(-length / 2, length / 2, -width / 2, width / 2),
        eye_height=(0.35, 1.65),
        far_view=2.0,
    )


def _shell(
    b: SceneBuilder, rng: np.random.Generator, length: float, width: float, height: float
) -> tuple[float, float]:
    """Floor, ceiling and walls; returns the y range of the window in the wall x = length / 2."""
    x, y = length / 2, width / 2
    with b.shadowless():  # nothing is below it
        b.floor((-x, -y), (x, y), 0.0, _floor_material(rng))
    wall = _wall_material(rng)
    back = _wall_material(rng) if rng.random() < 0.35 else wall
    low, high = sorted((rng.uniform(-0.75, -0.2) * y, rng.uniform(0.2, 0.75) * y))
    sill, top = float(rng.uniform(0.75, 0.95)), height - float(rng.uniform(0.25, 0.45))
    ceiling = Material("plain", (srgb(0.9, 0.9, 0.88),))
    # An inner and an outer skin, lapping at the corners: thin walls would leak sun at their feet.
    for skin, lap in ((0.0, 0.0), (0.12, 0.3)):
        u, v, foot, tall = x + skin, y + skin, -lap, height + 2 * lap
        # The lamp hangs between the inner skins, and the outer ones stop the sun.
        with nullcontext() if skin else b.shadowless():
            b.floor((-u - lap, -v - lap), (u + lap, v + lap), height + skin, ceiling)
            b.wall((-u - lap, -v, foot), (u + lap, -v, foot), tall, wall)
            b.wall((u + lap, v, foot), (-u - lap, v, foot), tall, wall)
            b.wall((-u, v + lap, foot), (-u, -v - lap, foot), tall, back)
        b.wall((u, -v - lap, foot), (u, low, foot), tall, wall)
        b.wall((u, high, foot), (u, v + lap, foot), tall, wall)
        b.wall((u, low, foot), (u, high, foot), sill - foot, wall)
        b.wall((u, low, top), (u, high, top), tall + foot - top, wall)
    _window(b, rng, x, low, high, sill, top)
    skirting = Material("plain", (srgb(0.85, 0.84, 0.8),)) if rng.random() < 0.5 else wood(rng)
    for yy in (-y + 0.008, y - 0.008):
        b.box((0, yy, 0), (length, 0.016, 0.08), skirting)
    for xx in (-x + 0.008, x - 0.008):
        b.box((xx, 0, 0), (0.016, width, 0.08), skirting)
    return low, high


def _window(
    b: SceneBuilder,
    rng: np.random.Generator,
    x: float,
    low: float,
    high: float,
    sill: float,
    top: float,
) -> None:
    frame = Material("plain", (srgb(0.88, 0.88, 0.85),))
    middle, span, thick = (low + high) / 2, high - low, 0.055
    for z in (sill, top - thick):
        b.box((x, middle, z), (0.08, span, thick), frame)
    for y in np.linspace(low + thick / 2, high - thick / 2, 2 + int(span > 1.2)):
        b.box((x, y, sill), (0.08, thick, top - sill), frame)
    b.box((x, middle, sill + 0.62 * (top - sill)), (0.05, span, 0.035), frame)
    b.box((x - 0.1, middle, sill - 0.03), (0.22, span + 0.12, 0.03), frame)
    outside = Material("grass", (tone(rng, (0.2, 0.33), (0.3, 0.6), (0.4, 0.6)),), 4.0)
    with b.shadowless():
        b.floor((x + 0.3, -40), (x + 80, 40), -0.6, outside)
    for _ in range(4):
        far = float(rng.uniform(9, 30))
        with b.at(x + far, rng.uniform(-12, 12), -0.6), b.shadowless():
            b.sphere((0, 0, rng.uniform(1.5, 3)), rng.uniform(1.2, 2.6, 3), leaf_material(rng))
    if rng.random() < 0.6:
        cloth = fabric(rng)
        rail = x - 0.13
        b.cylinder((rail, low - 0.4, top + 0.1), (rail, high + 0.4, top + 0.1), 0.012, metal(rng))
        for y0, side in ((low, -1), (high, 1)):
            for k in range(6):
                y = y0 + side * (0.02 + 0.06 * k)
                b.cylinder((rail, y, 0.04), (rail, y, top + 0.1), 0.035, cloth)


def _floor_material(rng: np.random.Generator) -> Material:
    kind = pick(rng, ["planks", "planks", "tiles", "checker", "carpet"])
    if kind == "planks":
        return wood(rng, "planks", (1.8, 1.1))
    base = tone(rng, (0.04, 0.16), (0.05, 0.4), (0.4, 0.85))
    dark = scaled(base, float(rng.uniform(0.25, 0.6)))
    return Material(
        kind, (base, dark), {"tiles": 1.4, "checker": 1.6, "carpet": 0.7}[kind], gloss=0.06
    )


def _wall_material(rng: np.random.Generator) -> Material:
    kind = pick(rng, ["plaster", "plaster", "plain", "wallpaper", "stripes", "brick", "boards"])
    if kind == "brick":
        base = tone(rng, (0.0, 0.06), (0.3, 0.6), (0.45, 0.75))
        return Material("brick", (base, srgb(0.7, 0.67, 0.62), scaled(base, 0.6)), 1.0)
    if kind == "boards":
        return wood(rng, "boards", 1.1)
    base = tone(rng, saturation=(0.03, 0.35), value=(0.65, 0.93))
    return Material(kind, (base, scaled(base, 0.75), scaled(base, 1.15)), 1.4)


def _ceiling_lamp(b: SceneBuilder, rng: np.random.Generator, height: float) -> np.ndarray:
    """A hanging lamp; returns where its light comes from."""
    drop = float(rng.uniform(0.35, 0.6))
    with b.shadowless():
        b.cylinder((0, 0, height - drop), (0, 0, height), 0.006, metal(rng, 0.15))
        if rng.random() < 0.5:
            b.sphere((0, 0, height - drop - 0.1), 0.13, f.LAMP_SHADE)
        else:
            z = height - drop
            b.cylinder((0, 0, z - 0.2), (0, 0, z), 0.24, f.LAMP_SHADE, 0.1, capped=False)
    return np.array([0.0, 0.0, height - drop - 0.25])


def _along_walls(
    b: SceneBuilder,
    rng: np.random.Generator,
    length: float,
    width: float,
    window: tuple[float, float],
) -> None:
    x, y = length / 2, width / 2
    # Each wall's frame: origin at its middle, +x into the room.
    walls = [(0, -y, np.pi / 2, length), (0, y, -np.pi / 2, length), (-x, 0, 0.0, width)]
    door_wall = int(rng.integers(3))
    for number, (wx, wy, yaw, span) in enumerate(walls):
        with b.at(wx, wy, 0, yaw):
            place = -span / 2 + 0.15
            if number == door_wall:
                b.place(f.door, rng, 0.0, place + 0.65)
                place += 1.5
            while place < span / 2 - 0.5:
                item, need = pick(rng, _WALL_ITEMS)
                left = span / 2 - 0.15 - place
                if need > left:
                    item, need = pick(rng, _SMALL_ITEMS)
                if need <= left and b.place(item, rng, 0.0, place + need / 2):
                    place += need
                place += float(rng.uniform(0.1, 0.5))
    with b.at(x, sum(window) / 2, 0, np.pi):
        if rng.random() < 0.6:
            b.place(f.radiator, rng, 0.0, 0.0)


def _pictures(b: SceneBuilder, rng: np.random.Generator) -> None:
    f.picture(b, rng, float(rng.uniform(1.4, 1.65)))


def _sofa(b: SceneBuilder, rng: np.random.Generator) -> None:
    with b.at(0.04, 0):
        f.sofa(b, rng, float(rng.uniform(1.6, 2.1)))
    if rng.random() < 0.6:
        f.picture(b, rng, 1.7)


def _desk(b: SceneBuilder, rng: np.random.Generator) -> None:
    with b.at(0.35, 0):
        top = f.table(b, rng, (0.6, 1.3))
        with b.at(-0.05, 0.1, top):
            f.laptop(b, rng)
        with b.at(-0.15, -0.5, top):
            f.desk_lamp(b, rng)
        with b.at(0.1, 0.5, top):
            f.books_pile(b, rng)
    with b.at(0.95, 0.05, 0, np.pi + rng.uniform(-0.3, 0.3)):
        f.chair(b, rng)


_SMALL_ITEMS = [
    (f.standing(f.potted_plant, 0.35), 0.6),
    (f.standing(f.floor_lamp, 0.3), 0.5),
    (f.standing(f.carton, 0.4), 0.75),
    (f.standing(f.coat_stand, 0.35), 0.6),
    (f.standing(f.bin_, 0.25), 0.4),
    (f.standing(f.stool, 0.3), 0.5),
    (_pictures, 1.1),
]
_WALL_ITEMS = [
    *_SMALL_ITEMS,
    (f.bookshelf, 1.35),
    (f.bookshelf, 1.35),
    (f.cupboard, 1.55),
    (f.television, 1.55),
    (_sofa, 2.2),
    (_desk, 1.4),
    (f.bed, 1.9),
    (f.standing(f.clothes_rack, 0.6), 1.3),
]


def _middle(b: SceneBuilder, rng: np.random.Generator, length: float, width: float) -> None:
    if min(length, width) < 4.2:
        return
    if rng.random() < 0.6:
        rug = Material("rug", tuple(tone(rng, saturation=(0.2, 0.7)) for _ in range(4)))
        b.floor((-1.2, -0.8), (1.2, 0.8), 0.006, rug, fit=True)
    if rng.random() < 0.75:
        x, y = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
        b.place(_dining_table, rng, x, y, 0.006, rng.uniform(-0.3, 0.3))


def _dining_table(b: SceneBuilder, rng: np.random.Generator) -> None:
    size = (float(rng.uniform(0.9, 1.4)), float(rng.uniform(0.7, 0.9)))
    top = f.table(b, rng, size)
    things = [f.tableware, f.tableware, f.vase, f.books_pile]
    for along in rng.permutation([-0.3, 0.0, 0.3])[: int(rng.integers(1, 4))]:
        with b.at(along * size[0], rng.uniform(-0.3, 0.3) * size[1], top):
            pick(rng, things)(b, rng)
    for side in (-1, 1):
        if rng.random() < 0.75:
            away = size[1] / 2 + float(rng.uniform(0.1, 0.35))
            with b.at(rng.uniform(-0.25, 0.25), side * away, 0, -side * np.pi / 2):
                f.chair(b, rng)
