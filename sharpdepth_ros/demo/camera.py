# SPDX-License-Identifier: Apache-2.0
"""A camera without hardware: publishes synthetic scenes or a folder of images, like a driver."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sharpdepth_ros.geometry.calibration import Calibration
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.depth_files import read_rgb
from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.messages.camera_info import raw_camera_info
from sharpdepth_ros.messages.images import ImageWriter
from sharpdepth_ros.messages.topics import CAMERA_INFO, GROUND_TRUTH, IMAGE
from sharpdepth_ros.node.parameter_server import value_at_start
from sharpdepth_ros.node.ros_context import first_node, join_ros
from sharpdepth_ros.node.shutdown import EndRequest, spin
from sharpdepth_ros.processing.parameters import TYPE_NAMES
from sharpdepth_ros.recordings.images import Once, find_images
from sharpdepth_ros.recordings.run_problems import BAD_INPUT
from sharpdepth_ros.synthetic import SyntheticCamera

_DEADLINE = 1.8
"""Seconds after a signal in which the process is over."""

UNKNOWN_CAMERA_FOV = 60.0
"""Degrees across an image of a folder for which no intrinsics are given."""

Captured = tuple[np.ndarray, Calibration, np.ndarray | None]
"""uint8 [H, W, 3], its camera, and float32 [H, W] metres (inf is sky) where they are known."""


class DemoCamera(Node):
    """Publishes `image` (rgb8) and `camera_info` with equal stamps at a steady rate.

    As many drivers, it works only while somebody subscribes to one of them, and then goes on where
    it stopped. The synthetic camera knows the depth: `depth/ground_truth` (32FC1 metres, NaN is
    sky) is published while somebody listens.

    Parameters: `width` and `height` in pixels, `seed` and `scene` (room, corridor, street, shapes
    or random) of the synthetic camera; `images`, a folder to publish in a loop instead;
    `intrinsics` of that folder ("fx,fy,cx,cy" or a file); `rate` in frames per second; `frame_id`.
    """

    def __init__(self) -> None:
        super().__init__("camera")

        def parameter(name: str, default: Any) -> Any:
            value = value_at_start(self, name, default)
            if type(value) is not type(default):
                kind = TYPE_NAMES[type(default).__name__]
                raise ValueError(f"{name} is of type {kind}, got {value!r}")
            return self.declare_parameter(name, value, ignore_override=True).value

        size = parameter("width", 320), parameter("height", 240)
        folder, intrinsics = parameter("images", ""), parameter("intrinsics", "")
        rate, seed = parameter("rate", 10.0), parameter("seed", 0)
        # The demo models were trained in rooms.
        scene = parameter("scene", "room")
        self._frame_id = parameter("frame_id", "camera_optical_frame")
        if rate <= 0:
            raise ValueError(f"rate is {rate}; give frames per second above 0")
        if folder:
            tell = Once(self.get_logger().info)
            self._frames = folder_frames(Path(folder), intrinsics, tell)
        else:
            self._frames = synthetic_frames(*size, seed, rate, scene)
        self._write_image, self._write_depth = ImageWriter(Image), ImageWriter(Image)
        # Reliable serves every subscriber; depth_image_proc's xyzrgb asks for it.
        qos = QoSProfile(depth=5)
        self._images = self.create_publisher(Image, IMAGE, qos)
        self._infos = self.create_publisher(CameraInfo, CAMERA_INFO, qos)
        self._depths = self.create_publisher(Image, GROUND_TRUTH, qos)
        self.create_timer(1.0 / rate, self._publish)

    def _publish(self) -> None:
        if not any(p.get_subscription_count() for p in (self._images, self._infos)):
            return
        rgb, camera, depth = next(self._frames)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        self._infos.publish(raw_camera_info(camera, header, CameraInfo))
        self._images.publish(self._write_image(rgb, "rgb8", header))
        if depth is not None and self._depths.get_subscription_count():
            metres = np.where(np.isfinite(depth), depth, np.float32(np.nan))
            self._depths.publish(self._write_depth(metres, "32FC1", header))


def synthetic_frames(
    width: int, height: int, seed: int, rate: float, scene: str
) -> Iterator[Captured]:
    """Endless images of procedural scenes, with camera and depth."""
    source = SyntheticCamera(width, height, seed=seed, fps=rate, kind=scene)
    camera = Calibration.pinhole(source.camera)
    return ((frame.rgb, camera, frame.depth) for frame in source.frames())


def folder_frames(
    folder: Path, intrinsics: str, tell: Callable[[str], object]
) -> Iterator[Captured]:
    """The images of a folder over and over, with their camera.

    Args:
        folder: of the images.
        intrinsics: of their camera, as `read_intrinsics` takes them; empty where it is not known.
        tell: called with what the user should know of how they are used, and of broken images.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image that can be read, or the intrinsics are those of images of
            another shape.
    """
    given = read_intrinsics(intrinsics) if intrinsics else None

    def with_camera(rgb: np.ndarray) -> Captured:
        height, width = rgb.shape[:2]
        if given is not None:
            for remark in given.remarks(width, height, rectified=False):
                tell(remark)
            return rgb, given.calibration(width, height), None
        camera = CameraModel.from_fov(width, height, UNKNOWN_CAMERA_FOV)
        return rgb, Calibration.pinhole(camera), None

    # Intrinsics are of the sensor's rows and columns; other photos are turned upright.
    jobs = find_images([folder], folder / "output").jobs
    images = []
    for job in jobs:
        try:
            images.append(read_rgb(job.source, upright=given is None))
        except BAD_INPUT as error:
            tell(f"{job.source} is left out: {error}")
    if not images:
        raise ValueError(f"{folder} holds no image that can be read")
    return itertools.cycle([with_camera(rgb) for rgb in images])


def main() -> int:
    """Entry point of the executable `sharpdepth_camera`; its exit status."""
    end = EndRequest(_DEADLINE)
    try:
        join_ros()
        with first_node():
            camera = DemoCamera()
        spin(camera, end)
    except (ValueError, FileNotFoundError) as error:
        print(f"sharpdepth_camera: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.get_default_context().try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
