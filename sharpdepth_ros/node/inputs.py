# SPDX-License-Identifier: Apache-2.0
"""The node's subscriptions: image and camera_info, joined to frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from sharpdepth_ros.node.parameters import Parameters
from sharpdepth_ros.node.processing import Frame
from sharpdepth_ros.node.ros_compat import MatchEvents, no_event_callbacks
from sharpdepth_ros.node.synchronisation import make_synchroniser
from sharpdepth_ros.node.topics import CAMERA_INFO, IMAGE

try:
    import message_filters as filters
except ImportError:
    from sharpdepth_ros.node import time_synchronizers as filters


class Inputs:
    """Subscribes when made; `destroy` ends it."""

    def __init__(
        self,
        node: LifecycleNode,
        parameters: Parameters,
        on_image: Callable[[], None],
        on_frame: Callable[[Frame], None],
        on_unpaired: Callable[[], None],
        on_bad_stamp: Callable[[str, bool], None],
    ) -> None:
        """Subscribes.

        Args:
            node: the node.
            parameters: image_transport, sync and sync_slop are read.
            on_image: called for each image received.
            on_frame: gets each image that has a camera_info, with it.
            on_unpaired: called for each image that is given up because it has none.
            on_bad_stamp: told of a message before the beginning of time, and whether it is an
                image: ROS has no such time, and message_filters raises on it.
        """
        self._node = node
        self._on_image, self._on_bad_stamp = on_image, on_bad_stamp
        self._pairs = make_synchroniser(
            parameters.sync, parameters.sync_slop, on_frame, on_unpaired, filters
        )
        compressed = parameters.image_transport == "compressed"
        # The transport's suffix belongs behind the remapped name, as image_transport has it.
        self.image_topic = node.resolve_topic_name(IMAGE) + "/compressed" * compressed
        self.info_topic = node.resolve_topic_name(CAMERA_INFO)
        self._image = _AdaptiveSubscription(
            node,
            CompressedImage if compressed else Image,
            self.image_topic,
            self._image_received,
        )
        self._infos = [
            node.create_subscription(
                CameraInfo,
                self.info_topic,
                self._info_received,
                QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        ]
        self._stamped = parameters.sync != "latest"
        if not self._stamped:
            # A latched camera_info reaches only a subscription that asks for what was sent before
            # it; that one connects to latched publishers alone, which is no cause for a warning.
            latched = QoSProfile(
                depth=1,
                reliability=ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.TRANSIENT_LOCAL,
            )
            self._infos.append(
                node.create_subscription(
                    CameraInfo,
                    self.info_topic,
                    self._info_received,
                    latched,
                    event_callbacks=no_event_callbacks(),
                )
            )

    def destroy(self) -> None:
        """Unsubscribes."""
        self._image.destroy()
        for subscription in self._infos:
            self._node.destroy_subscription(subscription)

    def _image_received(self, image: Image | CompressedImage) -> None:
        self._on_image()
        if self._has_time(image, self.image_topic, is_image=True):
            self._pairs.add_image(image)

    def _info_received(self, info: CameraInfo) -> None:
        # The latest camera_info is taken whatever its stamp.
        if not self._stamped or self._has_time(info, self.info_topic, is_image=False):
            self._pairs.add_info(info)

    def _has_time(self, message: Any, topic: str, is_image: bool) -> bool:
        stamp = message.header.stamp
        if stamp.sec >= 0:
            return True
        self._on_bad_stamp(
            f"a message on {topic} has the stamp {stamp.sec} s {stamp.nanosec} ns: a time in ROS "
            "is not negative; look at the clock of its sender",
            is_image,
        )
        return False


class _AdaptiveSubscription:
    """A subscription that is as reliable as its publishers.

    Best effort connects to everybody, but Fast DDS with its defaults sends a large image in
    fragments through a memory that is smaller than the image, and best effort then gets none of
    1280x720 (reliable gets all). Reliable connects only to reliable publishers. So this follows
    what is offered, unless the parameter qos_overrides.<topic>.subscription.reliability says it.
    """

    def __init__(
        self, node: LifecycleNode, kind: type, topic: str, callback: Callable[[Any], None]
    ) -> None:
        self._node, self._kind, self._topic, self._callback = node, kind, topic, callback
        self._fixed = _reliability_override(node, topic)
        # Events come while the subscription is in the executor's hands: it is replaced afterwards.
        self._changed = node.create_guard_condition(self._adapt)
        self._events = MatchEvents(node, self._changed.trigger)
        self._subscribe()

    def destroy(self) -> None:
        self._events.destroy()
        self._node.destroy_guard_condition(self._changed)
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self) -> None:
        self._reliability = self._wanted()
        self._subscription = self._events.create_subscription(
            self._kind,
            self._topic,
            self._callback,
            QoSProfile(depth=1, reliability=self._reliability),
            qos_overriding_options=QoSOverridingOptions(
                (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)
            ),
        )

    def _wanted(self) -> ReliabilityPolicy:
        if self._fixed is not None:
            return self._fixed
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        offered = {publisher.qos_profile.reliability for publisher in publishers}
        all_reliable = offered == {ReliabilityPolicy.RELIABLE}
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _adapt(self) -> None:
        if self._wanted() != self._reliability:
            self._node.destroy_subscription(self._subscription)
            self._subscribe()


def _reliability_override(node: LifecycleNode, topic: str) -> ReliabilityPolicy | None:
    """What the user says about the topic's reliability; None: nothing."""
    name = f"qos_overrides.{topic}.subscription.reliability"
    if not node.has_parameter(name):
        node.declare_parameter(
            name,
            "automatic",
            ParameterDescriptor(
                description=f"reliability for subscription `{topic}`",
                additional_constraints="One of: automatic, reliable, best_effort.",
                read_only=True,
            ),
        )
    value = node.get_parameter(name).value
    if value == "automatic":
        return None
    if value not in ("reliable", "best_effort"):
        raise ValueError(f"{name} must be automatic, reliable or best_effort, got {value!r}")
    return ReliabilityPolicy.get_from_short_key(value)
