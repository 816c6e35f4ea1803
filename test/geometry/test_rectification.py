# SPDX-License-Identifier: Apache-2.0
"""Rectification: what a lens bent is straight afterwards, where the calibration says."""

import cv2
import numpy as np
import pytest

from sharpdepth_ros.geometry.calibration import Calibration
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.lens import Distortion
from sharpdepth_ros.geometry.rectification import Rectifier

RAW = CameraModel(320, 240, 200.0, 205.0, 162.0, 118.0)
RECTIFIED = CameraModel(320, 240, 180.0, 180.0, 158.0, 121.0)
LENSES = [
    Distortion("plumb_bob", (-0.28, 0.07, 0.001, -0.002, 0.01)),
    Distortion("rational_polynomial", (0.4, 0.1, 0.001, -0.001, 0.02, 0.5, 0.15, 0.03)),
    Distortion("equidistant", (-0.02, 0.01, -0.003, 0.001)),
]


@pytest.mark.parametrize("lens", LENSES, ids=lambda lens: lens.model)
def test_a_point_in_space_lands_where_the_rectified_camera_sees_it(lens):
    angle = np.deg2rad(2.0)
    rotation = cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]
    calibration = Calibration(RAW, lens, tuple(rotation.ravel()), RECTIFIED, True)
    rectify = Rectifier(calibration)
    points = np.array([[0.3, 0.2, 1.5], [-0.5, 0.1, 1.2], [0.1, -0.4, 1.4], [0.0, 0.0, 1.0]])
    project = cv2.fisheye.projectPoints if lens.model == "equidistant" else cv2.projectPoints
    zero = np.zeros(3)
    coefficients = np.array(lens.coefficients)
    bent, _ = project(points[:, None], zero, zero, RAW.matrix, coefficients)
    for point, (u, v) in zip(points, bent.reshape(-1, 2), strict=True):
        rgb = np.zeros((240, 320, 3), np.uint8)
        columns, rows = np.meshgrid(np.arange(320), np.arange(240))
        blob = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8)
        rgb[:] = blob[..., None]
        found = rectify(rgb).rgb[..., 0].astype(float)
        centre = (np.array([columns, rows]) * found).sum(axis=(1, 2)) / found.sum()
        expected = RECTIFIED.matrix @ (rotation @ point)
        np.testing.assert_allclose(centre, expected[:2] / expected[2], atol=0.15)
