# SPDX-License-Identifier: Apache-2.0
"""NYU Depth V2: the 654 images of the official test split."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import Crop, DepthDataset, Sample, everywhere, pinhole
from sharpdepth_ros.io.depth_files import read_depth

CAMERA = (518.8579, 519.46961, 325.58245, 253.73617)
"""fx, fy, cx, cy of the colour camera, 640 x 480 (the toolbox's camera_params.m)."""

PER_METRE = 1000.0
LABELED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"


class NyuDepthV2(DepthDataset):
    """Either the publisher's .mat files, or images extracted from them.

    - nyu_depth_v2_labeled.mat and splits.mat: images and rawDepths (metres, 0 = none) of
      testNdxs. Needs h5py and scipy.
    - test/SCENE/rgb_N.png and depth_N.png, uint16 millimetres (Marigold's archive, which the
      published evaluation of SharpDepth uses).

    The crop "eigen" is rows 45 to 470 and columns 41 to 600.
    """

    key = "nyu"
    title = "NYUv2"
    min_depth = 1e-3
    max_depth = 10.0
    crops: ClassVar[dict[str, Crop]] = {"eigen": (45 / 480, 471 / 480, 41 / 640, 601 / 640)}
    default_crop = "eigen"
    how_to_get = (
        "Take nyu_depth_v2_labeled.mat and splits.mat from cs.nyu.edu/~fergus/datasets/"
        "nyu_depth_v2.html, or Marigold's nyu_labeled_extracted.tar, which holds "
        "test/SCENE/rgb_N.png and depth_N.png."
    )

    def _find(self) -> list[str]:
        if (self.root / LABELED).exists():
            return [f"{i:04d}" for i in _test_numbers(self._file(SPLITS))]
        return self._glob("test/*/rgb_*.png")

    def _read(self, image: str) -> Sample:
        if image.isdigit():
            rgb, depth = _read_labeled(self._file(LABELED), int(image) - 1)
        else:
            path = Path(image)
            depth_path = path.with_name(path.name.replace("rgb_", "depth_", 1))
            rgb, depth = self._rgb(image), read_depth(self._file(depth_path), PER_METRE)
        return Sample(self._name(image), rgb, depth, everywhere(depth), pinhole(*CAMERA))


def _test_numbers(path: Path) -> list[int]:
    """Numbers of the test images, from 1."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(f"reading {path} needs scipy: pip install scipy") from error
    return sorted(int(i) for i in loadmat(path)["testNdxs"].ravel())


def _read_labeled(path: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, 3] and raw depth [H, W] metres; MATLAB stores columns first."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"reading {path} needs h5py: pip install h5py") from error
    with h5py.File(path) as file:
        rgb = file["images"][index].transpose(2, 1, 0)
        depth = file["rawDepths"][index].T
    return np.ascontiguousarray(rgb), np.ascontiguousarray(depth, np.float32)
