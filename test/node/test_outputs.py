# SPDX-License-Identifier: Apache-2.0
"""What comes out and when: lazily, filtered, with confidence, as snapshot."""

import json

import cv2
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger

from .conftest import camera_info, image, picture

W, H = 96, 64
TOPICS = {
    "depth/image_rect": Image,
    "points": PointCloud2,
    "depth/preview": Image,
    "depth/discrepancy": Image,
    "depth/metric": Image,
}


def _frame(stamp=1):
    return image(picture(W, H), stamp=stamp), camera_info(W, H, stamp)


def _floats(message):
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width, -1)


# The stand-in's answer: depth grows along the columns, the discrepancy along the rows.
DEPTH = np.linspace(1, 3, W, dtype=np.float32)[None].repeat(H, 0)
DISCREPANCY = np.linspace(0, 1, H, dtype=np.float32)[:, None].repeat(W, 1)


def test_nothing_is_computed_for_nobody(start_node, peer):
    statuses = peer.diagnostics()
    start_node(stand_in=True)
    peer.become_camera()
    stamps = iter(range(1, 10**6))

    def skipped():
        peer.send(*_frame(next(stamps)))
        return statuses.messages and "dropped, nobody_listens" in statuses.messages[-1][2]

    peer.wait_until(skipped)
    assert statuses.messages[-1][2]["frames published"] == "0"


def test_a_topic_is_made_from_the_frame_on_that_somebody_listens_to_it(start_node, peer):
    statuses = peer.diagnostics()
    start_node(stand_in=True)
    peer.become_camera()
    expected = {
        "depth/image_rect": DEPTH,
        "points": DEPTH,
        "depth/discrepancy": DISCREPANCY,
        "depth/metric": DEPTH + 1,
    }
    listened = set()
    for topic, kind in TOPICS.items():
        inbox = peer.listen(topic, kind)
        peer.send_until_seen(*_frame(), inbox)
        listened.add(f"stage publish {topic} (ms)")
        statuses.wait_for(lambda m: listened <= set(m[-1][2]))
        made = {k for k in statuses.messages[-1][2] if k.startswith("stage publish")}
        assert made == listened
        message = inbox.messages[0]
        if topic == "depth/preview":
            assert (message.encoding, message.step) == ("rgb8", 3 * W)
        else:
            values = _floats(message)[..., 2 if topic == "points" else 0]
            np.testing.assert_allclose(values, expected[topic], rtol=1e-6)


def test_filters_and_fields_follow_the_parameters(start_node, peer):
    depths, clouds = peer.listen("depth/image_rect", Image), peer.listen("points", PointCloud2)
    start_node(
        stand_in=True,
        min_depth=1.25,
        max_depth=2.5,
        min_confidence=0.25,
        point_confidence=True,
        point_stride=2,
    )
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths, clouds)
    valid = (DEPTH >= 1.25) & (DEPTH <= 2.5) & (DISCREPANCY <= 0.75)
    depth = _floats(depths.messages[0])[..., 0]
    np.testing.assert_array_equal(np.isfinite(depth), valid)
    np.testing.assert_allclose(depth[valid], DEPTH[valid], rtol=1e-6)
    cloud = clouds.messages[0]
    assert [f.name for f in cloud.fields] == ["x", "y", "z", "rgb", "confidence"]
    points = _floats(cloud)
    np.testing.assert_array_equal(np.isfinite(points[..., 0]), valid[::2, ::2])
    np.testing.assert_allclose(points[..., 4], 1 - DISCREPANCY[::2, ::2], atol=1e-6)


def test_16uc1_is_millimetres_that_saturate_with_zero_for_invalid(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True, depth_encoding="16UC1", min_depth=2.0)
    peer.become_camera()
    peer.send_until_seen(*_frame(), depths)
    message = depths.messages[0]
    assert (message.encoding, message.step) == ("16UC1", 2 * W)
    millimetres = np.frombuffer(message.data, np.uint16).reshape(H, W)
    expected = np.where(DEPTH < 2, 0, np.rint(DEPTH * 1000))
    np.testing.assert_allclose(millimetres, expected, atol=1)
    assert (millimetres[DEPTH < 2] == 0).all()


def _snapshot(peer):
    return peer.call(Trigger, "sharpdepth/save_snapshot", Trigger.Request())


def _send_for_ever(peer, image, info):
    """Sends a frame ten times a second; returns when the node receives them."""
    statuses = peer.diagnostics()
    peer.node.create_timer(0.1, lambda: peer.send(image, info))
    statuses.wait_for(lambda m: int(m[-1][2]["images received"]) > 0)


def test_a_snapshot_is_made_although_nobody_listens(start_node, peer, tmp_path):
    start_node(stand_in=True, snapshot_folder=tmp_path)
    peer.become_camera()
    _send_for_ever(peer, *_frame(stamp=5_000_000_007))
    answer = _snapshot(peer)
    folder = tmp_path / "5.000000007"
    assert (answer.success, answer.message) == (True, str(folder))
    np.testing.assert_allclose(np.load(folder / "depth.npy"), DEPTH, rtol=1e-6)
    np.testing.assert_allclose(np.load(folder / "metric.npy"), DEPTH + 1, rtol=1e-6)
    assert (folder / "discrepancy.png").is_file()


def test_a_snapshot_without_images_names_the_topics(start_node, peer, tmp_path):
    start_node(stand_in=True, snapshot_folder=tmp_path / "snapshots")
    peer.become_camera()
    answer = _snapshot(peer)
    assert not answer.success
    assert answer.message == (
        "no image with a camera_info came within 5 s on /image and /camera_info"
    )
    assert not (tmp_path / "snapshots").exists()


