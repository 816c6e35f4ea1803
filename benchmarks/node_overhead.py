# SPDX-License-Identifier: Apache-2.0
"""What the node does per frame besides the networks, per stage, on one core.

    python benchmarks/node_overhead.py
    python benchmarks/node_overhead.py --subscribe  # publish to another process
    python benchmarks/node_overhead.py --sensor-msgs-py FOLDER  # where no ROS is installed

Times are medians in milliseconds: what passed, and what the thread had of the core, which is what
counts on a busy machine. Stages marked * belong to options that are off by default, and are not in
the total.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import rclpy
import torch
from machine import describe
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from sharpdepth_ros.geometry.calibration import Calibration
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.edge_filter import flying_points
from sharpdepth_ros.geometry.lens import Distortion
from sharpdepth_ros.geometry.rectification import Rectifier
from sharpdepth_ros.geometry.validity import only_valid
from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.io.depth_files import to_millimetres
from sharpdepth_ros.messages.camera_info import calibration_from_info, depth_camera_info
from sharpdepth_ros.messages.images import ImageWriter, image_to_rgb
from sharpdepth_ros.messages.point_cloud import PointCloudWriter
from sharpdepth_ros.synthetic import SyntheticCamera

TOPICS = {"depth": Image, "camera_info": CameraInfo, "points": PointCloud2}
QOS = QoSProfile(depth=1)


def milliseconds(function: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Medians of a call's time and of the thread's time on the core, after two warm-up calls."""
    times = []
    for _ in range(repeats + 2):
        begun, on_core = time.perf_counter(), time.thread_time()
        function()
        times.append((time.perf_counter() - begun, time.thread_time() - on_core))
    wall, core = zip(*times[2:], strict=True)
    return statistics.median(wall) * 1e3, statistics.median(core) * 1e3


