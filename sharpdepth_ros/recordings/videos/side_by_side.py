# SPDX-License-Identifier: Apache-2.0
"""The picture, its depth in colours, and what the colours mean, in one image."""

from __future__ import annotations

import cv2
import numpy as np

from sharpdepth_ros.io.colormap import colorize_depth

_BAR = 16
_MARGIN = 8
_LABELS = 5
_LEAST = 48
"""Rows of the smallest image: the legend needs them, and codecs take no less than 16."""


class SideBySide:
    """Composes images with one range of colours, hence one meaning of a colour.

    Attributes:
        size: (width, height) of the images, both even as video codecs want them.
    """

    def __init__(self, width: int, height: int, near: float, far: float) -> None:
        """Args: size of the picture in pixels; metres at the brightest and darkest colour."""
        self._near, self._far = near, far
        self._picture = width, height
        legend = _legend(max(height, _LEAST), near, far)
        self.size = (2 * width + legend.shape[1] + 1) // 2 * 2, (len(legend) + 1) // 2 * 2
        self._canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        self._canvas[: len(legend), 2 * width : 2 * width + legend.shape[1]] = legend

    def __call__(self, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Picture and depth of a frame; another size than the first's is scaled to it.

        Args:
            rgb: uint8 [H, W, 3].
            depth: [H, W] metres.

        Returns:
            uint8 [height, width, 3] of `size`; the same memory each time.
        """
        width, height = self._picture
        colours = colorize_depth(depth, self._near, self._far)
        for left, part in ((0, rgb), (width, colours)):
            if part.shape[:2] != (height, width):
                part = cv2.resize(part, self._picture, interpolation=cv2.INTER_AREA)
            self._canvas[:height, left : left + width] = part
        return self._canvas


def _legend(height: int, near: float, far: float) -> np.ndarray:
    """A bar of the colours, near at the bottom, with metres beside it."""
    scale = min(max(height / 720, 0.55), 1.5)
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(round(1.5 * scale), 1)
    # Even steps of inverse depth, as the colours are.
    inverse = np.linspace(1 / far, 1 / near, height - 2 * _MARGIN)
    bar = colorize_depth((1 / inverse)[:, None].repeat(_BAR, 1), near, far)
    count = max(min(_LABELS, height // round(40 * scale)), 2)
    labels = {
        row: f"{1 / inverse[row]:.3g} m"
        for row in np.linspace(0, len(inverse) - 1, count).round().astype(int)
    }
    sizes = [cv2.getTextSize(text, font, scale * 0.7, thickness)[0] for text in labels.values()]
    legend = np.zeros((height, 3 * _MARGIN + _BAR + max(w for w, _ in sizes), 3), np.uint8)
    legend[_MARGIN : _MARGIN + len(bar), _MARGIN : _MARGIN + _BAR] = bar
    for (row, text), (_, text_height) in zip(labels.items(), sizes, strict=True):
        below = np.clip(row + _MARGIN + text_height // 2, text_height + 1, height - 2)
        place = 2 * _MARGIN + _BAR, int(below)
        cv2.putText(legend, text, place, font, scale * 0.7, (255,) * 3, thickness, cv2.LINE_AA)
    return legend
