# SPDX-License-Identifier: Apache-2.0
"""ETH3D: high-resolution multi-view training scenes with laser-scanned depth."""

from pathlib import Path

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, MissingData, Sample, everywhere
from sharpdepth_ros.evaluation.datasets.base import pinhole as pinhole_matrix


class Eth3d(DepthDataset):
    """13 scenes, 454 images: SCENE/images/dslr_images/NAME.JPG and
    SCENE/ground_truth_depth/dslr_images/NAME.JPG, which is raw float32 metres, inf = none.

    Images and depth are the distorted ones of the camera, as published; intrinsics are fx, fy, cx,
    cy of the fitted fisheye model, without its distortion.
    """

    key = "eth3d"
    title = "ETH3D"
    min_depth = 1e-5
    max_depth = np.inf
    how_to_get = (
        "From eth3d.net/datasets take multi_view_training_dslr_jpg.7z and "
        "multi_view_training_dslr_depth.7z and unpack both at the root: SCENE/images/dslr_images/"
        "NAME.JPG, SCENE/dslr_calibration_jpg/cameras.txt and images.txt, "
        "SCENE/ground_truth_depth/dslr_images/NAME.JPG."
    )

    def _find(self) -> list[str]:
        return self._glob("*/images/dslr_images/*.JPG")

    def _read(self, image: str) -> Sample:
        scene, name = Path(image).parts[0], Path(image).name
        rgb = self._rgb(image)
        path = self._file(f"{scene}/ground_truth_depth/dslr_images/{name}")
        depth = np.fromfile(path, "<f4")
        if depth.size != rgb.shape[0] * rgb.shape[1]:
            raise ValueError(
                f"{path} holds {depth.size} float32 values; the image is {rgb.shape[1]} x "
                f"{rgb.shape[0]}"
            )
        depth = depth.reshape(rgb.shape[:2])
        camera = self._camera(scene, f"dslr_images/{name}")
        return Sample(self._name(image), rgb, depth, everywhere(depth), camera)

    def _camera(self, scene: str, name: str) -> np.ndarray:
        """From COLMAP's text model: an image's line ends in camera and name; a camera's line is
        ID MODEL WIDTH HEIGHT fx fy cx cy ..."""
        folder = self._file(f"{scene}/dslr_calibration_jpg")
        images = (line.split() for line in (folder / "images.txt").read_text().splitlines())
        number = next((w[8] for w in images if len(w) == 10 and w[9] == name), None)
        cameras = (line.split() for line in (folder / "cameras.txt").read_text().splitlines())
        words = next((w for w in cameras if w and w[0] == number), None)
        if words is None:
            raise MissingData(f"{folder} has no camera for {name}. {self.how_to_get}")
        return pinhole_matrix(*map(float, words[4:8]))
