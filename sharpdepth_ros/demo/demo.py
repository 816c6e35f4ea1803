# SPDX-License-Identifier: Apache-2.0
"""The demo: a camera and the node as real processes, their latency, and a picture to look at."""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2

from sharpdepth_ros.demo.cloud_reading import read_points
from sharpdepth_ros.evaluation.metrics import abs_relative_difference, delta1_acc
from sharpdepth_ros.io.colormap import colorize_depth, near_far
from sharpdepth_ros.io.depth_files import write_depth_png, write_rgb
from sharpdepth_ros.messages import topics as names
from sharpdepth_ros.messages.images import image_to_rgb
from sharpdepth_ros.messages.time_synchronizers import stamp_of
from sharpdepth_ros.node.fastdds import (
    PROFILE,
    find_profile,
    large_message_environment,
    memory_environment,
)
from sharpdepth_ros.node.ros_context import first_node, join_ros
from sharpdepth_ros.viewing.messages import depth_of
from sharpdepth_ros.weights.catalogue import DEMO_NOTICE

KEPT_MESSAGES = 64
"""Messages of a topic that wait for those of other topics. A slow machine has fewer in flight."""

DEMO_DOMAINS = range(100, 200)
"""ROS domains for a demo of its own: it must not feed points to a robot that runs beside it."""


@dataclass(frozen=True)
class DemoFrame:
    """One frame as a subscriber saw it, complete: depth image and cloud.

    Attributes:
        depth_latency: milliseconds from the image's stamp to the arrival of its depth image here.
        cloud_latency: the same for its cloud.
        completed: seconds on the monotonic clock.
        rgb: uint8 [H, W, 3].
        depth: float32 [H, W] metres.
        metric_depth: the same, of the metric model alone.
        ground_truth: the same, exact; None for images of a folder.
        points: valid points of the cloud.
    """

    depth_latency: float
    cloud_latency: float
    completed: float
    rgb: np.ndarray
    depth: np.ndarray
    metric_depth: np.ndarray
    ground_truth: np.ndarray | None
    points: int


def run_demo(
    frames: int,
    output: Path,
    images: Path | None,
    scene: str,
    seed: int,
    size: tuple[int, int],
    rate: float,
    timeout: float,
    preset: str,
    backend: str,
) -> int:
    """Run the demo; the exit status.

    Args:
        frames: depth images to wait for.
        output: folder for the picture and the depth image of the first frame.
        images: folder to publish instead of synthetic scenes.
        scene: kind of synthetic scenes.
        seed: of the synthetic scenes.
        size: (width, height) of the synthetic camera in pixels.
        rate: of the camera, frames per second.
        timeout: seconds for all of it.
        preset: of the node.
        backend: of the node.
    """
    if frames < 1:
        raise ValueError(f"--frames is {frames}; give 1 or more")
    print(DEMO_NOTICE, flush=True)
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.choice(DEMO_DOMAINS)))
    _make_room_for_images()
    source = {"width": size[0], "height": size[1], "scene": scene, "seed": seed}
    if images is not None:
        source = {"images": str(images.resolve())}
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        # A real camera takes nothing from the node's processor; this one takes what is left.
        camera = stack.enter_context(
            _process("demo.camera", yields=True, rate=float(rate), **source)
        )
        node = stack.enter_context(_process("node.main", preset=preset, backend=backend))
        try:
            seen = _watch(frames, deadline, [camera, node], known=images is None)
        except ChildEnded as error:
            print(f"sharpdepth: {error}", file=sys.stderr)
            return 1
    if len(seen) < frames:
        print(f"{len(seen)} of {frames} frames came within {timeout:.0f} s", file=sys.stderr)
        return 1
    _report(seen)
    _report_accuracy(seen)
    _write_picture(seen[0], output)  # a drive begins where there is something to see
    return 0


def _make_room_for_images() -> None:
    """What the launch files do, for this process and the ones it starts: with Fast DDS' defaults a
    third to two thirds of the frames never arrive whole."""
    profile = find_profile()
    if profile is None:
        variables, reason = {}, f"{PROFILE} is not installed: Fast DDS stays as it is"
    else:
        variables, reason = large_message_environment(profile)
    print(reason, flush=True)
    os.environ.update(variables | memory_environment())


