# SPDX-License-Identifier: Apache-2.0
"""The image subscription follows what publishers offer."""

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from .conftest import camera_info, image, picture

BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE


def _reliability(peer):
    return {s.qos_profile.reliability for s in peer.node.get_subscriptions_info_by_topic("/image")}


def test_a_large_image_of_a_reliable_camera_arrives(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True)
    peer.become_camera(qos=QoSProfile(depth=1, reliability=RELIABLE))
    peer.wait_until(lambda: _reliability(peer) == {RELIABLE})
    peer.send_until_seen(image(picture(1280, 720)), camera_info(1280, 720), depths)


def test_a_camera_of_best_effort_is_served_also_beside_a_reliable_one(start_node, peer):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True)
    reliable = peer.node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=RELIABLE))
    peer.wait_until(lambda: _reliability(peer) == {RELIABLE})
    peer.become_camera(qos=QoSProfile(depth=1, reliability=BEST_EFFORT))
    peer.wait_until(lambda: _reliability(peer) == {BEST_EFFORT})
    peer.send_until_seen(image(picture(64, 48)), camera_info(64, 48), depths)
    peer.node.destroy_publisher(reliable)


def test_the_users_override_stays(start_node, peer):
    name = "qos_overrides./image.subscription.reliability"
    start_node(stand_in=True, **{name: "best_effort"})
    depths = peer.listen("depth/image_rect", Image)
    peer.become_camera(qos=QoSProfile(depth=1, reliability=RELIABLE))
    peer.send_until_seen(image(picture(64, 48)), camera_info(64, 48), depths)
    assert _reliability(peer) == {BEST_EFFORT}
