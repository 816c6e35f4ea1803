# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag` against the node: the same frames give the same messages, byte for byte."""

import os
import subprocess
import sys

import cv2
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from .conftest import Inbox, camera_info, image, picture, set_stamp

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags (.[recordings])")

from sharpdepth_ros.recordings.bags import rosbags_messages as messages  # noqa: E402

W, H, FRAMES = 96, 64, 3
OUTPUTS = {
    "depth/image_rect": Image,
    "depth/camera_info": CameraInfo,
    "points": PointCloud2,
    "depth/preview": Image,
    "depth/discrepancy": Image,
    "depth/metric": Image,
}
DISTORTED = {"d": [-0.2, 0.05, 0.001, 0.0, 0.0]}


def _listen_to_bytes(peer, topic, kind):
    """What the middleware delivers, before anything has read it, by stamp."""
    inbox = Inbox()
    peer.node.create_subscription(kind, topic, inbox.add, 10, raw=True)
    return inbox


def _by_stamp(kind, all_bytes):
    found = {}
    for data in all_bytes:
        stamp = deserialize_message(data, kind).header.stamp
        found[stamp.sec * 10**9 + stamp.nanosec] = data
    return found


def _write_bag(path, frames, image_topic):
    with rosbag2.Writer(path, version=8, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=messages.TYPES)
            for topic, kind in (
                (image_topic, messages.COMPRESSED_IMAGE
                 if image_topic.endswith("compressed") else messages.IMAGE),
                ("/camera_info", messages.CAMERA_INFO),
            )
        }  # fmt: skip
        for number, (picture_message, info) in enumerate(frames):
            for topic, message in ((image_topic, picture_message), ("/camera_info", info)):
                writer.write(connections[topic], number, serialize_message(message))
    return path


def _jpeg(rgb, stamp):
    message = CompressedImage(format="jpeg")
    message.data.frombytes(cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes())
    set_stamp(message, stamp)
    return message


@pytest.mark.parametrize(
    ("transport", "info", "parameters"),
    [
        ("raw", {}, {}),
        (
            "compressed",
            DISTORTED,
            {
                "depth_encoding": "16UC1",
                "point_stride": 3,
                "point_confidence": True,
                "min_confidence": 0.2,
                "edge_filter": 2.0,
                "max_depth": 20.0,
            },
        ),
        ("raw", DISTORTED, {"rectify": False, "mode": "metric", "point_color": False}),
    ],
    ids=["defaults", "everything_set", "metric_alone"],
)
def test_a_bag_gets_the_bytes_that_the_node_publishes(
    start_node, peer, tmp_path, transport, info, parameters
):
    stamps = [1_700_000_000_000_000_007 + n * 33_000_000 for n in range(FRAMES)]
    make, kind = (image, Image) if transport == "raw" else (_jpeg, CompressedImage)
    frames = [
        (make(picture(W, H, seed), stamp=stamp), camera_info(W, H, stamp, **info))
        for seed, stamp in enumerate(stamps)
    ]
    parameters = {"processing_resolution": 96, "image_transport": transport, **parameters}
    outputs = dict(OUTPUTS)
    if parameters.get("mode") == "metric":
        del outputs["depth/discrepancy"]

    inboxes = {topic: _listen_to_bytes(peer, topic, kind) for topic, kind in outputs.items()}
    start_node(**parameters)
    topic = "image" if transport == "raw" else "image/compressed"
    peer.become_camera(image=topic, kind=kind)
    for (message, camera), stamp in zip(frames, stamps, strict=True):

        def arrived(stamp=stamp):
            return all(stamp in _by_stamp(outputs[t], i.messages) for t, i in inboxes.items())

        peer.wait_until(lambda m=message, c=camera, a=arrived: peer.send(m, c) or a())

    source = _write_bag(tmp_path / "in", frames, f"/{topic}")
    command = [
        sys.executable,
        "-m",
        "sharpdepth_ros.cli",
        "bag",
        str(source),
        str(tmp_path / "out"),
    ]
    command += ["--outputs", "depth,camera_info,points,preview,discrepancy,metric"]
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command += ["-p", f"{name}:={text}"]
    # As the node runs: another number of threads adds in another order.
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)

    recorded = {topic: [] for topic in outputs}
    with rosbag2.Reader(tmp_path / "out") as reader:
        for connection, _, data in reader.messages():
            if connection.topic[1:] in outputs:
                recorded[connection.topic[1:]].append(bytes(data))
    for topic, kind in outputs.items():
        published = _by_stamp(kind, inboxes[topic].messages)
        from_bag = _by_stamp(kind, recorded[topic])
        assert sorted(from_bag) == stamps
        for stamp in stamps:
            assert deserialize_message(from_bag[stamp], kind) == deserialize_message(
                published[stamp], kind
            )
            assert _without_padding(from_bag[stamp]) == _without_padding(published[stamp])


def _without_padding(data):
    """Fast DDS pads a message to a multiple of four bytes."""
    return data.rstrip(b"\0")
