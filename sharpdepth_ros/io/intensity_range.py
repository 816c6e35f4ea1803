# SPDX-License-Identifier: Apache-2.0
"""Brings the counts of 16-bit pictures to 8 bits: which count is black, and which is white.

Cameras put 10, 12 or 14 bits into 16, and thermal cameras use a narrow band far above zero. Scaled
by the 65535 that 16 bits can hold, both are nearly black or of one grey.
"""

from __future__ import annotations

import numpy as np

LARGEST = np.iinfo(np.uint16).max

#: Share of the pixels at either end that do not count: stuck ones are in many raw pictures.
_STUCK = 0.001
#: Pixels that are looked at, about.
_SAMPLES = 2**16
#: A grey picture whose darkest count is this many times the width of its band has an offset.
_OFFSET = 4
#: Counts; a narrower band is noise.
_NARROWEST = 64
#: Share of the band that is added at its ends, so that noise does not move them.
_MARGIN = 0.1


class IntensityRange:
    """Counts of one stream of pictures to 8 bits.

    The setting is `full` (0 to 65535), two counts `black,white`, or `auto`: white is the largest
    count of 8, 10, 12, 14 or 16 bits, whichever is the smallest that holds the picture. Grey
    pictures of a narrow band far above zero (thermal cameras) get that band instead. The range is
    held: later pictures widen it and never narrow it, so that a still stream does not flicker.

    Attributes:
        held: black and white so far; None before the first picture of `auto`.
    """

    def __init__(self, setting: str = "auto") -> None:
        """Args: see above.

        Raises:
            ValueError: it is none of these.
        """
        self._is_auto = setting == "auto"
        self.held: tuple[int, int] | None = None if self._is_auto else _parsed(setting)
        self._table: np.ndarray
        self._table_of: tuple[int, int] | None = None

    def __call__(self, counts: np.ndarray, *, grey: bool) -> np.ndarray:
        """The counts as uint8, clipped at both ends.

        Args:
            counts: uint16, [H, W] or [H, W, C].
            grey: whether they are intensities; colours and mosaics have their zero at black.
        """
        if self._is_auto:
            self.held = self._widened(counts, grey)
        if self._table_of != self.held:
            black, white = self._table_of = self.held
            scaled = (np.arange(LARGEST + 1) - black) * (255.0 / (white - black))
            self._table = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
        return self._table[counts]

    def _widened(self, counts: np.ndarray, grey: bool) -> tuple[int, int]:
        low, high = _ends(counts)
        held = self.held
        if grey and (held[0] > 0 if held else low >= _OFFSET * max(high - low, 1)):
            if held and held[0] <= low and high <= held[1]:
                return held
            if held:
                low, high = min(low, held[0]), max(high, held[1])
            margin = max(_MARGIN * (high - low), (_NARROWEST - (high - low)) / 2)
            return max(round(low - margin), 0), min(round(high + margin), LARGEST)
        white = next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if high < 2**bits)
        return 0, max(white, held[1] if held else 0)


def _ends(counts: np.ndarray) -> tuple[int, int]:
    """The smallest and the largest count, without stuck pixels."""
    # Odd, so that all colours of a mosaic are among the samples.
    step = round((counts.shape[0] * counts.shape[1] / _SAMPLES) ** 0.5) | 1
    sample = counts[::step, ::step].ravel()
    stuck = int(sample.size * _STUCK)
    ordered = np.partition(sample, (stuck, sample.size - 1 - stuck))
    return int(ordered[stuck]), int(ordered[sample.size - 1 - stuck])


def _parsed(setting: str) -> tuple[int, int]:
    if setting == "full":
        return 0, LARGEST
    parts = [part.strip() for part in setting.split(",")]
    if len(parts) == 2 and all(part.isdecimal() for part in parts):
        black, white = map(int, parts)
        if black < white <= LARGEST:
            return black, white
    raise ValueError(
        f"intensity_range is {setting[:80]!r}: give auto, full, or the counts that are black "
        f"and white, such as 7000,8500 (from 0 to {LARGEST}, black below white)"
    )
