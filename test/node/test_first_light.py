# SPDX-License-Identifier: Apache-2.0
"""A frame goes in over the DDS, depth and points come out: the node with its real pipeline."""

import numpy as np
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from .conftest import camera_info, image, picture

WIDTH, HEIGHT = 320, 200
STAMP = 1_234_567_890_123_456_789


def test_every_point_is_the_unprojected_depth_of_the_frame(start_node, peer):
    depths, infos, clouds = (
        peer.listen("depth/image_rect", Image),
        peer.listen("depth/camera_info", CameraInfo),
        peer.listen("points", PointCloud2),
    )
    start_node(processing_resolution=256)
    peer.become_camera()
    rgb, info = picture(WIDTH, HEIGHT), camera_info(WIDTH, HEIGHT, STAMP)
    peer.send_until_seen(image(rgb, stamp=STAMP), info, depths, infos, clouds)
    depth_image, depth_info, cloud = (inbox.messages[0] for inbox in (depths, infos, clouds))

    for message in (depth_image, depth_info, cloud):
        assert message.header == info.header
        assert (message.width, message.height) == (WIDTH, HEIGHT)
    assert (depth_image.encoding, depth_image.step) == ("32FC1", WIDTH * 4)
    assert not depth_image.is_bigendian
    assert depth_info.k.tolist() == info.k.tolist()
    assert depth_info.p.tolist() == info.p.tolist()
    assert not any(depth_info.d)

    depth = np.frombuffer(depth_image.data, np.float32).reshape(HEIGHT, WIDTH)
    assert np.isfinite(depth).mean() > 0.9
    assert not cloud.is_dense
    assert (cloud.point_step, cloud.row_step) == (16, 16 * WIDTH)
    assert [(f.name, f.offset) for f in cloud.fields] == [
        ("x", 0), ("y", 4), ("z", 8), ("rgb", 12),
    ]  # fmt: skip
    points = np.frombuffer(cloud.data, np.float32).reshape(HEIGHT, WIDTH, 4)
    fx, _, cx, _, fy, cy = info.k[:6]
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    expected = np.stack(((u - cx) / fx * depth, (v - cy) / fy * depth, depth), axis=-1)
    np.testing.assert_allclose(points[..., :3], expected, rtol=1e-6, atol=1e-7)
    packed = np.ascontiguousarray(points[..., 3]).view(np.uint32)
    for shift, channel in ((16, 0), (8, 1), (0, 2)):
        np.testing.assert_array_equal(packed >> shift & 255, rgb[..., channel])


def test_a_still_scene_gives_the_same_map_twice(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    start_node(processing_resolution=128)
    peer.become_camera()
    rgb = picture(WIDTH, HEIGHT)
    for stamp in (1, 2):
        peer.wait_until(
            lambda stamp=stamp: (
                peer.send(image(rgb, stamp=stamp), camera_info(WIDTH, HEIGHT, stamp))
                or any(m.header.stamp.nanosec == stamp for m in depths.messages)
            )
        )
    by_stamp = {message.header.stamp.nanosec: bytes(message.data) for message in depths.messages}
    assert by_stamp[1] == by_stamp[2]
