# SPDX-License-Identifier: Apache-2.0
"""Things found in a street, at their usual sizes in metres.

Each function adds one object that stands at the origin of the builder's frame, its front towards
+x.
"""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.scenes.palette import (
    IRON,
    metal,
    paint,
    pick,
    scaled,
    srgb,
    tone,
    wood,
)
from sharpdepth_ros.synthetic.scenes.vegetation import leaf_material, leaves

_GLASS = Material("plain", (srgb(0.1, 0.13, 0.16),), gloss=0.75)
_RUBBER = Material("plain", (srgb(0.09, 0.09, 0.09),))


def car(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A car or a van, 4 to 5 m long, facing +x."""
    body = Material("plain", (tone(rng, saturation=(0.0, 0.85), value=(0.12, 0.9)),), gloss=0.22)
    van = rng.random() < 0.25
    length, width = (4.9, 1.9) if van else (float(rng.uniform(3.9, 4.6)), 1.76)
    roof = 1.95 if van else float(rng.uniform(1.42, 1.62))
    h, w = length / 2, width / 2
    waist = 0.95 if van else 0.86

    def ring(back: float, front: float, half: float) -> np.ndarray:
        return np.array([(back, -half), (front, -half), (front, half), (back, half)])

    b.prism(ring(-h, h, w - 0.06), 0.2, ring(-h - 0.02, h + 0.03, w), 0.5, body)
    b.prism(ring(-h - 0.02, h + 0.03, w), 0.5, ring(-h + 0.06, h - 0.1, w - 0.05), waist, body)
    back, front = (-h + 0.08, h - 0.75) if van else (-h + 0.25, h - 1.15)
    roof_back, roof_front = (back + 0.08, front - 0.55) if van else (back + 0.45, front - 0.75)
    low, top = ring(back, front, w - 0.07), ring(roof_back, roof_front, w - 0.22)
    b.prism(low, waist, top, roof - 0.04, _GLASS)
    b.prism(top, roof - 0.04, ring(roof_back + 0.05, roof_front - 0.05, w - 0.26), roof, body)
    # Pillars make the cabin read as windows.
    pillar = 0.025
    for corner in range(4):
        a = np.append(low[corner], waist)
        c = np.append(top[corner], roof - 0.03)
        b.cylinder(a, c, pillar, body)
    for share in (0.42,) if not van else (0.3, 0.62):
        for side in (1, 2):
            a = low[0 if side == 1 else 3] * (1 - share) + low[1 if side == 1 else 2] * share
            c = top[0 if side == 1 else 3] * (1 - share) + top[1 if side == 1 else 2] * share
            b.cylinder(np.append(a, waist), np.append(c, roof - 0.03), pillar * 1.3, body)
    hub = metal(rng, 0.6)
    for x in (-h + 0.8, h - 0.85):
        for side in (-1, 1):
            b.cylinder((x, side * (w - 0.2), 0.31), (x, side * (w + 0.01), 0.31), 0.31, _RUBBER)
            b.cylinder((x, side * (w - 0.1), 0.31), (x, side * (w + 0.02), 0.31), 0.19, hub)
    lamp = Material("plain", (srgb(0.95, 0.95, 0.85),), gloss=0.3)
    tail = Material("plain", (srgb(0.75, 0.05, 0.05),), gloss=0.2)
    dark = Material("plain", (srgb(0.08, 0.08, 0.09),), gloss=0.15)
    for side in (-1, 1):
        b.sphere((h - 0.03, side * (w - 0.28), 0.64), (0.07, 0.17, 0.08), lamp)
        b.box((-h, side * (w - 0.16), 0.62), (0.06, 0.18, 0.2), tail)
        b.box((front - 0.25, side * (w + 0.06), waist), (0.12, 0.16, 0.13), body)
    b.box((h, 0, 0.42), (0.06, 0.9, 0.14), dark)
    plate = Material("plain", (srgb(0.9, 0.9, 0.85),))
    b.box((h + 0.03, 0, 0.34), (0.02, 0.5, 0.1), plate)
    b.box((-h - 0.015, 0, 0.5), (0.02, 0.5, 0.1), plate)


def garden_fence(b: SceneBuilder, rng: np.random.Generator, width: float) -> None:
    """A fence ``width`` long along y: iron bars, wooden pickets, or a wall with a hedge."""
    kind = pick(rng, ["bars", "bars", "pickets", "hedge"])
    half = width / 2
    if kind == "hedge":
        b.box(
            (0, 0, 0),
            (0.3, width, 0.5),
            Material(
                "brick", (srgb(0.6, 0.32, 0.24), srgb(0.7, 0.68, 0.6), srgb(0.5, 0.25, 0.2)), 1.0
            ),
        )
        green = leaf_material(rng)
        b.box((-0.05, 0, 0.5), (0.5, width, 0.7), Material("foliage", green.colours, 1.2))
        n = int(min(90 * width, 2500))
        spots = np.column_stack(
            [rng.uniform(-0.33, 0.25, n), rng.uniform(-half, half, n), rng.uniform(0.55, 1.25, n)]
        )
        spots[: n // 2, 0] = 0.22
        leaves(b, rng, spots, 0.14, green)
        return
    step, tall = (0.13, 1.25) if kind == "bars" else (0.16, 1.0)
    places = np.arange(-half, half, step)
    if kind == "bars":
        for y in np.arange(-half, half + 0.1, 2.6):
            b.box((0, y, 0), (0.08, 0.08, tall + 0.1), IRON)
        for z in (0.15, tall - 0.15):
            b.box((0, 0, z), (0.03, width, 0.03), IRON)
        # Bars of crossed strips: as thin as real ones, and cheap by the hundred.
        r = 0.008
        for cross in ((r, 0), (0, r)):
            b.quads(_strips(places, tall, cross), IRON)
        return
    board = paint(rng) if rng.random() < 0.5 else wood(rng)
    for z in (0.25, 0.75):
        b.box((-0.03, 0, z), (0.03, width, 0.07), board)
    for y in np.arange(-half, half + 0.1, 2.0):
        b.box((-0.08, y, 0), (0.09, 0.09, tall), board)
    b.quads(_strips(places, tall, (0, 0.045)), board)


def _strips(places: np.ndarray, tall: float, across: tuple[float, float]) -> np.ndarray:
    """Upright rectangles [n, 4, 3] at y = ``places``, ``across`` (x, y) from their middle line."""
    middle = np.column_stack([np.zeros(len(places)), places, np.zeros(len(places))])
    side, up = np.array([*across, 0.0]), np.array([0, 0, tall])
    return np.stack([middle - side, middle + side, middle + side + up, middle - side + up], axis=1)


def lamp_post(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A street lamp with an arm towards +x."""
    height = float(rng.uniform(4.5, 6.5))
    b.cylinder((0, 0, 0), (0, 0, 0.9), 0.09, IRON, 0.07)
    b.cylinder((0, 0, 0.9), (0, 0, height), 0.05, IRON, 0.035)
    b.cylinder((0, 0, height), (0.9, 0, height + 0.25), 0.025, IRON)
    b.box((1.05, 0, height + 0.2), (0.5, 0.2, 0.1), IRON)
    b.box(
        (1.05, 0, height + 0.18),
        (0.4, 0.16, 0.02),
        Material("plain", (srgb(0.95, 0.95, 0.9),), emission=0.5),
    )


def road_sign(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A thin post with a round or square sign facing +x."""
    grey = metal(rng, 0.6)
    b.cylinder((0, 0, 0), (0, 0, 2.5), 0.028, grey)
    colour = pick(rng, [srgb(0.75, 0.06, 0.06), srgb(0.08, 0.25, 0.65), srgb(0.9, 0.75, 0.1)])
    white = Material("plain", (srgb(0.92, 0.92, 0.9),))
    if rng.random() < 0.6:
        b.cylinder((0.03, 0, 2.25), (0.04, 0, 2.25), 0.3, Material("plain", (colour,)))
        b.cylinder((0.04, 0, 2.25), (0.045, 0, 2.25), 0.2, white)
        b.box((0.046, 0, 2.21), (0.004, 0.24, 0.08), Material("plain", (scaled(colour, 0.4),)))
    else:
        b.box((0.035, 0, 1.95), (0.012, 0.55, 0.55), Material("plain", (colour,)))
        b.box((0.043, 0, 2.1), (0.005, 0.3, 0.25), white)


def bench(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A park bench facing +x."""
    planks = wood(rng)
    for x in (-0.12, 0.0, 0.12):
        b.box((x, 0, 0.43), (0.1, 1.6, 0.03), planks)
    for z in (0.58, 0.72, 0.86):
        b.box((-0.2 - 0.12 * (z - 0.43), 0, z), (0.03, 1.6, 0.09), planks)
    for y in (-0.65, 0.65):
        b.box((0, y, 0), (0.36, 0.05, 0.43), IRON)
        b.cylinder((-0.17, y, 0.43), (-0.27, y, 0.95), 0.02, IRON)


def bollards(b: SceneBuilder, rng: np.random.Generator) -> None:
    """Three bollards, chained."""
    for y in (-1.2, 0, 1.2):
        b.cylinder((0, y, 0), (0, y, 0.85), 0.06, IRON)
        b.sphere((0, y, 0.88), 0.08, IRON)
    for y in (-1.2, 0):
        b.cylinder((0, y, 0.75), (0, y + 0.6, 0.6), 0.01, IRON)
        b.cylinder((0, y + 0.6, 0.6), (0, y + 1.2, 0.75), 0.01, IRON)


def bicycle(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A bicycle along y: thin tubes and spokes."""
    frame, bar = paint(rng, 0.15), metal(rng, 0.7)
    for y in (-0.52, 0.52):
        turn = np.linspace(0, 2 * np.pi, 15)
        rim = np.column_stack([np.zeros(15), y + 0.33 * np.cos(turn), 0.34 + 0.33 * np.sin(turn)])
        for k in range(14):
            b.cylinder(rim[k], rim[k + 1], 0.016, _RUBBER, capped=False)
            if k % 2:
                b.cylinder((0, y, 0.34), rim[k], 0.0025, bar)
    tubes = [
        ((0, -0.52, 0.34), (0, -0.08, 0.3)),
        ((0, -0.52, 0.34), (0, -0.17, 0.8)),
        ((0, -0.08, 0.3), (0, -0.18, 0.88)),
        ((0, -0.08, 0.3), (0, 0.36, 0.78)),
        ((0, -0.17, 0.8), (0, 0.35, 0.84)),
        ((0, 0.52, 0.34), (0, 0.34, 0.98)),
    ]
    for start, end in tubes:
        b.cylinder(start, end, 0.016, frame)
    b.cylinder((-0.28, 0.33, 1.0), (0.28, 0.33, 1.0), 0.013, bar)
    b.box((0, -0.2, 0.88), (0.13, 0.26, 0.05), _RUBBER)


def post_box(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A post box on a foot."""
    colour = pick(rng, [srgb(0.8, 0.08, 0.08), srgb(0.95, 0.75, 0.1), srgb(0.1, 0.25, 0.6)])
    b.cylinder((0, 0, 0), (0, 0, 0.7), 0.05, IRON)
    b.box((0, 0, 0.7), (0.36, 0.48, 0.7), Material("plain", (colour,), gloss=0.1))
    b.box((0.182, 0, 1.25), (0.01, 0.3, 0.04), _RUBBER)


def hydrant(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A fire hydrant."""
    red = Material("plain", (srgb(0.8, 0.12, 0.08),), gloss=0.15)
    b.cylinder((0, 0, 0), (0, 0, 0.07), 0.17, red)
    b.cylinder((0, 0, 0.07), (0, 0, 0.58), 0.11, red)
    b.sphere((0, 0, 0.58), 0.125, red)
    b.cylinder((0, 0, 0.68), (0, 0, 0.76), 0.03, red)
    b.cylinder((0, -0.19, 0.44), (0, 0.19, 0.44), 0.05, red)
    b.cylinder((0, 0, 0.4), (0.18, 0, 0.4), 0.065, red)


def traffic_cones(b: SceneBuilder, rng: np.random.Generator) -> None:
    """Three cones in a row."""
    orange = Material("plain", (srgb(0.95, 0.35, 0.05),))
    white = Material("plain", (srgb(0.93, 0.93, 0.93),))
    for y in (-0.9, 0.0, 0.9):
        b.box((0, y, 0), (0.38, 0.38, 0.03), orange)
        for z, radius, end, material in (
            (0.03, 0.14, 0.1, orange),
            (0.28, 0.1, 0.066, white),
            (0.48, 0.066, 0.025, orange),
        ):
            b.cylinder((0, y, z), (0, y, z + (radius - end) * 6), radius, material, end)


def barrier(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A red and white road works barrier."""
    red = Material("hazard", (srgb(0.9, 0.9, 0.88), srgb(0.8, 0.08, 0.06)), 0.8)
    for z in (0.45, 0.8):
        b.box((0, 0, z), (0.03, 1.8, 0.2), red)
    for y in (-0.8, 0.8):
        b.box((0, y, 0), (0.5, 0.06, 0.05), _RUBBER)
        b.box((0, y, 0.05), (0.04, 0.05, 1.0), metal(rng, 0.6))


def wires(b: SceneBuilder, rng: np.random.Generator, half_length: float, y: float) -> None:
    """Wooden poles along x with sagging wires between them."""
    timber, wire = wood(rng, "bark", 0.7), Material("plain", (srgb(0.07, 0.07, 0.07),))
    poles = np.arange(-half_length, half_length + 1, 20.0)
    height = 7.0
    for x in poles:
        b.cylinder((x, y, 0), (x, y, height + 0.4), 0.11, timber, 0.08)
        b.box((x, y, height - 0.1), (0.08, 1.5, 0.1), timber)
    for offset in (-0.65, 0.0, 0.65):
        for start in poles[:-1]:
            share = np.linspace(0, 1, 9)
            sag = height - 0.6 * 4 * share * (1 - share)
            for k in range(8):
                b.cylinder(
                    (start + 20 * share[k], y + offset, sag[k]),
                    (start + 20 * share[k + 1], y + offset, sag[k + 1]),
                    0.01,
                    wire,
                    capped=False,
                )
