# SPDX-License-Identifier: Apache-2.0
"""A run that is in a ROS 2 bag with depth; read without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sharpdepth_ros.viewing.assembly import Assembler, DepthArrival, frame_of_parts
from sharpdepth_ros.viewing.frames import Run, ViewFrame
from sharpdepth_ros.viewing.messages import (
    camera_of,
    cloud_of,
    depth_of,
    node_problem,
    stage_times,
    stamp_of,
)

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"
DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"

#: What a frame may have -> (topic of the node's contract, type)
CONTRACT = {
    "depth": ("depth/image_rect", IMAGE_TYPE),
    "points": ("points", CLOUD_TYPE),
    "discrepancy": ("depth/discrepancy", IMAGE_TYPE),
    "metric": ("depth/metric", IMAGE_TYPE),
}
INFO_TOPICS = ("depth/camera_info", "camera_info")

MOST_PROBLEMS = 20
"""Problems of single messages that are told one by one; the rest is counted."""


@dataclass(frozen=True)
class Topics:
    """Topics of a bag: what of a frame is on which.

    Attributes:
        parts: kind of `CONTRACT`, or "image" -> topic.
        info: topic of the camera, None if there is none.
        diagnostics: topic, None if there is none.
    """

    parts: dict[str, str]
    info: str | None
    diagnostics: str | None


def is_bag(path: Path) -> bool:
    """Whether the path is a ROS 2 bag: its folder, or a single .mcap or .db3 file."""
    return (path / "metadata.yaml").is_file() or path.suffix in (".mcap", ".db3")


def run_of_bag(path: Path, namespace: str | None = None, image: str | None = None) -> Run:
    """The frames of a bag with depth.

    Args:
        path: the bag's folder, or a .mcap or .db3 file.
        namespace: of the node, where the bag has the depth of several cameras.
        image: topic of the camera's images, where it is not `image` beside the depth.

    Raises:
        ValueError: no bag, or one without depth; the message has the topics that it has.
    """
    reader = _open(path)
    try:
        types = {c.topic: c.msgtype for c in reader.connections}
        topics = find_topics(types, path, namespace, image)
    except ValueError:
        reader.close()
        raise
    problems = _Problems()
    settings = {"source": str(path)}
    settings |= {f"topic of {kind}": topic for kind, topic in topics.parts.items()}
    frames = _frames(reader, topics, problems)
    return Run(path.resolve().name, frames, settings, problems.told, problems.remarks)


def find_topics(
    types: Mapping[str, str], path: Path, namespace: str | None = None, image: str | None = None
) -> Topics:
    """The topics of the node's contract among those of a bag.

    Args:
        types: topic -> type, of all that the bag has.
        path: of the bag, for messages.
        namespace: see `run_of_bag`.
        image: see `run_of_bag`.

    Raises:
        ValueError: there is no depth, or there are several and no namespace was given, or no such
            image topic.
    """
    depth_topic, depth_type = CONTRACT["depth"]
    listed = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(types.items())) or "none"
    prefixes = sorted(
        topic.removesuffix(depth_topic)
        for topic, kind in types.items()
        if kind == depth_type and f"/{topic}".endswith(f"/{depth_topic}")
    )
    if namespace is not None:
        wanted = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
        prefixes = [prefix for prefix in prefixes if prefix == wanted]
    if not prefixes:
        where = "" if namespace is None else f" in namespace {namespace!r}"
        raise ValueError(
            f"{path} has no depth: no topic {depth_topic} ({depth_type}){where}. It has {listed}. "
            "Add depth to a recording of images with `sharpdepth bag`"
        )
    if len(prefixes) > 1:
        raise ValueError(
            f"{path} has the depth of several cameras ({', '.join(prefixes)}): choose one with "
            "--namespace"
        )
    prefix = prefixes[0]
    parts = {
        kind: prefix + topic
        for kind, (topic, wanted) in CONTRACT.items()
        if types.get(prefix + topic) == wanted
    }
    found = _image_topic(types, prefix, image, path, listed)
    if found is not None:
        parts["image"] = found
    infos = [prefix + topic for topic in INFO_TOPICS]
    if found is not None:
        infos.append(found.rpartition("/")[0].removesuffix("/image_raw") + "/camera_info")
    info = next((topic for topic in infos if types.get(topic) == INFO_TYPE), None)
    diagnostics = next((t for t, kind in types.items() if kind == DIAGNOSTICS_TYPE), None)
    return Topics(parts, info, diagnostics)


def _image_topic(
    types: Mapping[str, str], prefix: str, given: str | None, path: Path, listed: str
) -> str | None:
    pictures = (IMAGE_TYPE, COMPRESSED_TYPE)
    if given is not None:
        if types.get(given) not in pictures:
            raise ValueError(f"{path} has no images on {given}. It has {listed}")
        return given
    for topic in (f"{prefix}image", f"{prefix}image/compressed"):
        if types.get(topic) in pictures:
            return topic
    # Remapped, as to /camera/image_raw: unmistakable where there is one.
    ours = f"{prefix}depth/"
    others = [t for t, kind in types.items() if kind in pictures and not t.startswith(ours)]
    return others[0] if len(others) == 1 else None


def _open(path: Path) -> Any:
    try:
        from rosbags.highlevel import AnyReader, AnyReaderError
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ValueError(
            f"reading a bag needs rosbags ({error}): pip install 'sharpdepth_ros[view]'"
        ) from error
    try:
        # Bags of sqlite3 from before Iron have no definitions of their own.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except (AnyReaderError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read as a ROS 2 bag: {error}. If its recording was broken off, "
            "`mcap recover` or `ros2 bag reindex` mends it"
        ) from error
    return reader


class _Problems:
    """Collects problems of messages, the first of them one by one, and what else is to say."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.remarks: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        if len(self.told) < MOST_PROBLEMS:
            self.told.append(text)
        else:
            self._more += 1

    def remark(self, text: str | None) -> None:
        """Once, however often it is given; None is nothing to remark."""
        if text is not None and text not in self.remarks:
            self.remarks.append(text)

    def finish(self, assembler: Assembler, found: int) -> None:
        if self._more:
            self.told.append(f"{self._more} more messages could not be read")
        if not found:
            self.told.append("the bag has no depth image that can be read")
        if assembler.left_out:
            self.remark(f"{assembler.left_out} stamps have messages, but no depth")
        if assembler.incomplete:
            self.remark(f"{assembler.incomplete} of {found} frames lack a message that others have")


