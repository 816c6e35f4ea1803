# SPDX-License-Identifier: Apache-2.0
"""The cloud against an independent writing-out of depth_image_proc's arithmetic."""

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.messages.point_cloud import PointCloudWriter

CAMERA = CameraModel(83, 101, 70.5, 71.5, 40.2, 51.3)


def _frame():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 9, (101, 83)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = np.nan
    return depth, rng.integers(0, 256, (101, 83, 3), dtype=np.uint8)


def _fields(cloud):
    names = [f.name for f in cloud.fields]
    assert all(f.datatype == PointField.FLOAT32 and f.count == 1 for f in cloud.fields)
    assert [f.offset for f in cloud.fields] == [4 * i for i in range(len(names))]
    assert cloud.row_step == cloud.point_step * cloud.width
    assert len(cloud.data) == cloud.row_step * cloud.height
    values = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, -1)
    return {name: values[..., i] for i, name in enumerate(names)}


def _depth_image_proc(depth, camera):
    """convertDepth of depth_image_proc in its own order of float operations."""
    f = np.float32
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    x = (u.astype(f) - f(camera.cx)) * depth * f(1.0 / camera.fx)
    y = (v.astype(f) - f(camera.cy)) * depth * f(1.0 / camera.fy)
    return np.where(np.isfinite(depth), (x, y, depth), f(np.nan))


def test_the_cloud_is_that_of_depth_image_proc():
    depth, rgb = _frame()
    cloud = PointCloudWriter(PointCloud2, PointField)(
        depth, CAMERA, Header(frame_id="optical"), rgb
    )
    assert (cloud.header.frame_id, cloud.is_dense, cloud.is_bigendian) == ("optical", False, False)
    fields = _fields(cloud)
    for name, expected in zip("xyz", _depth_image_proc(depth, CAMERA), strict=True):
        np.testing.assert_allclose(fields[name], expected, rtol=1e-6, atol=1e-7, err_msg=name)
    packed = np.ascontiguousarray(fields["rgb"]).view(np.uint8).reshape(101, 83, 4)
    np.testing.assert_array_equal(packed[..., 2::-1], rgb)


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("with_confidence", [False, True])
def test_fields_are_there_when_asked_for(color, with_confidence):
    depth, rgb = _frame()
    confidence = np.random.default_rng(1).random(depth.shape).astype(np.float32)
    cloud = PointCloudWriter(PointCloud2, PointField)(
        depth, CAMERA, Header(), rgb if color else None, confidence if with_confidence else None
    )
    fields = _fields(cloud)
    assert ("rgb" in fields, "confidence" in fields) == (color, with_confidence)
    if with_confidence:
        np.testing.assert_array_equal(fields["confidence"], confidence)
    np.testing.assert_array_equal(fields["z"], depth)


def test_a_stride_takes_every_nth_point_with_its_colour():
    depth, rgb = _frame()
    full = _fields(PointCloudWriter(PointCloud2, PointField)(depth, CAMERA, Header(), rgb))
    cloud = PointCloudWriter(PointCloud2, PointField)(depth, CAMERA, Header(), rgb, stride=4)
    assert (cloud.width, cloud.height) == (21, 26)
    for name, values in _fields(cloud).items():
        np.testing.assert_array_equal(
            values.view(np.uint32), full[name][::4, ::4].view(np.uint32), err_msg=name
        )


def test_one_writer_follows_every_change():
    depth, rgb = _frame()
    write = PointCloudWriter(PointCloud2, PointField)
    write(depth, CAMERA, Header(), rgb)
    memory = write(depth, CAMERA, Header(), rgb).data
    assert write(depth, CAMERA, Header(), rgb).data is memory
    other = CameraModel(83, 101, 35.0, 35.0, 40.0, 50.0)
    cloud = write(depth, other, Header())
    np.testing.assert_allclose(
        _fields(cloud)["x"], _depth_image_proc(depth, other)[0], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    "module", ["sharpdepth_ros.demo.cloud_reading", "sensor_msgs_py.point_cloud2"]
)
def test_points_are_read_as_sensor_msgs_py_reads_them(module):
    reader = pytest.importorskip(module, reason="needs ROS: sensor_msgs_py has no wheel")
    read_points = reader.read_points
    depth, rgb = _frame()
    cloud = PointCloudWriter(PointCloud2, PointField)(depth, CAMERA, Header(), rgb)
    points = read_points(cloud, ["x", "z"], skip_nans=True)
    assert points.dtype.names == ("x", "z")
    np.testing.assert_array_equal(points["z"], depth[np.isfinite(depth)])
    everything = read_points(cloud)
    assert everything.dtype.names == ("x", "y", "z", "rgb")
    assert len(everything) == depth.size