def stages(width: int, height: int, node: Node) -> list[tuple[str, Callable[[], object], bool]]:
    """(name, what to time, whether the default settings do it), in the order of a frame."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    depth = rng.uniform(1, 9, (height, width)).astype(np.float32)
    depth[::50] = np.nan
    confidence = rng.uniform(0, 1, (height, width)).astype(np.float32)
    camera = CameraModel(width, height, 900.0, 900.0, width / 2, height / 2)
    header = Header(frame_id="camera")
    matrix = camera.matrix
    info = CameraInfo(header=header, width=width, height=height, k=matrix.ravel())
    info.p = np.hstack((matrix, np.zeros((3, 1)))).ravel()
    lens = Distortion("plumb_bob", (-0.3, 0.1, 0.0, 0.0, 0.0))
    rectify = Rectifier(Calibration(camera, lens, tuple(np.eye(3).ravel()), camera, True))
    messages = {code: ImageWriter(Image)(rgb, "rgb8", header) for code in ("rgb8", "bgr8")}
    messages["bgr8"].encoding = "bgr8"
    write_depth, write_preview = ImageWriter(Image), ImageWriter(Image)
    write_points, write_confident = (
        PointCloudWriter(PointCloud2, PointField),
        PointCloudWriter(PointCloud2, PointField),
    )
    tensor = torch.from_numpy(depth)
    serialized = serialize_message(messages["rgb8"])
    publishers = {name: node.create_publisher(kind, name, QOS) for name, kind in TOPICS.items()}
    outgoing = {
        "depth": write_depth(depth, "32FC1", header),
        "camera_info": depth_camera_info(camera, header, info, CameraInfo),
        "points": write_points(depth, camera, header, rgb),
    }

    discrepancy = 1 - torch.from_numpy(confidence)
    edges = torch.from_numpy(_scene(width, height))

    return [
        ("deserialise the image message", lambda: deserialize_message(serialized, Image), True),
        ("image message to array, rgb8", lambda: image_to_rgb(messages["rgb8"]), True),
        ("image message to array, bgr8", lambda: image_to_rgb(messages["bgr8"]), False),
        ("camera_info to calibration, when it changes", lambda: calibration_from_info(info), False),
        ("rectify", lambda: rectify(rgb), False),
        ("array to torch", lambda: torch.from_numpy(rgb), True),
        ("valid range, to host", lambda: only_valid(tensor, camera, 0.0, 100.0).cpu(), True),
        (
            "valid range with min_confidence",
            lambda: only_valid(tensor, camera, 0.0, 100.0, discrepancy, 0.7),
            False,
        ),
        *(
            (
                f"edge_filter {angle:.0f} degrees ({share:.1%} flying)",
                lambda angle=angle: flying_points(edges, camera, angle),
                False,
            )
            for angle in (1.0, 2.0, 3.0)
            for share in [flying_points(edges, camera, angle).float().mean().item()]
        ),
        ("depth/camera_info", lambda: depth_camera_info(camera, header, info, CameraInfo), True),
        ("depth to Image 32FC1", lambda: write_depth(depth, "32FC1", header), True),
        (
            "depth to Image 16UC1",
            lambda: write_preview(to_millimetres(depth), "16UC1", header),
            False,
        ),
        ("points xyzrgb", lambda: write_points(depth, camera, header, rgb), True),
        (
            "points xyzrgb + confidence",
            lambda: write_confident(depth, camera, header, rgb, confidence),
            False,
        ),
        (
            "depth/preview",
            lambda: write_preview(colorize_depth(depth), "rgb8", header),
            False,
        ),
        *(
            (f"publish {name}", lambda name=name: publishers[name].publish(outgoing[name]), True)
            for name in TOPICS
        ),
    ]


def _scene(width: int, height: int) -> np.ndarray:
    """Depth as a network gives it: a rendered room, its edges smeared over some pixels."""
    frame = next(SyntheticCamera(width, height, seed=3).frames())
    depth = np.nan_to_num(frame.depth, nan=50.0, posinf=50.0).astype(np.float32)
    return cv2.GaussianBlur(depth, (0, 0), 1.0)


def create_cloud(
    path: Path, width: int, height: int, repeats: int
) -> dict[str, tuple[float, float]]:
    """The same cloud with sensor_msgs_py: depth and colour into a structured array, create_cloud.

    Returns:
        Milliseconds passed and on the core, of all of it and of create_cloud alone, which is given
        an array that is filled already. Empty if sensor_msgs_py is not there.
    """
    sys.path.insert(0, str(path))
    try:
        from sensor_msgs_py.point_cloud2 import create_cloud as create
    except ImportError as error:
        print(f"create_cloud is left out: {error} (give its folder with --sensor-msgs-py)")
        return {}
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 9, (height, width)).astype(np.float32)
    rgb = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    points = np.zeros((height, width), [("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "u4")])
    x, y = CameraModel(width, height, 900.0, 900.0, width / 2, height / 2).ray_slopes()
    fields = [
        PointField(name=name, offset=4 * i, datatype=datatype, count=1)
        for i, (name, datatype) in enumerate(
            {
                "x": PointField.FLOAT32,
                "y": PointField.FLOAT32,
                "z": PointField.FLOAT32,
                "rgb": PointField.UINT32,
            }.items()
        )
    ]

    def build() -> PointCloud2:
        np.multiply(depth, x, out=points["x"])
        np.multiply(depth, y[:, None], out=points["y"])
        points["z"] = depth
        r, g, b = (rgb[..., i].astype(np.uint32) for i in range(3))
        points["rgb"] = (r << 16) | (g << 8) | b
        return create(Header(), fields, points)

    return {
        "filling a structured array and create_cloud": milliseconds(build, repeats),
        "create_cloud alone": milliseconds(lambda: create(Header(), fields, points), repeats),
    }


def subscribe() -> None:
    """The other process of --subscribe."""
    rclpy.init()
    node = rclpy.create_node("node_overhead_subscriber")
    for name, kind in TOPICS.items():
        node.create_subscription(kind, name, lambda _: None, QOS)
    with contextlib.suppress(ExternalShutdownException):
        rclpy.spin(node)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--subscribe", action="store_true", help="publish to another process")
    parser.add_argument("--sensor-msgs-py", type=Path, default=Path("."), metavar="PATH")
    parser.add_argument("--be-subscriber", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_subscriber:
        subscribe()
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rclpy.init()
    node = rclpy.create_node("node_overhead")
    rows = stages(options.width, options.height, node)
    other = None
    if options.subscribe:
        other = subprocess.Popen([sys.executable, __file__, "--be-subscriber"])
        os.sched_setaffinity(other.pid, set(range(os.cpu_count())))
        while not all(node.count_subscribers(name) for name in TOPICS):
            time.sleep(0.05)
    try:
        print(
            f"{options.width}x{options.height}, median of {options.repeats}; {describe()}; OpenCV "
            f"{cv2.__version__}; RMW {rclpy.get_rmw_implementation_identifier()}"
        )
        listener = "one subscriber in another process" if other else "nobody subscribed"
        print(
            f"publishing with {listener}\n\n| stage | passed | on the core |\n| --- | ---: | ---: |"
        )
        total = np.zeros(2)
        for name, function, by_default in rows:
            took = np.array(milliseconds(function, options.repeats))
            total += took * by_default
            print(f"| {name}{'' if by_default else ' *'} | {took[0]:.2f} | {took[1]:.2f} |")
            if name == "points xyzrgb":
                cloud = took
        print(f"| **total** | **{total[0]:.2f}** | **{total[1]:.2f}** |\n")
        print("the same cloud by sensor_msgs_py:")
        peers = create_cloud(options.sensor_msgs_py, options.width, options.height, options.repeats)
        for name, (passed, on_core) in peers.items():
            print(
                f"- {name}: {passed:.2f} ms passed, {on_core:.2f} on the core; the node's takes "
                f"{on_core / cloud[1]:.1f} times less of it"
            )
    finally:
        if other is not None:
            other.terminate()
            other.wait()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
