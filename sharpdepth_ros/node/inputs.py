# SPDX-License-Identifier: Apache-2.0
"""The node's subscriptions: image and camera_info, joined to frames."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from sharpdepth_ros.node.parameters import Parameters
from sharpdepth_ros.node.processing import Frame
from sharpdepth_ros.node.synchronisation import make_synchroniser


class Inputs:
    """Subscribes when made; `destroy` ends it."""

    def __init__(
        self,
        node: LifecycleNode,
        parameters: Parameters,
        on_image: Callable[[], None],
        on_frame: Callable[[Frame], None],
        on_unpaired: Callable[[], None],
    ) -> None:
        """Subscribes.

        Args:
            node: the node.
            parameters: image_transport, sync and sync_slop are read.
            on_image: called for each image received.
            on_frame: gets each image that has a camera_info, with it.
            on_unpaired: called for each image that is given up because it has none.
        """
        self._node = node
        self._on_image = on_image
        self._pairs = make_synchroniser(
            parameters.sync, parameters.sync_slop, on_frame, on_unpaired
        )
        # Best effort connects to every publisher, and a camera's next image is better than a late
        # one. Whoever needs it otherwise has the qos_overrides parameters.
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        recent = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        overridable = QoSOverridingOptions.with_default_policies()
        compressed = parameters.image_transport == "compressed"
        # The transport's suffix belongs behind the remapped name, as image_transport has it.
        self.image_topic = node.resolve_topic_name("image") + "/compressed" * compressed
        self.info_topic = node.resolve_topic_name("camera_info")
        self._subscriptions = [
            node.create_subscription(
                CompressedImage if compressed else Image,
                self.image_topic,
                self._image_received,
                newest,
                qos_overriding_options=overridable,
            ),
            node.create_subscription(
                CameraInfo,
                self.info_topic,
                self._pairs.add_info,
                recent,
                qos_overriding_options=overridable,
            ),
        ]
        if parameters.sync == "latest":
            # A latched camera_info reaches only a subscription that asks for what was sent before
            # it; that one connects to latched publishers alone, which is no cause for a warning.
            latched = QoSProfile(
                depth=1,
                reliability=ReliabilityPolicy.RELIABLE,
                durability=DurabilityPolicy.TRANSIENT_LOCAL,
            )
            self._subscriptions.append(
                node.create_subscription(
                    CameraInfo,
                    self.info_topic,
                    self._pairs.add_info,
                    latched,
                    event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
                )
            )

    def destroy(self) -> None:
        """Unsubscribes."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _image_received(self, image: Image | CompressedImage) -> None:
        self._on_image()
        self._pairs.add_image(image)
