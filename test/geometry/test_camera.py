# SPDX-License-Identifier: Apache-2.0
"""The camera model: what is refused, and how crops, binning and resizing move the intrinsics."""

import math

import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.lens import Distortion

CAMERA = CameraModel(640, 480, 500.0, 510.0, 320.5, 239.0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("width", 0, "0x480 is empty"),
        ("fx", 0.0, "fx 0.0"),
        ("fy", -1.0, "fy -1.0"),
        ("cx", math.nan, "cx nan"),
        ("fx", math.inf, "fx inf"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_with_its_values(field, value, message):
    values = {**CAMERA.__dict__, field: value}
    with pytest.raises(ValueError, match=message):
        CameraModel(**values)


def test_the_matrix_and_the_camera_are_the_same():
    assert CameraModel.from_matrix(CAMERA.matrix, 640, 480) == CAMERA


def test_a_point_is_seen_at_the_same_place_after_crop_and_binning():
    point = np.array([0.3, -0.2, 2.0])

    def pixel(camera):
        return (camera.matrix @ point / point[2])[:2]

    u, v = pixel(CAMERA)
    np.testing.assert_allclose(pixel(CAMERA.cropped(100, 40, 320, 240)), (u - 100, v - 40))
    np.testing.assert_allclose(pixel(CAMERA.binned(2, 4)), (u / 2, v / 4))
    assert CAMERA.binned(2, 4).width == 320


def test_resizing_keeps_pixel_areas():
    half = CAMERA.resized(320, 240)
    # The corner between the first four pixels is at 0.5; after halving at 0: pixel 0's centre.
    assert half.cx == pytest.approx((CAMERA.cx - 0.5) / 2)
    assert half.resized(640, 480) == CAMERA


def test_a_crop_that_leaves_the_image_is_refused():
    with pytest.raises(ValueError, match="leaves the 640x480 image"):
        CAMERA.cropped(600, 0, 100, 100)


@pytest.mark.parametrize(
    ("model", "coefficients", "message"),
    [
        ("plumb_bob", (0.1,), "takes 4 or 5"),
        ("equidistant", (0.1,) * 5, "takes 4"),
        ("fancy", (0.1,), "'fancy' is not known"),
        ("plumb_bob", (math.nan,) * 5, "not finite"),
    ],
)
def test_a_lens_that_means_nothing_is_refused(model, coefficients, message):
    with pytest.raises(ValueError, match=message):
        Distortion(model, coefficients)


@pytest.mark.parametrize("intrinsics", [(1e-3, 1.0, 32.0, 24.0), (50.0, 50.0, 1e300, 24.0)])
def test_a_camera_whose_rays_are_parallel_to_the_image_is_refused(intrinsics):
    with pytest.raises(ValueError, match=r"are not those of a 64x48 image"):
        CameraModel(64, 48, *intrinsics)