class _Viewer(Node):
    """Subscribes to what a user subscribes to and keeps the times.

    Args:
        known: whether the camera publishes the true depth.
    """

    def __init__(self, known: bool) -> None:
        super().__init__("sharpdepth_demo")
        self.frames: list[DemoFrame] = []
        self._known = known
        # Per topic and by stamp: the message and its latency.
        self._seen: dict[str, OrderedDict[int, tuple]] = {}
        self._first_look = self.create_timer(0.05, self._subscribe_with_the_node)

    def _subscribe_with_the_node(self) -> None:
        """Subscribe as soon as the node does, which is when it has its models. The camera waits for
        a subscriber: it costs nothing while the node loads, and every run sees the same scenes."""
        if not self.count_subscribers(names.IMAGE):
            return
        self._first_look.cancel()
        newest = QoSProfile(depth=5)
        topics = {
            names.IMAGE: (Image, qos_profile_sensor_data),
            names.POINTS: (PointCloud2, newest),
            names.DEPTH: (Image, newest),
            names.METRIC: (Image, newest),
        }
        if self._known:
            topics[names.GROUND_TRUTH] = (Image, qos_profile_sensor_data)
        self._seen = {name: OrderedDict() for name in topics}
        for name, (kind, qos) in topics.items():
            self.create_subscription(kind, name, partial(self._on_message, name), qos)

    def _on_message(self, topic: str, message: Image | PointCloud2) -> None:
        stamp = stamp_of(message)
        latency = (self.get_clock().now().nanoseconds - stamp) * 1e-6
        kept = self._seen[topic]
        kept[stamp] = message, latency
        while len(kept) > KEPT_MESSAGES:
            kept.popitem(last=False)
        # A frame from before this viewer is never complete.
        if all(stamp in messages for messages in self._seen.values()):
            self._take({name: messages[stamp] for name, messages in self._seen.items()})

    def _take(self, messages: dict[str, tuple]) -> None:
        """Keep a frame of which all messages have come, and say so."""
        (cloud, cloud_latency), (_, depth_latency) = (
            messages[name] for name in (names.POINTS, names.DEPTH)
        )
        metres = {
            name: depth_of(message)
            for name, (message, _) in messages.items()
            if name not in (names.IMAGE, names.POINTS)
        }
        frame = DemoFrame(
            depth_latency,
            cloud_latency,
            time.monotonic(),
            image_to_rgb(messages[names.IMAGE][0]),
            metres[names.DEPTH],
            metres[names.METRIC],
            metres.get(names.GROUND_TRUTH),
            len(read_points(cloud, ["x", "y", "z"], skip_nans=True)),
        )
        self.frames.append(frame)
        print(
            f"frame {len(self.frames):4d}  depth after {depth_latency:7.1f} ms  "
            f"cloud after {cloud_latency:7.1f} ms  {frame.points} points",
            flush=True,
        )


def _watch(frames: int, deadline: float, processes: list[_Child], known: bool) -> list[DemoFrame]:
    """Spin until the frames are there, the time is over, or a process has ended."""
    join_ros()
    try:
        with first_node():
            viewer = _Viewer(known)
        while len(viewer.frames) < frames and time.monotonic() < deadline:
            rclpy.spin_once(viewer, timeout_sec=0.2)
            for process in processes:
                process.raise_if_ended()
        return viewer.frames
    finally:
        rclpy.try_shutdown()


class ChildEnded(RuntimeError):
    """A process of the demo ended before the demo did; the message has its last words."""


class _Child:
    """A ROS process of the demo; what it prints is kept for the case that it ends early."""

    def __init__(self, module: str, parameters: dict, yields: bool) -> None:
        arguments = [a for name, v in parameters.items() for a in ("-p", f"{name}:={v}")]
        command = [sys.executable, "-m", f"sharpdepth_ros.{module}", "--ros-args", *arguments]
        if yields and (nice := shutil.which("nice")):
            command = [nice, "-n", "10", *command]
        self._name = module
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def raise_if_ended(self) -> None:
        """Raise ChildEnded if the process is not running."""
        status = self._process.poll()
        if status is not None:
            self._log.seek(0)
            last = "".join(self._log.readlines()[-15:])
            raise ChildEnded(f"{self._name} ended with status {status}:\n{last}")

    def stop(self) -> None:
        """Interrupt as a user does, and wait."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def _process(module: str, yields: bool = False, **parameters):
    child = _Child(module, parameters, yields)
    try:
        yield child
    finally:
        child.stop()


def _report(seen: list[DemoFrame]) -> None:
    depth = [frame.depth_latency for frame in seen]
    cloud = [frame.cloud_latency for frame in seen]
    print(
        f"{len(seen)} frames: latency of depth median {statistics.median(depth):.1f} ms, longest "
        f"{max(depth):.1f} ms; of cloud median {statistics.median(cloud):.1f} ms"
    )
    if len(seen) > 1:
        rate = (len(seen) - 1) / (seen[-1].completed - seen[0].completed)
        print(f"{rate:.1f} frames per second")


def _report_accuracy(seen: list[DemoFrame]) -> None:
    """Depth against the synthetic camera's own, where it has one."""
    pairs = [frame for frame in seen if frame.ground_truth is not None]
    if not pairs:
        return

    def line(name: str, depth_of: Callable[[DemoFrame], np.ndarray]) -> str:
        values = [
            (
                abs_relative_difference(depth_of(frame), frame.ground_truth),
                delta1_acc(depth_of(frame), frame.ground_truth),
            )
            for frame in pairs
        ]
        error, within = np.mean(values, axis=0)
        return f"{name}: mean relative error {error:.3f}, within 25 % {within:.3f}"

    print("against the exact depth of the synthetic scenes:")
    print("  " + line("metric model alone", lambda frame: frame.metric_depth))
    print("  " + line("SharpDepth", lambda frame: frame.depth))


def _write_picture(frame: DemoFrame, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "frame.png"
    maps = {"metric model alone": frame.metric_depth, "SharpDepth": frame.depth}
    if frame.ground_truth is not None:
        maps["exact"] = frame.ground_truth
    shown = list(maps.values())[-1]
    near, far = near_far(shown[np.isfinite(shown)])
    panels = [frame.rgb, *(colorize_depth(depth, near, far) for depth in maps.values())]
    write_rgb(picture, np.concatenate(panels, axis=1))
    write_depth_png(output / "depth.png", frame.depth)
    print(
        f"wrote {picture} (image, {', '.join(maps)}) and {output / 'depth.png'} (millimetres of "
        "SharpDepth)"
    )
