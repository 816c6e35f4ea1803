# SPDX-License-Identifier: Apache-2.0
"""The demo: a camera and the node as real processes, their latency, and a picture to look at."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2

from sharpdepth_ros.export.colormap import colorize_depth
from sharpdepth_ros.export.depth_files import write_depth_png, write_rgb
from sharpdepth_ros.node.cloud_reading import read_points
from sharpdepth_ros.node.images import image_to_rgb
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
        points: valid points of the cloud.
    """

    depth_latency: float
    cloud_latency: float
    completed: float
    rgb: np.ndarray
    depth: np.ndarray
    points: int


def run_demo(
    frames: int,
    output: Path,
    images: Path | None,
    size: tuple[int, int],
    rate: float,
    timeout: float,
) -> int:
    """Run the demo; the exit status.

    Args:
        frames: depth images to wait for.
        output: folder for the picture and the last depth image.
        images: folder to publish instead of synthetic scenes.
        size: (width, height) of the synthetic camera in pixels.
        rate: of the camera, frames per second.
        timeout: seconds for all of it.
    """
    if frames < 1:
        raise ValueError(f"--frames is {frames}; give 1 or more")
    print(DEMO_NOTICE, flush=True)
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.choice(DEMO_DOMAINS)))
    source = {"width": size[0], "height": size[1]}
    if images is not None:
        source = {"images": str(images.resolve())}
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        camera = stack.enter_context(_process("demo_camera", rate=float(rate), **source))
        node = stack.enter_context(_process("main", processing_resolution=max(size)))
        try:
            seen = _watch(frames, deadline, [camera, node])
        except ChildEnded as error:
            print(f"sharpdepth: {error}", file=sys.stderr)
            return 1
    if len(seen) < frames:
        print(f"{len(seen)} of {frames} frames came within {timeout:.0f} s", file=sys.stderr)
        return 1
    _report(seen)
    _write_picture(seen[-1], output)
    return 0


class _Viewer(Node):
    """Subscribes to what a user subscribes to and keeps the times."""

    def __init__(self) -> None:
        super().__init__("sharpdepth_demo")
        self.frames: list[DemoFrame] = []
        # By stamp: the image, the depth image and the cloud of a frame, the last two with latency.
        self._images: OrderedDict[int, Image] = OrderedDict()
        self._depths: OrderedDict[int, tuple[float, Image]] = OrderedDict()
        self._clouds: OrderedDict[int, tuple[float, PointCloud2]] = OrderedDict()
        newest = QoSProfile(depth=5)
        self.create_subscription(Image, "image", self._on_image, qos_profile_sensor_data)
        self.create_subscription(PointCloud2, "points", self._on_cloud, newest)
        self.create_subscription(Image, "depth/image_rect", self._on_depth, newest)

    def _on_image(self, message: Image) -> None:
        _remember(self._images, _stamp(message), message)

    def _on_cloud(self, message: PointCloud2) -> None:
        _remember(self._clouds, _stamp(message), (self._latency(message), message))
        self._complete(_stamp(message))

    def _on_depth(self, message: Image) -> None:
        _remember(self._depths, _stamp(message), (self._latency(message), message))
        self._complete(_stamp(message))

    def _latency(self, message: Image | PointCloud2) -> float:
        return (self.get_clock().now().nanoseconds - _stamp(message)) * 1e-6

    def _complete(self, stamp: int) -> None:
        """Take the frame up if all of it has come; a frame from before this viewer never will."""
        if not all(stamp in kept for kept in (self._images, self._depths, self._clouds)):
            return
        (depth_latency, depth), (cloud_latency, cloud) = self._depths[stamp], self._clouds[stamp]
        metres = np.frombuffer(depth.data, np.float32).reshape(depth.height, depth.width)
        frame = DemoFrame(
            depth_latency,
            cloud_latency,
            time.monotonic(),
            image_to_rgb(self._images[stamp]),
            metres,
            len(read_points(cloud, ["x", "y", "z"], skip_nans=True)),
        )
        self.frames.append(frame)
        print(
            f"frame {len(self.frames):4d}  depth after {depth_latency:7.1f} ms  "
            f"cloud after {cloud_latency:7.1f} ms  {frame.points} points",
            flush=True,
        )


def _stamp(message: Image | PointCloud2) -> int:
    """The header's stamp in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _remember(kept: OrderedDict, stamp: int, value: object) -> None:
    kept[stamp] = value
    while len(kept) > KEPT_MESSAGES:
        kept.popitem(last=False)


def _watch(frames: int, deadline: float, processes: list[_Child]) -> list[DemoFrame]:
    """Spin until the frames are there, the time is over, or a process has ended."""
    rclpy.init()
    try:
        viewer = _Viewer()
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

    def __init__(self, module: str, parameters: dict) -> None:
        arguments = [a for name, v in parameters.items() for a in ("-p", f"{name}:={v}")]
        command = [sys.executable, "-m", f"sharpdepth_ros.node.{module}", "--ros-args", *arguments]
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
def _process(module: str, **parameters):
    child = _Child(module, parameters)
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


def _write_picture(frame: DemoFrame, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    picture = output / "frame.png"
    write_rgb(picture, np.concatenate([frame.rgb, colorize_depth(frame.depth)], axis=1))
    write_depth_png(output / "depth.png", frame.depth)
    print(f"wrote {picture} (image beside its depth) and {output / 'depth.png'} (millimetres)")
