# SPDX-License-Identifier: Apache-2.0
"""MPI Sintel: the training sequences, which have depth and cameras."""

from pathlib import Path
from typing import ClassVar

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample, everywhere
from sharpdepth_ros.evaluation.depth_readers import read_cam, read_dpt


class Sintel(DepthDataset):
    """1064 frames of the final pass: training/final, training/depth, training/camdata_left."""

    key = "sintel"
    title = "Sintel"
    dense: ClassVar[bool] = True
    min_depth = 1e-3
    max_depth = 200.0
    how_to_get = (
        "From sintel.is.tue.mpg.de take the training images and the depth training data, and "
        "unpack both below the root: training/final/SCENE/frame_N.png, training/depth/SCENE/"
        "frame_N.dpt, training/camdata_left/SCENE/frame_N.cam."
    )

    def _find(self) -> list[str]:
        return self._glob("training/final/*/frame_*.png")

    def _read(self, image: str) -> Sample:
        scene, frame = Path(image).parts[-2], Path(image).stem
        depth = read_dpt(self._file(f"training/depth/{scene}/{frame}.dpt"))
        camera = self.root / f"training/camdata_left/{scene}/{frame}.cam"
        intrinsics = read_cam(camera) if camera.exists() else None
        return Sample(self._name(image), self._rgb(image), depth, everywhere(depth), intrinsics)