def _frames(reader: Any, topics: Topics, problems: _Problems) -> Iterator[ViewFrame]:
    """Frames in the order in which they become complete."""
    import apsw  # reads sqlite3 bags for rosbags
    from rosbags.highlevel import AnyReaderError
    from rosbags.rosbag2 import ReaderError

    assembler = Assembler(topics.parts, needed="depth")
    kinds = {topic: kind for kind, topic in topics.parts.items()}
    wanted = {*kinds, topics.info, topics.diagnostics}
    camera, timings, found = None, {}, 0
    try:
        with closing(reader):
            connections = [c for c in reader.connections if c.topic in wanted]
            for connection, received, data in reader.messages(connections):
                try:
                    message = reader.deserialize(data, connection.msgtype)
                    if connection.topic == topics.info:
                        camera = camera_of(message)
                        continue
                    if connection.topic == topics.diagnostics:
                        timings = stage_times(message) or timings
                        problems.remark(node_problem(message))
                        continue
                    kind, stamp = kinds[connection.topic], stamp_of(message)
                    value = _READERS[kind](message, camera)
                except (ValueError, KeyError, AnyReaderError) as error:
                    problems.add(f"{connection.topic} at {received} ns: {error}")
                    continue
                if kind == "depth":
                    # In a bag that was made from another, the time of recording says nothing.
                    latency = None if topics.diagnostics is None else (received - stamp) * 1e-6
                    value = DepthArrival(value, camera, timings, latency)
                for ready in assembler.add(kind, stamp, value):
                    found += 1
                    yield frame_of_parts(*ready)
    except (ReaderError, AnyReaderError, OSError, apsw.Error) as error:
        problems.add(f"the bag ends early, after {found} frames: {error}")
    for ready in assembler.rest():
        found += 1
        yield frame_of_parts(*ready)
    problems.finish(assembler, found)


def _rgb_of(message: Any, _camera: Any) -> np.ndarray:
    """An Image or CompressedImage as uint8 [H, W, 3] RGB."""
    try:
        from rosbags.image import ImageError, message_to_cvimage
    except ImportError as error:
        raise ValueError(
            f"images in a bag need rosbags-image ({error}): pip install 'sharpdepth_ros[view]'"
        ) from error
    try:
        return np.ascontiguousarray(message_to_cvimage(message, "rgb8"))
    except ImageError as error:
        raise ValueError(str(error)) from error


_READERS: dict[str, Callable[[Any, Any], Any]] = {
    "image": _rgb_of,
    "depth": lambda message, _: depth_of(message),
    "points": cloud_of,
    "discrepancy": lambda message, _: depth_of(message),
    "metric": lambda message, _: depth_of(message),
}
