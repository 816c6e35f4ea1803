# SPDX-License-Identifier: Apache-2.0
"""Steadies the overall scale of depth from frame to frame, where the picture stands still.

A metric model judges each frame by itself, so the scale of a still scene trembles. Whether the
picture stands still is read from the picture: of an eighth-size copy, the change at textured pixels
divided by the texture's gradient is how far it moved. Then the median ratio of this depth to the
last is the tremble, and a share of it is taken out. Only one factor per frame is ever applied, so
nothing of an older frame can show through; when the picture moves the depth is left as it is.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

#: Side of the blocks of pixels that are averaged before two pictures are compared.
_BLOCK = 8
#: Grey levels per block from which a block counts as textured.
_TEXTURE = 8.0
#: Share of textured blocks without which nothing can be said about motion.
_ENOUGH = 0.01
#: Motion in blocks up to which a block stands still: less than a pixel.
_STILL = 0.1
#: Share of the textured blocks that must stand still. Texture along a motion does not show it.
_MOST = 0.8


class ScaleSmoother:
    """Holds the last picture and its depth. Used by one thread only."""

    def __init__(self) -> None:
        self._grey: np.ndarray | None = None
        self._depth: torch.Tensor

    @property
    def memory(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The last picture and depth, both an eighth in size; given back to it, work goes on as if
        it had not been interrupted."""
        return None if self._grey is None else (self._grey, self._depth.cpu().numpy())

    @memory.setter
    def memory(self, memory: tuple[np.ndarray, np.ndarray] | None) -> None:
        self._grey = None
        if memory is not None:
            self._grey, self._depth = memory[0], torch.from_numpy(memory[1])

    def __call__(self, depth: torch.Tensor, rgb: np.ndarray, strength: float) -> torch.Tensor:
        """The depth with its scale steadied.

        Args:
            depth: float32 [H, W] in metres.
            rgb: uint8 [H, W, 3], the picture it was made from.
            strength: share of the change in scale that is removed, from 0 to below 1.
        """
        if strength == 0:
            self._grey = None
            return depth
        height, width = rgb.shape[:2]
        small = cv2.resize(
            rgb,
            (max(width // _BLOCK, 2), max(height // _BLOCK, 2)),
            interpolation=cv2.INTER_AREA,
        )
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        sample = depth[::_BLOCK, ::_BLOCK]
        if self._grey is not None and _stands_still(self._grey, grey):
            change = (sample / self._depth.to(sample)).log()
            change = change[change.isfinite()].median() if change.isfinite().any() else 0.0
            factor = torch.as_tensor(-strength * change).exp().to(depth)
            depth, sample = depth * factor, sample * factor
        self._grey, self._depth = grey, sample
        return depth


def _stands_still(before: np.ndarray, after: np.ndarray) -> bool:
    if before.shape != after.shape:
        return False
    down, across = np.gradient(after)
    gradient = np.hypot(down, across)
    textured = gradient > _TEXTURE
    if textured.mean() < _ENOUGH:
        return False
    moved = np.abs(after - before)[textured] / gradient[textured]
    return float((moved < _STILL).mean()) > _MOST
