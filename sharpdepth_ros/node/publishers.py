# SPDX-License-Identifier: Apache-2.0
"""The node's output topics: who listens, and sending them their messages."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from sharpdepth_ros.messages.topics import (
    DEPTH,
    DEPTH_CAMERA_INFO,
    DISCREPANCY,
    METRIC,
    POINTS,
    PREVIEW,
)
from sharpdepth_ros.node.ros_messages import ROS_MESSAGES
from sharpdepth_ros.processing.depth_messages import DepthMessages, demand_of
from sharpdepth_ros.processing.frame import Demand, FrameResult
from sharpdepth_ros.processing.parameters import Parameters

_TYPES: dict[str, type] = {
    DEPTH_CAMERA_INFO: CameraInfo,
    DEPTH: Image,
    POINTS: PointCloud2,
    PREVIEW: Image,
    DISCREPANCY: Image,
    METRIC: Image,
}


class Outputs:
    """The publishers of the node. Made on configure, removed on cleanup."""

    def __init__(self, node: LifecycleNode, parameters: Callable[[], Parameters]) -> None:
        self._node = node
        self._parameters = parameters
        # Reliable serves every subscriber; a depth of one because only the newest frame matters.
        self._publishers: dict[str, LifecyclePublisher] = {
            topic: node.create_lifecycle_publisher(
                kind,
                topic,
                QoSProfile(depth=1),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, kind in _TYPES.items()
        }
        self._messages = DepthMessages(ROS_MESSAGES)

    def destroy(self) -> None:
        """Removes the publishers from the graph."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def wanted(self) -> set[str]:
        """The topics somebody subscribes to."""
        return {t for t, p in self._publishers.items() if p.get_subscription_count() > 0}

    def demand(self) -> Demand:
        """What the next frame has to bring for the topics that are wanted."""
        return demand_of(self.wanted(), self._parameters())

    def publish(self, result: FrameResult) -> dict[str, float]:
        """Publishes a frame to those who listen.

        A topic that was not wanted when the frame was begun is left out.

        Returns:
            Milliseconds for making and sending each message, by topic.
        """
        parameters = self._parameters()
        timings, wanted = {}, self.wanted()
        for topic in (topic for topic in self._messages.topics(result) if topic in wanted):
            begun = time.perf_counter()
            self._publishers[topic].publish(self._messages.make(topic, result, parameters))
            timings[f"publish {topic}"] = (time.perf_counter() - begun) * 1e3
        return timings
