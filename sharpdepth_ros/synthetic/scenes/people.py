# SPDX-License-Identifier: Apache-2.0
"""People, simplified to round limbs."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.scenes.palette import fabric, srgb, tone


def person(b: SceneBuilder, rng: np.random.Generator) -> None:
    """A standing person, simplified: 1.6 to 1.9 m, facing +x."""
    h = float(rng.uniform(1.6, 1.9)) / 1.75
    skin = Material("plain", (tone(rng, (0.05, 0.08), (0.3, 0.6), (0.4, 0.9)),))
    shirt, trousers = fabric(rng), fabric(rng)
    for side in (-1, 1):
        foot = (0.12 * side * h, 0.09 * side * h, 0.05)
        hip = (0.0, 0.09 * side * h, 0.85 * h)
        b.cylinder(foot, hip, 0.06 * h, trousers, 0.085 * h)
        b.sphere(
            (foot[0] + 0.06, foot[1], 0.05),
            (0.13, 0.05, 0.05),
            Material("plain", (srgb(0.1, 0.08, 0.07),)),
        )
        shoulder, hand = (0, 0.2 * side * h, 1.4 * h), (-0.16 * side * h, 0.25 * side * h, 0.85 * h)
        b.cylinder(shoulder, hand, 0.05 * h, shirt, 0.035 * h)
        b.sphere(hand, 0.045 * h, skin)
    b.cylinder((0, 0, 0.82 * h), (0, 0, 1.42 * h), 0.15 * h, shirt, 0.19 * h)
    b.sphere((0, 0, 1.42 * h), (0.17 * h, 0.2 * h, 0.08 * h), shirt)
    b.cylinder((0, 0, 1.45 * h), (0, 0, 1.56 * h), 0.05 * h, skin)
    b.sphere((0.01, 0, 1.63 * h), (0.1 * h, 0.085 * h, 0.12 * h), skin)
    hair = Material("bark", (tone(rng, (0.04, 0.1), (0.3, 0.7), (0.1, 0.6)),), 0.1)
    b.sphere((-0.02, 0, 1.67 * h), (0.105 * h, 0.095 * h, 0.1 * h), hair)
