# SPDX-License-Identifier: Apache-2.0
"""The node says who publishes what instead of the images or the camera_info it waits for."""

import pytest
import rclpy
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from sharpdepth_ros.node.subscriptions import Inputs
from sharpdepth_ros.processing.parameters import Parameters

from .conftest import camera_info, image, picture, wait_until

RGB = picture(64, 48)
RAW, INFO = ("-r", "image:=/cam/image_raw"), ("-r", "camera_info:=/cam/camera_info")


def said(node, words: str) -> None:
    wait_until(lambda: words in node.log)


@pytest.mark.parametrize(
    ("kind", "topic", "remap", "parameters", "words"),
    [
        (
            CompressedImage, "/cam/image_raw/compressed", "/cam/image_raw/compressed", {},
            "/peer publishes sensor_msgs/msg/CompressedImage there, and the node takes "
            "sensor_msgs/msg/Image: set image_transport:=compressed",
        ),
        (
            CompressedImage, "/cam/image_raw/compressed", "/cam/image_raw", {},
            "nobody publishes it, but /cam/image_raw/compressed has images: set "
            "image_transport:=compressed",
        ),
        (
            Image, "/cam/image_raw", "/cam/image_raw", {"image_transport": "compressed"},
            "nobody publishes it, but /cam/image_raw has images: set image_transport:=raw",
        ),
        (
            CompressedImage, "/cam/jpeg", "/cam/jpeg", {},
            "/cam/jpeg has compressed images, which image_transport:=compressed looks for on names "
            "that end in /compressed: publish them as /cam/jpeg/compressed",
        ),
        (
            PointCloud2, "/cam/image_raw", "/cam/image_raw", {},
            "/peer publishes sensor_msgs/msg/PointCloud2 there, and the node takes "
            "sensor_msgs/msg/Image: remap the topic",
        ),
        (
            Image, "/cam/image", "/cam/image_raw", {},
            "nobody publishes it; remap image to one of those there are: /cam/image",
        ),
        (
            Image, "/cam/image_raw", "/cam/image_raw",
            {"qos_overrides./cam/image_raw.subscription.reliability": "reliable"},
            "/peer publishes it with a QoS that the subscription does not take (",
        ),
    ],
)  # fmt: skip
def test_silence_is_told_with_what_there_is_instead(
    kind, topic, remap, parameters, words, peer, domain
):
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    peer.node.create_publisher(kind, topic, best_effort)
    overrides = [Parameter(name, value=v) for name, v in parameters.items() if "qos" in name]
    values = {name: value for name, value in parameters.items() if "qos" not in name}
    context = rclpy.Context()
    arguments = ["--ros-args", "-r", f"image:={remap}", *INFO]
    rclpy.init(args=arguments, context=context, domain_id=domain)
    node = LifecycleNode("sharpdepth", context=context, parameter_overrides=overrides)
    inputs = Inputs(node, Parameters(**values), *[lambda *_: None] * 4)
    wait_until(lambda: words in inputs.why_silent())
    inputs.destroy()
    node.destroy_node()
    context.try_shutdown()


def test_the_node_tells_it_once(start_node, peer):
    peer.node.create_publisher(CompressedImage, "/cam/image_raw/compressed", 1)
    statuses = peer.diagnostics()
    node = start_node(stand_in=True, ros_args=("-r", "image:=/cam/image_raw/compressed", *INFO))
    said(node, "there, and the node takes sensor_msgs/msg/Image: set image_transport:=compressed")
    statuses.wait_for_count(len(statuses.messages) + 3)
    assert node.log.count("no image arrives on") == 1


def test_a_compressed_topic_may_be_named_with_its_transport(start_node, peer):
    node = start_node(
        stand_in=True, ros_args=("-r", "image:=/cam/compressed"), image_transport="compressed"
    )
    said(node, "active: images from /cam/compressed, camera_info from /camera_info")


def test_images_that_return_are_told_once(start_node, peer):
    node = start_node(stand_in=True)
    depths = peer.listen("depth/image_rect", Image)
    said(node, "no image arrives on /image: nobody publishes it; no topic has sensor_msgs")
    peer.become_camera()
    peer.send_until_seen(image(RGB), camera_info(64, 48), depths)
    said(node, "images arrive on /image")


def test_camera_info_that_nobody_publishes_is_told_with_where_there_is_some(start_node, peer):
    node = start_node(stand_in=True, ros_args=(*RAW, "-r", "camera_info:=/cam/info"))
    images = peer.node.create_publisher(Image, "/cam/image_raw", 1)
    peer.node.create_publisher(CameraInfo, "/cam/camera_info", 1)
    words = (
        "images arrive on /cam/image_raw, but no camera_info on /cam/info: nobody publishes it; "
        "remap camera_info to one of those there are: /cam/camera_info"
    )
    stamps = iter(range(10**6))
    wait_until(lambda: images.publish(image(RGB, stamp=next(stamps) * 10**7)) or words in node.log)


def test_stamps_that_never_agree_are_told_with_the_nearest_difference(start_node, peer):
    node = start_node(stand_in=True)
    peer.become_camera()
    stamps = iter(range(10**6))

    def told() -> bool:
        stamp = next(stamps) * 10**8
        peer.send(image(RGB, stamp=stamp), camera_info(64, 48, stamp + 10**6))
        return (
            "no camera_info on /camera_info (publishers: 1) fits: the nearest stamps of the two "
            "are 0.001 s apart, and sync is exact: set sync:=approximate sync_slop:=0.0015 or "
            "sync:=latest" in node.log
        )

    wait_until(told)


def test_camera_info_beside_a_remapped_image_is_found(start_node, peer):
    node = start_node(stand_in=True, ros_args=RAW)
    said(node, "active: images from /cam/image_raw, camera_info from /cam/camera_info")
    depths = peer.listen("depth/image_rect", Image)
    peer.become_camera("/cam/image_raw", "/cam/camera_info")
    peer.send_until_seen(image(RGB), camera_info(64, 48), depths)


def test_a_rule_for_camera_info_is_followed_though_it_changes_nothing(start_node):
    node = start_node(stand_in=True, ros_args=(*RAW, "-r", "camera_info:=camera_info"))
    said(node, "active: images from /cam/image_raw, camera_info from /camera_info")


def test_sync_latest_asks_nothing_of_a_camera_info_that_is_not_latched(start_node, peer):
    depths, refused = peer.listen("depth/image_rect", Image), []
    events = PublisherEventCallbacks(incompatible_qos=refused.append)
    info = peer.node.create_publisher(CameraInfo, "camera_info", 1, event_callbacks=events)
    images = peer.node.create_publisher(Image, "image", 1)
    start_node(stand_in=True, sync="latest")

    def seen() -> bool:
        info.publish(camera_info(64, 48))
        images.publish(image(RGB))
        return bool(depths.messages)

    wait_until(seen)
    assert not refused


def test_nothing_is_computed_without_subscribers_and_diagnostics_say_so(start_node, peer):
    statuses = peer.diagnostics()
    start_node(stand_in=True)
    peer.become_camera()

    def told() -> bool:
        peer.send(image(RGB), camera_info(64, 48))
        words = {message for _, message, _ in statuses.messages}
        return "no subscribers: nothing is computed" in words

    wait_until(told)


def test_two_nodes_of_one_name_are_told(start_node, peer):
    start_node(stand_in=True, autostart=False)
    assert peer.state() == "unconfigured"
    second = start_node(stand_in=True, autostart=False)
    said(second, "another node is named /sharpdepth: give one of the two another name")