def test_the_node_answers_others_while_a_snapshot_waits_for_its_frame(start_node, peer, tmp_path):
    node = start_node(stand_in=True, model="stuck=1", snapshot_folder=tmp_path)
    peer.become_camera()
    client = peer.node.create_client(Trigger, "sharpdepth/save_snapshot")
    assert client.wait_for_service(60)
    peer.node.create_timer(0.1, lambda: peer.send(*_frame()))
    asked = client.call_async(Trigger.Request())
    peer.wait_until(lambda: "frame 1 is stuck" in node.log)
    assert peer.state() == "active"
    assert not asked.done()


def test_a_snapshot_of_a_frame_that_cannot_be_used_says_why(start_node, peer, tmp_path):
    start_node(stand_in=True, snapshot_folder=tmp_path)
    peer.become_camera()
    _send_for_ever(peer, image(picture(W, H)), camera_info(2 * W, H))
    answer = _snapshot(peer)
    assert not answer.success
    assert f"the image is {W}x{H}, but camera_info" in answer.message


def test_a_snapshot_of_a_node_that_is_not_active_says_so(start_node, peer, tmp_path):
    start_node(stand_in=True, snapshot_folder=tmp_path, autostart=False)
    assert peer.state() == "unconfigured"
    answer = _snapshot(peer)
    assert not answer.success
    assert answer.message == "the node is unconfigured, and a snapshot needs an active one"


def test_a_snapshot_holds_the_last_frame_if_no_other_comes(start_node, peer, tmp_path):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True, snapshot_folder=tmp_path)
    peer.become_camera()
    peer.send_until_seen(*_frame(stamp=5_000_000_007), depths)
    answer = _snapshot(peer)
    folder = tmp_path / "5.000000007"
    assert (answer.success, answer.message) == (True, str(folder))
    np.testing.assert_allclose(np.load(folder / "depth.npy"), DEPTH, rtol=1e-6)
    rgb = cv2.imread(str(folder / "image.png"))[..., ::-1]
    np.testing.assert_array_equal(rgb, picture(W, H))
    assert f"element vertex {W * H}".encode() in (folder / "cloud.ply").read_bytes()
    facts = json.loads((folder / "frame.json").read_text())
    assert facts["frame_id"] == "camera_optical_frame"
    assert "convert" in facts["milliseconds"]


def test_a_distorted_camera_is_rectified_and_the_outputs_describe_the_rectified_image(
    start_node, peer
):
    clouds = peer.listen("points", PointCloud2)
    infos = peer.listen("depth/camera_info", type(camera_info(1, 1)))
    start_node(stand_in=True)
    peer.become_camera()
    info = camera_info(W, H, d=[-0.2, 0.05, 0.0, 0.0, 0.0])
    p = info.p.reshape(3, 4).copy()
    p[0, 0] = 70.0
    info.p = p.ravel()
    peer.send_until_seen(image(picture(W, H)), info, clouds, infos)
    out = infos.messages[0]
    assert not any(out.d)
    assert (out.k[0], out.p[0]) == (70.0, 70.0)
    points = _floats(clouds.messages[0])
    expected = np.broadcast_to((np.arange(W) - out.p[2]) / 70.0 * DEPTH, (H, W))
    made = np.isfinite(points[..., 0])
    np.testing.assert_allclose(points[made, 0], expected[made], rtol=1e-5, atol=1e-6)
    packed = np.ascontiguousarray(points[..., 3]).view(np.uint8).reshape(H, W, 4)
    seen = packed[..., 2::-1]
    maps = cv2.initUndistortRectifyMap(
        info.k.reshape(3, 3), np.array(info.d), None, p[:, :3], (W, H), cv2.CV_32FC1
    )
    rectified = cv2.remap(picture(W, H), *maps, cv2.INTER_LINEAR)
    # What the sensor never saw has no point: P sees farther to the sides than the lens does.
    columns, rows = maps
    margin = np.minimum.reduce([columns, W - 1 - columns, rows, H - 1 - rows])
    clear = abs(margin) > 0.05  # at the very border the maps' fixed point decides
    np.testing.assert_array_equal(made[clear], margin[clear] > 0)
    assert 0.5 < made.mean() < 1
    np.testing.assert_allclose(seen[made].astype(int), rectified[made].astype(int), atol=6)


def test_a_rectified_image_passes_through_with_rectify_false(start_node, peer):
    clouds = peer.listen("points", PointCloud2)
    start_node(stand_in=True, rectify=False)
    peer.become_camera()
    info = camera_info(W, H, d=[-0.2, 0.05, 0.0, 0.0, 0.0])
    peer.send_until_seen(image(picture(W, H)), info, clouds)
    packed = np.ascontiguousarray(_floats(clouds.messages[0])[..., 3]).view(np.uint8)
    np.testing.assert_array_equal(packed.reshape(H, W, 4)[..., 2::-1], picture(W, H))


def test_a_compressed_image_beside_a_latched_camera_info(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    infos = peer.node.create_publisher(type(camera_info(1, 1)), "camera_info", latched)
    infos.publish(camera_info(W, H))  # once, before the node is there
    images = peer.node.create_publisher(CompressedImage, "image/compressed", 5)
    start_node(stand_in=True, image_transport="compressed", sync="latest")
    message = CompressedImage(format="jpeg")
    message.data.frombytes(cv2.imencode(".jpg", picture(W, H))[1].tobytes())
    peer.wait_until(lambda: images.publish(message) or depths.messages)
    assert (depths.messages[0].width, depths.messages[0].height) == (W, H)
