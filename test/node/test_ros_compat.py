# SPDX-License-Identifier: Apache-2.0
"""The node on an rclpy without what Humble lacks: taken away from the one that is installed."""

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from .conftest import STAND_IN, camera_info, image, picture

HUMBLE = f"""
import runpy, sys
import rclpy, rclpy.event_handler as events, rclpy.lifecycle  # what imports it is loaded before
from rclpy.node import Node

class WithoutMatched(events.SubscriptionEventCallbacks):
    def __init__(self, *, deadline=None, incompatible_qos=None, liveliness=None, message_lost=None,
                 use_default_callbacks=True):
        super().__init__(deadline=deadline, incompatible_qos=incompatible_qos,
                         liveliness=liveliness, message_lost=message_lost,
                         use_default_callbacks=use_default_callbacks)

events.SubscriptionEventCallbacks = WithoutMatched
del Node.add_post_set_parameters_callback
del rclpy.event_handler
sys.modules["rclpy.event_handler"] = None
sys.modules["rclpy.qos_event"] = rclpy.qos_event = events
runpy.run_path({str(STAND_IN)!r}, run_name="__main__")
"""


@pytest.fixture
def start_humble(start_process):
    def start(**parameters):
        given = [word for item in parameters.items() for word in ("-p", "{}:={}".format(*item))]
        return start_process("-c", HUMBLE, "--ros-args", *given)

    return start


def test_parameters_are_judged_and_taken_over(start_humble, peer):
    start_humble(autostart="false", model="sleep=0")
    accepted, reason = peer.set_parameters(max_depth=-1.0, model="loadfail")
    assert not accepted and "max_depth" in reason
    assert peer.transition("configure")  # what was refused is not there
    assert peer.transition("cleanup")
    assert peer.set_parameters(model="loadfail", max_depth=10.0) == (True, "")
    assert not peer.transition("configure")


def test_the_image_subscription_follows_publishers_that_come_later(start_humble, peer):
    depths = peer.listen("depth/image_rect", Image)
    node = start_humble()
    peer.wait_until(lambda: "state: active" in node.log)
    reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    peer.become_camera(qos=reliable)
    peer.wait_until(
        lambda: (
            {s.qos_profile.reliability for s in peer.node.get_subscriptions_info_by_topic("image")}
            == {ReliabilityPolicy.RELIABLE}
        )
    )
    peer.send_until_seen(image(picture(64, 48)), camera_info(64, 48), depths)
    assert peer.transition("deactivate")
    assert "Traceback" not in node.log
