# SPDX-License-Identifier: Apache-2.0
"""Follows the topics of a running node, frame by frame, for a viewer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from sharpdepth_ros.io.intensity_range import IntensityRange
from sharpdepth_ros.messages.images import message_to_rgb
from sharpdepth_ros.messages.time_synchronizers import stamp_of
from sharpdepth_ros.messages.topics import (
    DEPTH,
    DEPTH_CAMERA_INFO,
    DISCREPANCY,
    IMAGE,
    METRIC,
    POINTS,
)
from sharpdepth_ros.node.ros_context import first_node, join_ros
from sharpdepth_ros.recordings.run_problems import BAD_INPUT
from sharpdepth_ros.viewing.assembly import Assembler, DepthArrival, frame_of_parts
from sharpdepth_ros.viewing.frames import ViewFrame
from sharpdepth_ros.viewing.messages import (
    camera_of,
    cloud_of,
    depth_of,
    node_problem,
    stage_times,
)

#: Frames of large messages that may wait here.
_QUEUE = QoSProfile(depth=5)
#: Parameters of the node that say how its depth is made.
SETTINGS = (
    "model",
    "metric_model",
    "generator",
    "mode",
    "device",
    "precision",
    "processing_resolution",
    "fit",
    "lotus_steps",
    "seed",
)
#: Seconds without a depth image after which the user is told what is on the graph.
SILENCE = 5.0
#: Seconds to wait, after the last frame, for the node to tell its parameters.
PATIENCE = 20.0
#: Seconds after which they are asked for again.
ASK_AGAIN = 2.0


class FrameFollower(Node):
    """Subscribes to what the node takes and gives, and puts frames together.

    Args:
        on_frame: called for each frame.
        image: topic of the camera's images; relative names are resolved in the namespace.
        namespace: of the node.
        points: subscribe to the cloud; else it is made of the depth image here, which spares the
            graph its largest message.
        most: frames to hand on; None: all.
    """

    def __init__(
        self,
        on_frame: Callable[[ViewFrame], None],
        image: str = IMAGE,
        namespace: str = "",
        points: bool = True,
        most: int | None = None,
    ) -> None:
        super().__init__("sharpdepth_view", namespace=namespace or None)
        self._on_frame = on_frame
        self._most = most
        self._camera = None
        self._timings: dict[str, float] = {}
        self._problems: list[str] = []
        self._node_parameters: Client | None = None
        self._settings: Future | None = None
        self._asked = -ASK_AGAIN
        self.frames = 0
        kinds = {DEPTH: "depth", DISCREPANCY: "discrepancy", METRIC: "metric"}
        self._assembler = Assembler(["image", *kinds.values(), *["points"] * points], "depth")
        for topic, kind in kinds.items():
            self._subscribe(Image, topic, kind, depth_of)
        if points:
            self._subscribe(PointCloud2, POINTS, "points", lambda m: cloud_of(m, self._camera))
        compressed = image.endswith("/compressed")
        kind = CompressedImage if compressed else Image
        read = partial(message_to_rgb, intensity=IntensityRange())
        # A camera's driver may be best effort, which a reliable subscription would not match.
        self._subscribe(kind, image, "image", read, qos_profile_sensor_data)
        self.create_subscription(CameraInfo, DEPTH_CAMERA_INFO, self._on_info, _QUEUE)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def ask_settings(self) -> bool:
        """Ask the node that publishes depth for its parameters; whether it has told them.

        An answer is lost if the node has not discovered this client yet: it is asked again.
        """
        if self._node_parameters is None:
            publishers = self.get_publishers_info_by_topic(self.resolve_topic_name(DEPTH))
            # A publisher may be discovered before the node that it belongs to.
            named = [p for p in publishers if "UNKNOWN" not in p.node_namespace + p.node_name]
            if not named:
                return False
            namespace, name = named[0].node_namespace, named[0].node_name
            service = f"{namespace.rstrip('/')}/{name}/get_parameters"
            self._node_parameters = self.create_client(GetParameters, service)
        if self._settings is not None and self._settings.done():
            return True
        now = time.monotonic()
        if now - self._asked > ASK_AGAIN and self._node_parameters.service_is_ready():
            if self._settings is not None:
                self._node_parameters.remove_pending_request(self._settings)
            request = GetParameters.Request(names=list(SETTINGS))
            self._settings, self._asked = self._node_parameters.call_async(request), now
        return False

    def settings(self) -> dict[str, str]:
        """The node's parameters of `SETTINGS`, as they were at first; empty if it told none."""
        if not self.ask_settings():
            return {}
        values = self._settings.result().values
        known = ((n, parameter_value_to_python(v)) for n, v in zip(SETTINGS, values, strict=False))
        return {name.replace("_", " "): str(value) for name, value in known if value is not None}

    @property
    def is_done(self) -> bool:
        """Whether as many frames came as were wanted."""
        return self._most is not None and self.frames >= self._most

    def problems(self) -> list[str]:
        """What was wrong so far."""
        counts = []
        if self._assembler.incomplete:
            counts.append(
                f"{self._assembler.incomplete} of {self.frames} frames lack a message that others "
                "have: it was lost, or nobody publishes it"
            )
        return self._problems + counts

    def silence(self) -> str:
        """Why nothing may be coming, for people."""
        depth = self.resolve_topic_name(DEPTH)
        if self.count_publishers(depth):
            return (
                f"{depth} is published, but no depth image arrives: does an image reach the node?"
            )
        found = [name for name, kinds in self.get_topic_names_and_types() if name.endswith(DEPTH)]
        there = f"There is {', '.join(found)}: use --namespace. " if found else ""
        return (
            f"nobody publishes {depth}. {there}Is the node running and active, and ROS_DOMAIN_ID "
            "the same?"
        )

    def _subscribe(
        self,
        message: type,
        topic: str,
        kind: str,
        read: Callable,
        qos: QoSProfile = _QUEUE,
    ) -> None:
        def received(message: object) -> None:
            try:
                value = read(message)
            except BAD_INPUT as error:
                self._note(f"{topic}: {error}")
                return
            stamp = stamp_of(message)
            if kind == "depth":
                now = self.get_clock().now().nanoseconds
                value = DepthArrival(value, self._camera, self._timings, (now - stamp) * 1e-6)
            for ready in self._assembler.add(kind, stamp, value):
                if not self.is_done:
                    self.frames += 1
                    self._on_frame(frame_of_parts(*ready))

        self.create_subscription(message, topic, received, qos)

    def _on_info(self, message: CameraInfo) -> None:
        try:
            self._camera = camera_of(message)
        except ValueError as error:
            self._note(f"{DEPTH_CAMERA_INFO}: {error}")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._timings = stage_times(message) or self._timings
        if (problem := node_problem(message)) is not None:
            self._note(problem)

    def _note(self, text: str) -> None:
        if text not in self._problems:
            self._problems.append(text)


