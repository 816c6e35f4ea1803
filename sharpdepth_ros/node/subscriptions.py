# SPDX-License-Identifier: Apache-2.0
"""The node's subscriptions: image and camera_info, joined to frames."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from sharpdepth_ros.messages.time_synchronizers import stamp_of
from sharpdepth_ros.messages.topics import CAMERA_INFO, IMAGE, OUTPUTS, camera_info_beside
from sharpdepth_ros.node.graph import Source, no_camera_info, no_image
from sharpdepth_ros.node.parameter_server import value_at_start
from sharpdepth_ros.node.ros_compat import MatchEvents
from sharpdepth_ros.node.start_arguments import is_remapped
from sharpdepth_ros.processing.frame import Frame
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.processing.synchronizer import make_synchroniser

try:
    import message_filters as filters
except ImportError:
    from sharpdepth_ros.messages import time_synchronizers as filters

#: Messages that may wait: of a subscription to images, of one to camera_info, of a publisher.
IMAGE_DEPTH, INFO_DEPTH, OUTPUT_DEPTH = 1, 10, 1
#: Stamps among which the nearest pair is looked for: more than wait for their other half.
_KEPT_STAMPS = 32
_QOS_CHOICES = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort"),
}


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
        self._parameters = parameters
        self._image_stamps: deque[int] = deque(maxlen=_KEPT_STAMPS)
        self._info_stamps: deque[int] = deque(maxlen=_KEPT_STAMPS)
        self._reason, self._reason_until = "", 0.0
        self.image_topic, self.info_topic = input_topics(node, parameters)
        compressed = parameters.image_transport == "compressed"
        self._image = _AdaptiveSubscription(
            node,
            CompressedImage if compressed else Image,
            self.image_topic,
            self._image_received,
        )
        self._stamped = parameters.sync != "latest"
        # A latched camera_info reaches only a subscription that asks for what was sent before it.
        self._info = _AdaptiveSubscription(
            node,
            CameraInfo,
            self.info_topic,
            self._info_received,
            depth=INFO_DEPTH,
            latched=not self._stamped,
        )

    def destroy(self) -> None:
        """Unsubscribes."""
        self._image.destroy()
        self._info.destroy()

    def why_silent(self) -> str:
        """Why no image arrives, as far as the graph tells it, and what to do."""
        return no_image(self._node, self._image.source, self._parameters.image_transport)

    def why_unpaired(self) -> str:
        """Why images have no camera_info, and what to do; asked anew once a second."""
        now = time.monotonic()
        if now >= self._reason_until:
            self._reason_until = now + 1.0
            differences = [abs(a - b) for a in self._image_stamps for b in self._info_stamps]
            nearest = min(differences) * 1e-9 if differences else None
            reason = no_camera_info(self._node, self._info.source, self._parameters, nearest)
            self._reason = f"images arrive on {self.image_topic}, but {reason}"
        return self._reason

    def _image_received(self, image: Image | CompressedImage) -> None:
        self._on_image()
        if self._has_time(image, self.image_topic, is_image=True):
            self._image_stamps.append(stamp_of(image))
            self._pairs.add_image(image)

    def _info_received(self, info: CameraInfo) -> None:
        # The latest camera_info is taken whatever its stamp.
        if not self._stamped or self._has_time(info, self.info_topic, is_image=False):
            self._info_stamps.append(stamp_of(info))
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


def input_topics(node: LifecycleNode, parameters: Parameters) -> tuple[str, str]:
    """The topics of the images and of their camera_info.

    Where the image is remapped and camera_info is not, that is looked for beside the image.
    """
    base = node.resolve_topic_name(IMAGE)
    info = node.resolve_topic_name(CAMERA_INFO)
    moved = base != node.resolve_topic_name(IMAGE, only_expand=True)
    # A rule may leave the name as it is, which only the arguments tell.
    if (
        moved
        and info == node.resolve_topic_name(CAMERA_INFO, only_expand=True)
        and not is_remapped(sys.argv, CAMERA_INFO)
    ):
        info = node.resolve_topic_name(camera_info_beside(base))
    # The transport's suffix belongs behind the remapped name, as image_transport has it.
    suffixed = parameters.image_transport == "raw" or base.endswith("/compressed")
    return base if suffixed else f"{base}/compressed", info


class _AdaptiveSubscription:
    """A subscription that is as reliable as its publishers, and latched if they are.

    Best effort connects to everybody, but Fast DDS with its defaults sends a large image in
    fragments through a memory that is smaller than the image, and best effort then gets none of
    1280x720 (reliable gets all). Reliable connects only to reliable publishers. So this follows
    what is offered, unless the parameter qos_overrides.<topic>.subscription.reliability says it.
    """

    def __init__(
        self,
        node: LifecycleNode,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int = IMAGE_DEPTH,
        latched: bool = False,
    ) -> None:
        """Subscribes.

        Args:
            node: the node.
            kind: type of the messages.
            topic: their topic.
            callback: gets each.
            depth: messages that may wait.
            latched: whether to ask publishers that all are transient local for what they sent
                before.
        """
        self._node, self._kind, self._topic, self._callback = node, kind, topic, callback
        self._depth, self._latched = depth, latched
        _declare_qos(node, f"{topic}.subscription", "automatic", depth)
        self._fixed = _fixed_reliability(node, topic)
        # Events come while the subscription is in the executor's hands: it is replaced afterwards.
        self._changed = node.create_guard_condition(self._adapt)
        self._events = MatchEvents(node, self._changed.trigger)
        self._subscribe()

    def destroy(self) -> None:
        self._events.destroy()
        self._node.destroy_guard_condition(self._changed)
        self._node.destroy_subscription(self._subscription)

    @property
    def source(self) -> Source:
        """What it asks for."""
        kind = f"sensor_msgs/msg/{self._kind.__name__}"
        return Source(
            self._topic,
            kind,
            QoSProfile(depth=1, reliability=self._reliability, durability=self._durability),
        )

    def _subscribe(self) -> None:
        self._reliability, self._durability = self._wanted()
        self._subscription = self._events.create_subscription(
            self._kind,
            self._topic,
            self._callback,
            QoSProfile(
                depth=self._depth, reliability=self._reliability, durability=self._durability
            ),
            qos_overriding_options=QoSOverridingOptions(
                (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)
            ),
        )

    def _wanted(self) -> tuple[ReliabilityPolicy, DurabilityPolicy]:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        profiles = [publisher.qos_profile for publisher in publishers]
        reliability = self._fixed
        if reliability is None:
            all_reliable = {p.reliability for p in profiles} == {ReliabilityPolicy.RELIABLE}
            reliability = (
                ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT
            )
        all_latched = {p.durability for p in profiles} == {DurabilityPolicy.TRANSIENT_LOCAL}
        latched = self._latched and all_latched
        return reliability, (
            DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        )

    def _adapt(self) -> None:
        if self._wanted() != (self._reliability, self._durability):
            self._node.destroy_subscription(self._subscription)
            self._subscribe()


def declare_qos_overrides(node: LifecycleNode, parameters: Parameters) -> None:
    """Declares the parameters qos_overrides... of the node's topics, before rclpy does.

    rclpy would look at them where it makes the publishers and subscriptions, after the models are
    loaded, and then name neither parameter nor value.

    Raises:
        ValueError: a value is not allowed.
    """
    image, info = input_topics(node, parameters)
    _declare_qos(node, f"{image}.subscription", "automatic", IMAGE_DEPTH)
    _declare_qos(node, f"{info}.subscription", "automatic", INFO_DEPTH)
    for topic in OUTPUTS:
        _declare_qos(node, f"{node.resolve_topic_name(topic)}.publisher", "reliable", OUTPUT_DEPTH)


def _declare_qos(node: LifecycleNode, entity: str, reliability: str, depth: int) -> None:
    defaults = {"history": "keep_last", "depth": depth, "reliability": reliability}
    for policy, default in defaults.items():
        name = f"qos_overrides.{entity}.{policy}"
        if node.has_parameter(name):
            continue
        value = value_at_start(node, name, default)
        if policy == "depth":
            valid, constraints = type(value) is int and value >= 0, "An integer, 0 or more."
        else:
            choices = list(dict.fromkeys([default, *_QOS_CHOICES[policy]]))
            valid, constraints = value in choices, f"One of: {', '.join(choices)}."
        if not valid:
            what = constraints[0].lower() + constraints[1:-1]
            raise ValueError(f"{name} must be {what}, got {value!r}")
        descriptor = ParameterDescriptor(
            description=f"{policy} for {entity}", additional_constraints=constraints, read_only=True
        )
        node.declare_parameter(name, value, descriptor, ignore_override=True)


def _fixed_reliability(node: LifecycleNode, topic: str) -> ReliabilityPolicy | None:
    """What the user says about the reliability of a subscription; None: nothing."""
    value = node.get_parameter(f"qos_overrides.{topic}.subscription.reliability").value
    return None if value == "automatic" else ReliabilityPolicy.get_from_short_key(value)
