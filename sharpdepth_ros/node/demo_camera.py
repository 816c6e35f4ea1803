# SPDX-License-Identifier: Apache-2.0
"""A camera without hardware: publishes synthetic scenes or a folder of images, like a driver."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from sharpdepth_ros.export.depth_files import read_rgb
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.node.camera_info import depth_camera_info
from sharpdepth_ros.node.images import ImageWriter
from sharpdepth_ros.recordings.images import find_images
from sharpdepth_ros.recordings.intrinsics_files import read_intrinsics
from sharpdepth_ros.synthetic import SyntheticCamera

UNKNOWN_CAMERA_FOV = 60.0
"""Degrees across an image of a folder for which no intrinsics are given."""


class DemoCamera(Node):
    """Publishes `image` (rgb8) and `camera_info` with equal stamps at a steady rate.

    Parameters: `width` and `height` in pixels and `seed` of the synthetic camera; `images`, a
    folder to publish in a loop instead; `intrinsics` of that folder ("fx,fy,cx,cy" or a file);
    `rate` in frames per second; `frame_id`.
    """

    def __init__(self) -> None:
        super().__init__("camera")

        def parameter(name: str, default):
            return self.declare_parameter(name, default).value

        size = parameter("width", 320), parameter("height", 240)
        folder, intrinsics = parameter("images", ""), parameter("intrinsics", "")
        rate, seed = parameter("rate", 10.0), parameter("seed", 0)
        self._frame_id = parameter("frame_id", "camera_optical_frame")
        if rate <= 0:
            raise ValueError(f"rate is {rate}; give frames per second above 0")
        if folder:
            self._frames = folder_frames(Path(folder), intrinsics)
        else:
            self._frames = synthetic_frames(*size, seed, rate)
        self._write_image = ImageWriter(Image)
        self._images = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.create_timer(1.0 / rate, self._publish)

    def _publish(self) -> None:
        rgb, camera = next(self._frames)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        self._infos.publish(depth_camera_info(camera, header, CameraInfo(), CameraInfo))
        self._images.publish(self._write_image(rgb, "rgb8", header))


def synthetic_frames(
    width: int, height: int, seed: int, rate: float
) -> Iterator[tuple[np.ndarray, CameraModel]]:
    """Endless uint8 [H, W, 3] images of procedural scenes, with their camera."""
    source = SyntheticCamera(width, height, seed=seed, fps=rate)
    return ((frame.rgb, source.camera) for frame in source.frames())


def folder_frames(folder: Path, intrinsics: str) -> Iterator[tuple[np.ndarray, CameraModel]]:
    """The images of a folder over and over, with their camera.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no image, or one that cannot be read.
    """
    given = read_intrinsics(intrinsics) if intrinsics else None

    def with_camera(rgb: np.ndarray) -> tuple[np.ndarray, CameraModel]:
        height, width = rgb.shape[:2]
        if given is None:
            return rgb, CameraModel.from_fov(width, height, UNKNOWN_CAMERA_FOV)
        return rgb, CameraModel.from_matrix(given, width, height)

    images = [read_rgb(job.source) for job in find_images([folder], folder / "output")]
    return itertools.cycle([with_camera(rgb) for rgb in images])


def main() -> int:
    """Entry point of the executable `sharpdepth_camera`; its exit status."""
    rclpy.init()
    try:
        rclpy.spin(DemoCamera())
    except (ValueError, FileNotFoundError) as error:
        print(f"sharpdepth_camera: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
