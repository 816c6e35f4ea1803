# SPDX-License-Identifier: Apache-2.0
"""KITTI: the Eigen test split with the improved ground truth of the depth benchmark."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import (
    Crop,
    DepthDataset,
    MissingData,
    Sample,
    everywhere,
    pinhole,
)
from sharpdepth_ros.evaluation.datasets.kitti_eigen_split import eigen_test_frames
from sharpdepth_ros.io.depth_files import read_depth

CAMERAS = {
    "2011_09_26": (721.5377, 721.5377, 609.5593, 172.854),
    "2011_09_28": (707.0493, 707.0493, 604.0814, 180.5066),
    "2011_09_29": (718.3351, 718.3351, 600.3891, 181.5122),
    "2011_09_30": (707.0912, 707.0912, 601.8873, 183.1104),
    "2011_10_03": (718.856, 718.856, 607.1928, 185.2157),
}
"""fx, fy, cx, cy of the rectified left colour camera by recording date (calib_cam_to_cam.txt)."""

BENCHMARK_SIZE = (352, 1216)
PER_METRE = 256.0


class KittiEigen(DepthDataset):
    """652 frames: those of Eigen's 697 that have improved ground truth.

    As published (SharpDepth and Marigold: kitti_dataset.py), image and depth are cut to the
    benchmark's 352 x 1216, bottom and centre, and the crop's shares are of that size.

    Args:
        root: holds DATE/DRIVE/image_02/data/ and DRIVE/proj_depth/groundtruth/image_02/, the
            latter directly or under train/ and val/; other arguments as in `DepthDataset`.
        benchmark_crop: False keeps the whole images.
    """

    key = "kitti"
    title = "KITTI (Eigen split)"
    min_depth = 1e-5
    max_depth = 80.0
    crops: ClassVar[dict[str, Crop]] = {
        "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
        "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
    }
    default_crop = "eigen"
    how_to_get = (
        "From cvlibs.net/datasets/kitti take the raw data of the drives (DATE/DRIVE/image_02/"
        "data/) and the annotated depth maps of the depth benchmark "
        "(train|val/DRIVE/proj_depth/groundtruth/image_02/), and unpack both below the root."
    )

    def __init__(self, root: str | Path, *, benchmark_crop: bool = True, **options):
        self.benchmark_crop = benchmark_crop
        super().__init__(root, **options)

    def _find(self) -> list[str]:
        return eigen_test_frames()

    def _read(self, image: str) -> Sample:
        date, drive, *_, file = Path(image).parts
        rgb = self._rgb(image)
        depth = read_depth(self._truth(drive, file), PER_METRE)
        camera = pinhole(*CAMERAS[date])
        if self.benchmark_crop:
            height, width = depth.shape
            top = height - BENCHMARK_SIZE[0]
            left = (width - BENCHMARK_SIZE[1]) // 2
            window = np.s_[top : top + BENCHMARK_SIZE[0], left : left + BENCHMARK_SIZE[1]]
            rgb, depth = rgb[window], depth[window]
            camera[:2, 2] -= (left, top)
        return Sample(self._name(image), rgb, depth, everywhere(depth), camera)

    def _truth(self, drive: str, file: str) -> Path:
        below = Path(drive, "proj_depth", "groundtruth", "image_02", file)
        for part in ("", "val", "train", "data_depth_annotated/val", "data_depth_annotated/train"):
            path = self.root / part / below
            if path.exists():
                return path
        raise MissingData(f"{self.root}/[val|train]/{below} is missing. {self.how_to_get}")
