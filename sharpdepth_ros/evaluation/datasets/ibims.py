# SPDX-License-Identifier: Apache-2.0
"""iBims-1: 100 indoor images with laser-scanned depth and annotated depth edges."""

from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample, pinhole
from sharpdepth_ros.evaluation.depth_readers import read_mask, read_numbers
from sharpdepth_ros.io.depth_files import read_depth

PER_METRE = 65535 / 50
"""Depth is stored as 16 bits for 0 to 50 metres."""


class Ibims1(DepthDataset):
    """The core set (ibims1_core_raw): imagelist.txt, rgb/, depth/, edges/, calib/, mask_*/.

    Pixels of mask_invalid and mask_transp (0 = invalid, transparent) have no depth. The DBE is
    measured against edges/.
    """

    key = "ibims1"
    title = "iBims-1"
    dense: ClassVar[bool] = True
    min_depth = 1e-3
    max_depth = 50.0
    how_to_get = (
        "Take ibims1_core_raw.zip from the iBims-1 page of TU Munich (doi 10.14459/2018mp1455541) "
        "and unpack it at the root: imagelist.txt, rgb/NAME.png, depth/NAME.png, edges/NAME.png, "
        "calib/NAME.txt, mask_invalid/NAME.png, mask_transp/NAME.png."
    )

    def _find(self) -> list[str]:
        return [f"rgb/{name}.png" for name in self._file("imagelist.txt").read_text().split()]

    def _name(self, image: str) -> str:
        return super()._name(image).removeprefix("rgb/")

    def _read(self, image: str) -> Sample:
        name = self._name(image)
        depth = read_depth(self._file(f"depth/{name}.png"), PER_METRE)
        for mask in ("mask_invalid", "mask_transp"):
            depth = np.where(read_mask(self._file(f"{mask}/{name}.png")), depth, np.nan)
        return Sample(
            name,
            self._rgb(image),
            depth,
            np.isfinite(depth),
            self._camera(name),
            read_mask(self._file(f"edges/{name}.png")),
        )

    def _camera(self, name: str) -> np.ndarray:
        """Four numbers fx, fy, cx, cy, or a matrix, as its rows or its columns."""
        path = self._file(f"calib/{name}.txt")
        numbers = read_numbers(path)
        if numbers.size == 4:
            return pinhole(*numbers)
        if numbers.size != 9:
            raise ValueError(f"{path} holds {numbers.size} numbers; a camera has 4 or 9")
        matrix = numbers.reshape(3, 3)
        return matrix if matrix[2, 0] == 0 else matrix.T
