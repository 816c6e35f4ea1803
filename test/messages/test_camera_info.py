# SPDX-License-Identifier: Apache-2.0
"""CameraInfo in the meaning of image_geometry: K, P, region of interest, binning."""

import gc
import sys

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from sharpdepth_ros.messages.camera_info import calibration_from_info, depth_camera_info

from ..node.conftest import camera_info


def test_region_and_binning_lead_from_the_sensor_to_the_image():
    info = camera_info(640, 480, binning_x=2, binning_y=4)
    info.roi = RegionOfInterest(x_offset=100, y_offset=60, width=320, height=240)
    camera = calibration_from_info(info).raw
    fx, _, cx, _, fy, cy = info.k[:6]
    assert (camera.width, camera.height) == (160, 60)
    assert (camera.fx, camera.fy) == (fx / 2, fy / 4)
    assert (camera.cx, camera.cy) == ((cx - 100) / 2, (cy - 60) / 4)


def test_the_rectified_camera_is_p_where_it_is_set():
    info = camera_info(640, 480)
    p = info.p.reshape(3, 4).copy()
    p[0, 0], p[0, 2] = 444.0, 333.0
    info.p = p.ravel()
    calibration = calibration_from_info(info)
    assert (calibration.rectified.fx, calibration.rectified.cx) == (444.0, 333.0)
    assert calibration.raw.fx == info.k[0]
    assert calibration.has_projection


def test_the_rectified_camera_is_k_where_p_is_not_set():
    calibration = calibration_from_info(camera_info(640, 480, p=np.zeros(12)))
    assert calibration.rectified == calibration.raw
    assert not calibration.has_projection


def test_an_offset_alone_is_a_region_of_interest():
    info = camera_info(640, 480)
    info.roi = RegionOfInterest(x_offset=100, y_offset=60)
    camera = calibration_from_info(info).raw
    assert (camera.width, camera.height) == (540, 420)
    assert (camera.cx, camera.cy) == (info.k[2] - 100, info.k[5] - 60)


@pytest.mark.parametrize(
    ("fields", "raw"),
    [
        ({}, (320, 240, 1.0, 0.0)),
        ({"binning_x": 2, "binning_y": 2}, (320, 240, 0.5, 0.0)),
        ({"roi": RegionOfInterest(x_offset=40, width=320, height=240)}, (320, 240, 1.0, 40.0)),
        (
            {
                "roi": RegionOfInterest(x_offset=40, width=640, height=480),
                "binning_x": 2,
                "binning_y": 2,
            },
            (320, 240, 0.5, 40.0),
        ),
    ],
)
def test_where_camera_info_has_no_size_the_image_has_it(fields, raw):
    info = camera_info(640, 480, **fields)
    info.width = info.height = 0
    camera = calibration_from_info(info, (320, 240)).raw
    width, height, scale, offset = raw
    assert (camera.width, camera.height) == (width, height)
    assert camera.fx == info.k[0] * scale
    assert camera.cx == (info.k[2] - offset) * scale


def test_a_matrix_that_mirrors_is_no_rotation():
    with pytest.raises(ValueError, match="R is no rotation"):
        calibration_from_info(camera_info(640, 480, r=np.diag([1.0, 1.0, -1.0]).ravel()))


def test_a_matrix_that_is_no_rotation_is_refused():
    with pytest.raises(ValueError, match="R is no rotation"):
        calibration_from_info(camera_info(640, 480, r=np.arange(9.0)))


def test_reading_lenses_of_changing_length_takes_no_memory():
    infos = [
        camera_info(640, 480, distortion_model=model, d=[0.1] * length)
        for model, length in (("plumb_bob", 4), ("plumb_bob", 5), ("rational_polynomial", 8))
    ]

    def read(times):
        for _ in range(times):
            for info in infos:
                calibration_from_info(info)

    gc.collect()
    gc.disable()  # it would give back what is kept
    try:
        read(100)
        before = sys.getallocatedblocks()
        read(400)
        assert sys.getallocatedblocks() - before < 100
    finally:
        gc.enable()


def test_the_depth_images_camera_info_describes_the_depth_image_itself():
    info = camera_info(640, 480, d=[0.1, 0.0, 0.0, 0.0, 0.0], binning_x=2, binning_y=2)
    p = info.p.reshape(3, 4).copy()
    p[0, 3] = -42.0  # the right camera of a stereo pair
    info.p = p.ravel()
    camera = calibration_from_info(info).rectified
    out = depth_camera_info(camera, info.header, info, CameraInfo)
    assert (out.width, out.height, out.binning_x, out.roi.width) == (320, 240, 0, 0)
    assert not any(out.d)
    assert out.p[3] == -21.0
    again = calibration_from_info(out)
    assert again.raw == again.rectified == camera
