# SPDX-License-Identifier: Apache-2.0
"""Spring: rendered 1920 x 1080 stereo video; depth from the left disparity."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample, everywhere, pinhole
from sharpdepth_ros.evaluation.datasets.unrealstereo4k import depth_from_disparity
from sharpdepth_ros.evaluation.depth_readers import read_dsp5

BASELINE = 0.065
"""Metres between the cameras."""


class Spring(DepthDataset):
    """The left camera of the training scenes, which have disparity (needs h5py).

    Disparity is stored at twice the image's size, in pixels of the image; every second row and
    column is taken. Depth is cut at 200 m as in UnrealStereo4K (published: spring_dataset.py). The
    published figures are of a list of 1015 frames: pass it as `frames`.

    Args:
        root: holds train/SCENE/, or is that folder; other arguments as in `DepthDataset`.
    """

    key = "spring"
    title = "Spring"
    dense: ClassVar[bool] = True
    min_depth = 1e-5
    max_depth = 200.0
    how_to_get = (
        "From spring-benchmark.org (DaRUS, doi 10.18419/DARUS-3376) take train_frame_left.zip, "
        "train_disp1_left.zip and train_cam_data.zip, and unpack them below the root: train/SCENE/"
        "frame_left/frame_left_N.png, disp1_left/disp1_left_N.dsp5, cam_data/intrinsics.txt."
    )

    def _find(self) -> list[str]:
        frames = "*/frame_left/frame_left_*.png"
        return self._glob(f"train/{frames}") or self._glob(frames)

    def _read(self, image: str) -> Sample:
        path = Path(image)
        scene, number = path.parent.parent, path.stem.rpartition("_")[2]
        fx, fy, cx, cy = self._camera(scene, int(number))
        disparity = read_dsp5(self._file(scene / "disp1_left" / f"disp1_left_{number}.dsp5"))
        depth = depth_from_disparity(disparity[::2, ::2], fx * BASELINE, self.max_depth)
        return Sample(
            self._name(image), self._rgb(image), depth, everywhere(depth), pinhole(fx, fy, cx, cy)
        )

    def _camera(self, scene: Path, number: int) -> np.ndarray:
        """fx, fy, cx, cy of a frame; line N of the file is frame N."""
        path = self._file(scene / "cam_data" / "intrinsics.txt")
        lines = np.loadtxt(path, ndmin=2)
        if lines.shape[1] != 4 or not 1 <= number <= len(lines):
            raise ValueError(
                f"{path} is {lines.shape}; frame {number} needs its line of four numbers"
            )
        return lines[number - 1]
