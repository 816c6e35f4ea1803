# SPDX-License-Identifier: Apache-2.0
"""What a real camera does to the light: exposure, lens, noise and gamma. It never touches depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

_GREY = 0.2  # the meter brings the frame's average to this share of white
_MOTION_TAPS = 7


@dataclass(frozen=True)
class SensorModel:
    """A camera's imperfections; the default is a clean, automatically exposed picture.

    exposure_ev  stops brighter (+) or darker (-) than the meter says
    white_balance  gains of red and blue
    vignetting   light lost in the far corners, 0 to 1
    lens_blur    standard deviation, pixels
    motion_blur  share of the time between two poses that the shutter is open, 0 to 1
    read_noise, shot_noise  standard deviations at black and (extra) at white, share of white
    gamma        extra exponent on top of sRGB; 1 is sRGB
    """

    exposure_ev: float = 0.0
    white_balance: tuple[float, float] = (1.0, 1.0)
    vignetting: float = 0.0
    lens_blur: float = 0.0
    motion_blur: float = 0.0
    read_noise: float = 0.0
    shot_noise: float = 0.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        limits = {
            "exposure_ev": (-8, 8),
            "vignetting": (0, 1),
            "lens_blur": (0, 20),
            "motion_blur": (0, 1),
            "read_noise": (0, 1),
            "shot_noise": (0, 1),
            "gamma": (0.2, 5),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:  # also refuses NaN
                raise ValueError(f"sensor {name} is {value!r}; give a number in {low} to {high}")
        if len(self.white_balance) != 2 or not all(0.1 <= g <= 10 for g in self.white_balance):
            raise ValueError(
                f"sensor white_balance is {self.white_balance!r}; give gains of red and blue "
                "between 0.1 and 10"
            )

    @classmethod
    def random(cls, rng: np.random.Generator) -> SensorModel:
        """A plausible camera: from a good one in daylight to a cheap one in the dark."""
        noisy = float(rng.random() ** 2)
        return cls(
            exposure_ev=float(np.clip(rng.normal(0, 0.5), -1.5, 1.2)),
            white_balance=(float(rng.uniform(0.9, 1.12)), float(rng.uniform(0.9, 1.12))),
            vignetting=float(rng.uniform(0, 0.4)),
            lens_blur=float(rng.uniform(0, 0.8)),
            motion_blur=float(rng.uniform(0, 0.5)),
            read_noise=0.002 + 0.012 * noisy,
            shot_noise=0.008 + 0.03 * noisy,
            gamma=float(rng.uniform(0.9, 1.12)),
        )

    def apply(
        self, radiance: np.ndarray, *, seed: int = 0, motion: np.ndarray | None = None
    ) -> np.ndarray:
        """Linear radiance, float32 [H, W, 3], to an sRGB image, uint8 [H, W, 3].

        ``motion`` [H, W, 2] is how far, in pixels (u, v), each point has come since the last pose.
        """
        image = radiance * np.float32(self._gain(radiance))
        red, blue = self.white_balance
        if (red, blue) != (1.0, 1.0):
            image *= np.array([red, 1.0, blue], np.float32)
        if motion is not None and self.motion_blur > 0:
            image = _smear(image, motion * self.motion_blur)
        if self.lens_blur > 0:
            image = _gaussian_blur(image, self.lens_blur)
        if self.vignetting > 0:
            image *= _falloff(*image.shape[:2], self.vignetting)
        if self.read_noise > 0 or self.shot_noise > 0:
            noise = np.random.default_rng([seed, 911]).standard_normal(image.shape, np.float32)
            variance = np.maximum(image, 0) * np.float32(self.shot_noise**2)
            variance += np.float32(self.read_noise**2)
            image += noise * np.sqrt(variance)
        return _develop(image, self.gamma)

    def _gain(self, radiance: np.ndarray) -> float:
        # The mean of the square root, so that a lamp or a window does not darken the room.
        level = float(np.sqrt(radiance[::2, ::2]).mean()) ** 2
        return _GREY * 2.0**self.exposure_ev / max(level, 1e-6)


def _develop(image: np.ndarray, gamma: float) -> np.ndarray:
    """Clip softly at white, sRGB curve, 8 bits; by a table, which is several times faster."""
    table = _curve(gamma)
    index = image * np.float32(len(table) / 4)
    np.clip(index, 0, len(table) - 1, out=index)
    return table.take(index.astype(np.int32))


@lru_cache(maxsize=64)
def _curve(gamma: float) -> np.ndarray:
    x = (np.arange(1 << 14, dtype=np.float32) + np.float32(0.5)) / np.float32(1 << 12)
    x = np.where(x < 0.6, x, 0.6 + 0.4 * (1 - np.exp(-(x - 0.6) / 0.4)))  # shoulder
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.clip(np.round(255 * srgb**gamma), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _falloff(height: int, width: int, strength: float) -> np.ndarray:
    y = np.linspace(-1, 1, height)[:, None]
    x = np.linspace(-1, 1, width)[None]
    return (1 - strength * ((x * x + y * y) / 2) ** 2).astype(np.float32)[..., None]


def _gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    size = 2 * max(1, math.ceil(2.5 * sigma)) + 1
    return cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def _smear(image: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The mean of the image along each pixel's way; a way below half a pixel changes nothing."""
    height, width = image.shape[:2]
    reach = float(np.abs(motion).max())
    taps = min(int(np.ceil(reach)) + 1, _MOTION_TAPS)
    if reach < 0.5:
        return image
    v, u = np.mgrid[:height, :width].astype(np.float32)
    total = image.copy()  # where the way begins
    for share in np.linspace(0, 1, taps, dtype=np.float32)[1:]:
        x, y = u + share * motion[..., 0], v + share * motion[..., 1]
        total += cv2.remap(image, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    total /= taps
    return total
