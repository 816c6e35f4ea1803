# SPDX-License-Identifier: Apache-2.0
"""Random weather: sky colours and where the sun stands."""

from __future__ import annotations

import numpy as np

from sharpdepth_ros.synthetic.lighting import Sky, Sun
from sharpdepth_ros.synthetic.scenes.palette import srgb


def random_sky(rng: np.random.Generator, low_sun: bool = False) -> Sky:
    """Clear to overcast, noon to evening. With ``low_sun`` it shines in at windows facing +x."""
    overcast = float(rng.random() ** 2)
    elevation = np.radians(rng.uniform(18, 40) if low_sun else rng.uniform(18, 65))
    azimuth = rng.uniform(-0.9, 0.9) if low_sun else rng.uniform(0, 2 * np.pi)
    toward = np.array(
        [
            np.cos(azimuth) * np.cos(elevation),
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
        ]
    )
    evening = float(np.clip(1.4 - np.degrees(elevation) / 25, 0, 1))
    sun_colour = np.array(srgb(1.0, 0.96 - 0.16 * evening, 0.9 - 0.35 * evening))
    clear_zenith, clear_horizon = np.array(srgb(0.3, 0.5, 0.85)), np.array(srgb(0.72, 0.82, 0.93))
    grey = np.array(srgb(0.78, 0.8, 0.83))
    zenith = clear_zenith * (1 - overcast) + grey * overcast
    horizon = clear_horizon * (1 - overcast) + grey * overcast
    horizon = horizon * (1 - 0.5 * evening) + np.array(srgb(0.98, 0.8, 0.62)) * 0.5 * evening
    sun = Sun(-toward, sun_colour * (1.6 * (1 - 0.85 * overcast)))
    clouds = float(np.clip(rng.uniform(-0.2, 1.0) + overcast, 0, 1))
    return Sky(zenith, horizon, sun, clouds, (float(rng.random()), float(rng.random())))
