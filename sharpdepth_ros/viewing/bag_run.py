# SPDX-License-Identifier: Apache-2.0
"""A run that is in a ROS 2 bag with depth; read without ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpdepth_ros.io.intensity_range import IntensityRange
from sharpdepth_ros.messages.images import message_to_rgb
from sharpdepth_ros.messages.time_synchronizers import stamp_of
from sharpdepth_ros.messages.topics import (
    CAMERA_INFO,
    DEPTH,
    DEPTH_CAMERA_INFO,
    DISCREPANCY,
    IMAGE,
    METRIC,
    POINTS,
)
from sharpdepth_ros.recordings.run_problems import BAD_INPUT, Problems
from sharpdepth_ros.viewing.assembly import Assembler, DepthArrival, frame_of_parts
from sharpdepth_ros.viewing.frames import Run, ViewFrame
from sharpdepth_ros.viewing.messages import (
    camera_of,
    cloud_of,
    depth_of,
    node_problem,
    stage_times,
)

if TYPE_CHECKING:
    from sharpdepth_ros.recordings.bags.reading import Bag

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"
DIAGNOSTICS_TYPE = "diagnostic_msgs/msg/DiagnosticArray"

#: What a frame may have -> (topic of the node, type)
PARTS = {
    "depth": (DEPTH, IMAGE_TYPE),
    "points": (POINTS, CLOUD_TYPE),
    "discrepancy": (DISCREPANCY, IMAGE_TYPE),
    "metric": (METRIC, IMAGE_TYPE),
}

SUFFIXES = (".mcap", ".db3")


@dataclass(frozen=True)
class Topics:
    """Topics of a bag: what of a frame is on which.

    Attributes:
        parts: kind of `PARTS`, or "image" -> topic.
        info: topic of the camera, None if there is none.
        diagnostics: topic, None if there is none.
    """

    parts: dict[str, str]
    info: str | None
    diagnostics: str | None


def is_bag(path: Path) -> bool:
    """Whether the path is a ROS 2 bag: its folder, or a single .mcap or .db3 file."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(
            f.suffix in SUFFIXES for f in path.iterdir()
        )
    return path.suffix in SUFFIXES


def run_of_bag(path: Path, namespace: str | None = None, image: str | None = None) -> Run:
    """The frames of a bag with depth.

    Args:
        path: the bag's folder, or a .mcap or .db3 file.
        namespace: of the node, where the bag has the depth of several cameras.
        image: topic of the camera's images, where it is not `image` beside the depth.

    Raises:
        ValueError: no bag, or one without depth; the message has the topics that it has.
    """
    bag = _open(path)
    try:
        topics = find_topics({t.name: t.type for t in bag.topics}, path, namespace, image)
    except ValueError:
        bag.close()
        raise
    settings = {"source": str(path)}
    settings |= {f"topic of {kind}": topic for kind, topic in topics.parts.items()}
    run = Run(path.resolve().name, [], settings)
    run.frames = _frames(bag, topics, run)
    return run


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
    depth_topic, depth_type = PARTS["depth"]
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
        for kind, (topic, wanted) in PARTS.items()
        if types.get(prefix + topic) == wanted
    }
    found = _image_topic(types, prefix, image, path, listed)
    if found is not None:
        parts["image"] = found
    infos = [prefix + topic for topic in (DEPTH_CAMERA_INFO, CAMERA_INFO)]
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
    for topic in (f"{prefix}{IMAGE}", f"{prefix}{IMAGE}/compressed"):
        if types.get(topic) in pictures:
            return topic
    # Remapped, as to /camera/image_raw: unmistakable where there is one.
    ours = f"{prefix}depth/"
    others = [t for t, kind in types.items() if kind in pictures and not t.startswith(ours)]
    return others[0] if len(others) == 1 else None


def _open(path: Path) -> Bag:
    try:
        from sharpdepth_ros.recordings.bags.reading import Bag
    except ImportError as error:
        raise ValueError(
            f"reading a bag needs rosbags ({error}): pip install 'sharpdepth_ros[recordings]'"
        ) from error
    return Bag(path)


def _frames(bag: Bag, topics: Topics, run: Run) -> Iterator[ViewFrame]:
    """Frames in the order in which they become complete; what is to say goes to the run."""
    problems, remarks = Problems(), Problems()
    assembler = Assembler(topics.parts, needed="depth")
    try:
        with closing(bag):
            for ready in _assembled(bag, topics, assembler, problems, remarks):
                yield frame_of_parts(*ready)
        if not assembler.found:
            problems.note("the bag has no depth image that can be read")
    finally:  # also when no more frames are wanted
        if assembler.left_out:
            remarks.note(f"{assembler.left_out} stamps have messages, but no depth")
        if assembler.incomplete:
            share = f"{assembler.incomplete} of {assembler.found} frames"
            remarks.note(f"{share} lack a message that others have")
        run.problems += bag.problems.lines() + problems.lines()
        run.remarks += remarks.lines()


def _assembled(
    bag: Bag, topics: Topics, assembler: Assembler, problems: Problems, remarks: Problems
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the assembler makes of the bag's messages."""
    from sharpdepth_ros.recordings.bags.rosbags_messages import read

    intensity = IntensityRange()
    readers = _READERS | {"image": lambda message, _: message_to_rgb(message, intensity)}
    kinds = {topic: kind for kind, topic in topics.parts.items()}
    wanted = [t for t in bag.topics if t.name in {*kinds, topics.info, topics.diagnostics}]
    camera, timings = None, {}
    for topic, received, data in bag.messages(wanted):
        try:
            message = read(data, topic.type)
            if topic.name == topics.info:
                camera = camera_of(message)
                continue
            if topic.name == topics.diagnostics:
                timings = stage_times(message) or timings
                if (problem := node_problem(message)) is not None:
                    remarks.note(problem)
                continue
            kind, stamp = kinds[topic.name], stamp_of(message)
            value = readers[kind](message, camera)
        except BAD_INPUT as error:
            problems.add(f"{topic.name} has messages that cannot be used", str(error))
            continue
        if kind == "depth":
            # In a bag that was made from another, the time of recording says nothing.
            latency = None if topics.diagnostics is None else (received - stamp) * 1e-6
            value = DepthArrival(value, camera, timings, latency)
        yield from assembler.add(kind, stamp, value)
    yield from assembler.rest()


_READERS: dict[str, Callable[[Any, Any], Any]] = {
    "depth": lambda message, _: depth_of(message),
    "points": cloud_of,
    "discrepancy": lambda message, _: depth_of(message),
    "metric": lambda message, _: depth_of(message),
}
