# SPDX-License-Identifier: Apache-2.0
"""UnrealStereo4K: rendered 3840 x 2160 stereo pairs; depth from the left disparity."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample, everywhere, pinhole
from sharpdepth_ros.io.depth_files import read_array

CAMERA = (1920.0, 1920.0, 1920.0, 1080.0)
BASELINE = 0.5
"""Metres; 1920 px x 0.5 m gives the 960 of the published depth = 960 / disparity."""


class UnrealStereo4K(DepthDataset):
    """Scene 00008, the test scene: 200 frames.

    As published (unrealstereo_dataset.py) depth is cut at 200 m: farther pixels keep that depth,
    so that the sky has an outline, and do not count for accuracy.

    Args:
        root: holds 00008/Image0 and 00008/Disp0, or is that scene's folder; other arguments as in
            `DepthDataset`.
    """

    key = "unrealstereo4k"
    title = "UnrealStereo4K"
    dense: ClassVar[bool] = True
    min_depth = 1e-5
    max_depth = 200.0
    how_to_get = (
        "Take UnrealStereo4K_00008.zip from the SMD-Nets project (github.com/fabiotosi92/SMD-Nets) "
        "and unpack it below the root: 00008/Image0/N.png and 00008/Disp0/N.npy."
    )

    def _find(self) -> list[str]:
        return self._glob("00008/Image0/*.png") or self._glob("Image0/*.png")

    def _read(self, image: str) -> Sample:
        path = Path(image)
        disparity_path = path.parent.parent / "Disp0" / f"{path.stem}.npy"
        disparity = read_array(self._file(disparity_path)).astype(np.float32)
        depth = depth_from_disparity(disparity, CAMERA[0] * BASELINE, self.max_depth)
        return Sample(
            self._name(image), self._rgb(image), depth, everywhere(depth), pinhole(*CAMERA)
        )


def depth_from_disparity(disparity: np.ndarray, focal_baseline: float, farthest: float):
    """Metres, cut at `farthest`; nan where the disparity is not known.

    Args:
        disparity: [H, W] pixels; 0 is infinitely far, nan is unknown.
        focal_baseline: focal length in pixels times baseline in metres.
        farthest: metres.
    """
    with np.errstate(divide="ignore"):
        depth = focal_baseline / disparity
    return np.clip(depth, 0, farthest).astype(np.float32)
