# SPDX-License-Identifier: Apache-2.0
"""DIODE: indoor and outdoor scenes scanned with one laser scanner."""

from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample, pinhole
from sharpdepth_ros.evaluation.depth_readers import read_mask
from sharpdepth_ros.io.depth_files import read_depth

CAMERA = (886.81, 927.06, 512.0, 384.0)
"""fx, fy, cx, cy of all images, 1024 x 768 (the devkit's intrinsics.txt)."""


class Diode(DepthDataset):
    """The validation set: val/indoors|outdoors/SCENE/SCAN/NAME.png, _depth.npy, _depth_mask.npy.

    Args:
        root: holds val/, or is that folder; other arguments as in `DepthDataset`.
        part: "indoors", "outdoors", or "both".
    """

    key = "diode"
    title = "DIODE"
    min_depth = 0.6
    max_depth = 350.0
    parts: ClassVar[tuple[str, ...]] = ("indoors", "outdoors", "both")
    how_to_get = (
        "Take val.tar.gz from diode-dataset.org and unpack it below the root: val/indoors/SCENE/"
        "SCAN/NAME.png, NAME_depth.npy, NAME_depth_mask.npy, and val/outdoors likewise."
    )

    def __init__(self, root, *, part: str = "both", **options):
        if part not in self.parts:
            raise ValueError(f"DIODE has no part {part!r}; known are {', '.join(self.parts)}")
        self._part = "*" if part == "both" else part
        super().__init__(root, **options)
        if part != "both":
            self.title = f"DIODE ({part})"

    def _find(self) -> list[str]:
        scans = f"{self._part}/scene_*/scan_*/*.png"
        return self._glob(f"val/{scans}") or self._glob(scans)

    def _read(self, image: str) -> Sample:
        stem = image.removesuffix(".png")
        depth = read_depth(self._file(f"{stem}_depth.npy"))
        known = read_mask(self._file(f"{stem}_depth_mask.npy"))
        # A laser's missing return is stored as a small or large number and masked.
        depth = np.where(known, depth, np.nan)
        return Sample(self._name(image), self._rgb(image), depth, known, pinhole(*CAMERA))
