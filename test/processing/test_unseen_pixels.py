# SPDX-License-Identifier: Apache-2.0
"""What the sensor never saw is invalid in every output, through every lens model."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField, RegionOfInterest

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.messages.camera_info import calibration_from_info
from sharpdepth_ros.messages.message_types import MessageTypes
from sharpdepth_ros.messages.topics import DEPTH, DEPTH_CAMERA_INFO, DISCREPANCY, METRIC, POINTS
from sharpdepth_ros.processing.depth_messages import DepthMessages
from sharpdepth_ros.processing.frame import BadInput, Demand, Frame
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters

from ..node.conftest import camera_info, image, picture

W, H = 96, 72
EVERYTHING = Demand(depth=True, discrepancy=True, metric=True)
LENSES = [
    ("plumb_bob", (-0.28, 0.07, 0.001, 0.0, 0.0)),
    ("plumb_bob", (-0.28, 0.07, 0.001, 0.0, 0.0, 0.0, 0.0, 0.0)),
    ("rational_polynomial", (0.4, 0.1, 0.0, 0.0, 0.02, 0.8, 0.25, 0.06)),
    ("equidistant", (-0.02, 0.01, -0.003, 0.001)),
    ("equidistant", (0.0, 0.0, 0.0, 0.0)),
]


@pytest.fixture(scope="module")
def pipeline(data):
    return SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint", metric_model="demo", device="cpu", precision="fp32"
    )


def process(pipeline, info, **parameters):
    values = Parameters(**({"processing_resolution": 64} | parameters))
    frame = Frame(image(picture(W, H)), info, received=0.0)
    return FrameProcessor(pipeline, lambda: values)(frame, EVERYTHING)


def wide_info(model, coefficients):
    """A camera whose P shows more than the sensor saw."""
    info = camera_info(W, H, distortion_model=model, d=list(coefficients))
    info.p = np.array([0.5 * W, 0, W / 2, 0, 0, 0.5 * W, H / 2, 0, 0, 0, 1, 0])
    return info


def sides(maps):
    """Pixels whose place in the raw image is well outside of it, and well inside."""
    (columns, rows), room = maps, np.array([W - 1, H - 1])
    places = np.stack([columns, rows], axis=-1)
    distance = np.minimum(places, room - places).min(axis=-1)
    return distance < -0.1, distance > 0.1


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
@pytest.mark.parametrize("mode", ["sharpdepth", "metric"])
def test_no_output_has_a_value_where_the_sensor_saw_nothing(pipeline, model, coefficients, mode):
    info = wide_info(model, coefficients)
    result = process(pipeline, info, mode=mode)
    build, count = (cv2.fisheye, 4) if model == "equidistant" else (cv2, 14)
    k, p = np.reshape(info.k, (3, 3)), np.reshape(info.p, (3, 4))[:, :3]
    unseen, seen = sides(
        build.initUndistortRectifyMap(
            k, np.array(coefficients[:count]), np.eye(3), p, (W, H), cv2.CV_32FC1
        )
    )
    assert 0.05 < unseen.mean() < 0.7
    messages = DepthMessages(MessageTypes(Image, CameraInfo, PointCloud2, PointField))
    topics = [DEPTH, METRIC, *([DISCREPANCY] if mode == "sharpdepth" else [])]
    for topic in topics:
        message = messages.make(topic, result, Parameters())
        values = np.frombuffer(message.data, np.float32).reshape(H, W)
        assert np.isnan(values[unseen]).all(), topic
        assert np.isfinite(values[seen]).all(), topic
    millimetres = messages.make(DEPTH, result, Parameters(depth_encoding="16UC1"))
    assert not np.frombuffer(millimetres.data, np.uint16).reshape(H, W)[unseen].any()
    cloud = messages.make(POINTS, result, Parameters(point_color=False))
    points = np.frombuffer(cloud.data, np.float32).reshape(H, W, 3)
    assert np.isnan(points[unseen]).all()
    assert np.isfinite(points[seen]).all()
    told = messages.make(DEPTH_CAMERA_INFO, result, Parameters())
    np.testing.assert_allclose(np.reshape(told.k, (3, 3)), p)
    assert calibration_from_info(told).is_rectified


def test_what_the_sensor_did_not_read_out_was_not_seen(pipeline):
    info = camera_info(2 * W, 2 * H, d=[0.3, 0.1, 0.0, 0.0, 0.0])
    info.roi = RegionOfInterest(x_offset=W, y_offset=H, width=W, height=H, do_rectify=True)
    result = process(pipeline, info)
    k = np.reshape(info.k, (3, 3)).copy()
    k[:2, 2] -= (W, H)
    unseen, seen = sides(
        cv2.initUndistortRectifyMap(k, np.array(info.d), np.eye(3), k, (W, H), cv2.CV_32FC1)
    )
    assert unseen.mean() > 0.02
    assert np.isnan(result.depth[unseen]).all()
    assert np.isfinite(result.depth[seen]).all()


@pytest.mark.parametrize("binning", [1, 2])
def test_a_camera_info_without_size_is_of_the_image(pipeline, binning):
    info = camera_info(W * binning, H * binning, binning_x=binning, binning_y=binning)
    whole = process(pipeline, info)
    info.width = info.height = 0
    result = process(pipeline, info)
    assert result.camera == whole.camera
    np.testing.assert_array_equal(result.depth, whole.depth)


def test_an_image_that_changes_its_size_gets_its_own_camera(pipeline):
    info = camera_info(W, H)
    info.width = info.height = 0
    values = Parameters(processing_resolution=64)
    process = FrameProcessor(pipeline, lambda: values)
    for height in (H, H - 8):
        frame = Frame(image(picture(W, height)), info, received=0.0)
        assert process(frame, EVERYTHING).depth.shape == (height, W)


def test_a_projection_that_sees_nothing_of_the_image_is_refused(pipeline):
    info = wide_info("plumb_bob", (-0.28, 0.07, 0.0, 0.0, 0.0))
    p = np.reshape(info.p, (3, 4)).copy()
    p[0, 2] = -9000.0
    info.p = p.ravel()
    with pytest.raises(BadInput, match="camera_info: the sensor saw no pixel") as caught:
        process(pipeline, info)
    assert caught.value.cause == "bad_camera_info"
