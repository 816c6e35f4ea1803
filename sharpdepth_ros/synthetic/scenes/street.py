# SPDX-License-Identifier: Apache-2.0
"""Town streets: houses, pavements, trees, lamp posts, fences, wires, parked and moving cars."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.scene import Ambient, Motion, Scene
from sharpdepth_ros.synthetic.scenes import outdoors as o
from sharpdepth_ros.synthetic.scenes.furniture import bin_
from sharpdepth_ros.synthetic.scenes.houses import house
from sharpdepth_ros.synthetic.scenes.palette import pick, scaled, srgb, tone
from sharpdepth_ros.synthetic.scenes.people import person
from sharpdepth_ros.synthetic.scenes.sky import random_sky
from sharpdepth_ros.synthetic.scenes.vegetation import bush, conifer, street_tree, tree

_HALF_LENGTH = 40.0


def make_street(seed: int) -> Scene:
    """A street along x, 80 m, with a pavement on each side; cameras stay within the middle 50 m."""
    rng = np.random.default_rng([seed, 3])
    b = SceneBuilder()
    sky = random_sky(rng)
    road = float(rng.uniform(2.8, 4.5))  # half widths
    kerb = road + float(rng.uniform(2.2, 3.6))
    _ground(b, rng, road, kerb)
    for side in (-1, 1):
        if rng.random() < 0.72:
            _houses(b, rng, side, kerb)
        else:
            _park(b, rng, side, kerb)
        _pavement(b, rng, side, road, kerb)
    for x, turn in ((-_HALF_LENGTH - 6, 0.0), (_HALF_LENGTH + 6, np.pi)):
        with b.at(x, 0, 0, turn):
            house(b, rng, 2 * kerb + 10, float(rng.uniform(8, 16)))
    _cars(b, rng, road)
    if rng.random() < 0.6:
        o.wires(b, rng, _HALF_LENGTH, float(pick(rng, [-1, 1])) * (road + 0.5))
    above = 0.55 * sky.zenith + 0.35 * sky.horizon
    quads, quadrics, materials = b.surfaces()
    return Scene(
        kind="street",
        seed=seed,
        quads=quads,
        quadrics=quadrics,
        materials=materials,
        lights=(sky.sun,),
        ambient=Ambient(above, 0.35 * above),
        sky=sky,
        indoors=False,
        motions=tuple(b.motions),
        ground=(-25.0, 25.0, -kerb, kerb),
        eye_height=(0.4, 1.8),
        far_view=7.0,
        shadow_size=1536,
    )


def _ground(b: SceneBuilder, rng: np.random.Generator, road: float, kerb: float) -> None:
    grey = float(rng.uniform(0.28, 0.45))
    if rng.random() < 0.75:
        surface = Material(
            "asphalt", (srgb(grey, grey, grey), srgb(grey * 0.8, grey * 0.8, grey * 0.8)), 3.0
        )
    else:
        stone = tone(rng, (0.04, 0.12), (0.05, 0.25), (0.4, 0.65))
        surface = Material("cobbles", (stone, scaled(stone, 0.4), scaled(stone, 0.7)), 1.3)
    slab = tone(rng, (0.05, 0.12), (0.02, 0.15), (0.5, 0.75))
    paving = Material("paving", (slab, scaled(slab, 0.5), scaled(slab, 0.8)), 1.5)
    kerbstone = Material("concrete", (srgb(0.62, 0.62, 0.6),), 1.0)
    grass = tone(rng, (0.2, 0.3), (0.4, 0.7), (0.35, 0.55))
    lawn = Material("grass", (grass, scaled(grass, 0.6), scaled(grass, 1.3)), 3.0)
    far = 200.0
    with b.shadowless():
        b.floor((-far, -road), (far, road), 0.0, surface)
        for side in (-1, 1):
            edge, outer = side * road, side * kerb
            b.floor((-far, min(edge, outer)), (far, max(edge, outer)), 0.1, paving)
            b.floor((-far, min(outer, side * far)), (far, max(outer, side * far)), 0.098, lawn)
            b.box((0, edge, 0), (2 * _HALF_LENGTH, 0.14, 0.105), kerbstone)
        if surface.texture == "asphalt":
            white = Material("plaster", (srgb(0.85, 0.85, 0.82), srgb(0.6, 0.6, 0.6)), 1.0)
            for x in np.arange(-_HALF_LENGTH, _HALF_LENGTH, 4.0):
                b.floor((x, -0.07), (x + 2.0, 0.07), 0.004, white)
            if rng.random() < 0.5:
                x = float(rng.uniform(-8, 8))
                for y in np.arange(-road + 0.3, road - 0.5, 1.0):
                    b.floor((x, y), (x + 3.0, y + 0.5), 0.005, white)


def _houses(b: SceneBuilder, rng: np.random.Generator, side: int, kerb: float) -> None:
    x = -_HALF_LENGTH - float(rng.uniform(0, 6))
    while x < _HALF_LENGTH:
        wide = float(rng.uniform(8, 16))
        with b.at(x + wide / 2, side * (kerb + 0.05), 0.1, -side * np.pi / 2):
            house(b, rng, wide, float(rng.uniform(6, 16)))
        x += wide
        if rng.random() < 0.2:  # a gap with a wall and a tree
            gap = float(rng.uniform(2.5, 5))
            with b.at(x + gap / 2, side * (kerb + 0.3), 0.1, -side * np.pi / 2):
                o.garden_fence(b, rng, gap)
            with b.at(x + gap / 2, side * (kerb + 3.0), 0.1):
                tree(b, rng)
            x += gap


def _park(b: SceneBuilder, rng: np.random.Generator, side: int, kerb: float) -> None:
    """A fence with trees, bushes and far houses behind."""
    with b.at(0, side * (kerb + 0.1), 0.1, -side * np.pi / 2):
        o.garden_fence(b, rng, 2 * _HALF_LENGTH - 10)
    for x in np.arange(-36, 37, 8.0):
        with b.at(x + rng.uniform(-2, 2), side * (kerb + rng.uniform(3, 9)), 0.1):
            pick(rng, [tree, tree, bush, conifer])(b, rng)
    x = -60.0
    while x < 60:
        wide = float(rng.uniform(9, 16))
        place = (x + wide / 2, side * (kerb + rng.uniform(22, 40)), 0.1, -side * np.pi / 2)
        with b.at(*place), b.shadowless():  # too far to shade the street
            house(b, rng, wide, float(rng.uniform(5, 14)))
        x += wide + float(rng.uniform(2, 12))


def _pavement(
    b: SceneBuilder, rng: np.random.Generator, side: int, road: float, kerb: float
) -> None:
    """What stands on a pavement; its house side stays free to walk."""
    facing = side * np.pi / 2  # away from the road
    near_road = side * (road + 0.55)
    step = float(rng.uniform(11, 16))
    for x in np.arange(-36 + rng.uniform(0, 6), 37, step):
        b.place(o.lamp_post, rng, x, side * (road + 0.35), 0.1, -facing)
    planted = rng.random() < 0.7
    x = -34.0
    while x < 34:
        item = street_tree if planted and rng.random() < 0.5 else pick(rng, _PAVEMENT_ITEMS)
        b.place(item, rng, x, near_road, 0.1, facing + rng.choice([0.0, np.pi]), gap=0.3)
        x += float(rng.uniform(3, 7))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-24, 24), side * rng.uniform(road + 1.4, kerb - 0.5)
        b.place(person, rng, x, y, 0.1, rng.uniform(0, 6.28), gap=0.3)


_PAVEMENT_ITEMS = [
    o.bench,
    o.road_sign,
    o.road_sign,
    o.bollards,
    o.bicycle,
    o.post_box,
    o.hydrant,
    bin_,
    o.traffic_cones,
    o.barrier,
]


def _cars(b: SceneBuilder, rng: np.random.Generator, road: float) -> None:
    for side in (-1, 1):
        if rng.random() < 0.75:  # parked cars
            x = -30.0 + float(rng.uniform(0, 6))
            while x < 32:
                if rng.random() < 0.45:
                    b.place(o.car, rng, x, side * (road - 1.05), 0.0, 0.0 if side < 0 else np.pi)
                x += float(rng.uniform(5.3, 7))
    if rng.random() < 0.6 and road > 3.3:
        way = 2 * _HALF_LENGTH - 6
        speed = float(rng.uniform(5, 10))
        direction = pick(rng, [-1, 1])
        motion = Motion((direction * way, 0, 0), way / speed, float(rng.random()), wraps=True)
        with (
            b.moving(motion),
            b.at(-direction * way / 2, -direction * 0.95, 0, 0.0 if direction > 0 else np.pi),
        ):
            o.car(b, rng)