def follow(
    on_frame: Callable[[ViewFrame], None],
    *,
    on_joined: Callable[[], None] = lambda: None,
    image: str = IMAGE,
    namespace: str = "",
    points: bool = True,
    frames: int | None = None,
) -> tuple[dict[str, str], list[str]]:
    """Follow a running node until enough frames came or the user interrupts.

    Args:
        on_frame: called for each frame.
        on_joined: called once, when ROS is joined and before any frame.
        image: see `FrameFollower`.
        namespace: see `FrameFollower`.
        points: see `FrameFollower`.
        frames: to stop after; None: until SIGINT.

    Returns:
        The node's settings, and what was wrong.
    """
    # SIGINT shall be Python's KeyboardInterrupt: what has been recorded is then ended in order.
    join_ros()
    try:
        with first_node():
            node = FrameFollower(on_frame, image, namespace, points, frames)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        on_joined()
        told = done = time.monotonic()
        try:
            while not node.is_done or not (
                node.ask_settings() or time.monotonic() - done > PATIENCE
            ):
                executor.spin_once(timeout_sec=0.2)
                node.ask_settings()
                if not node.is_done:
                    done = time.monotonic()
                if not node.frames and time.monotonic() - told > SILENCE:
                    print(f"sharpdepth: {node.silence()}", file=sys.stderr, flush=True)
                    told = time.monotonic()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        settings, problems = node.settings(), node.problems()
        if not node.frames:
            problems.append(node.silence())
        executor.shutdown()
        node.destroy_node()
        return settings, problems
    finally:
        rclpy.try_shutdown()
