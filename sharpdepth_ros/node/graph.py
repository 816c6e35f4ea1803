# SPDX-License-Identifier: Apache-2.0
"""Why nothing arrives on a topic: what the graph has there instead, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from sharpdepth_ros.messages.topics import OUTPUTS
from sharpdepth_ros.processing.parameters import Parameters

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
#: Topics, and publishers, that a message lists.
_SHOWN = 6


@dataclass(frozen=True)
class Source:
    """What a subscription asks for: its topic, the type as ROS writes it, its QoS."""

    topic: str
    type: str
    qos: QoSProfile


def no_image(node: Node, source: Source, transport: str) -> str:
    """Why no image arrives, and what to do. `transport` is raw or compressed."""
    said = f"no image arrives on {source.topic}: "
    publishers = node.get_publishers_info_by_topic(source.topic)
    if any(p.topic_type == source.type for p in publishers):
        return said + _unheard(source, publishers)
    if publishers:
        return said + _other_type(source, publishers, transport)
    base = source.topic.removesuffix("/compressed")
    sibling, other = (f"{base}/compressed", "compressed") if transport == "raw" else (base, "raw")
    kinds = {p.topic_type for p in node.get_publishers_info_by_topic(sibling)}
    if (_COMPRESSED if other == "compressed" else _IMAGE) in kinds:
        return f"{said}nobody publishes it, but {sibling} has images: set image_transport:={other}"
    if _COMPRESSED in kinds:  # of a transport that looks for them below this name
        return f"{said}{_misplaced(sibling)}"
    kinds = [source.type, _COMPRESSED if source.type == _IMAGE else _IMAGE]
    return f"{said}nobody publishes it; {_elsewhere(node, source.topic, kinds, 'image')}"


def no_camera_info(
    node: Node, source: Source, parameters: Parameters, nearest: float | None
) -> str:
    """Why images have no camera_info, and what to do.

    Args:
        node: the node.
        source: the subscription to camera_info.
        parameters: sync and sync_slop are read.
        nearest: the smallest difference in seconds between the stamps of an image and a
            camera_info; None if no camera_info has come.
    """
    publishers = node.get_publishers_info_by_topic(source.topic)
    if nearest is not None:
        return _apart(source.topic, len(publishers), parameters, nearest)
    said = f"no camera_info on {source.topic}: "
    if any(p.topic_type == source.type for p in publishers):
        return said + _unheard(source, publishers)
    if publishers:
        return said + _other_type(source, publishers)
    where = _elsewhere(node, source.topic, [source.type], "camera_info")
    return f"{said}nobody publishes it; {where}"


def _apart(topic: str, publishers: int, parameters: Parameters, nearest: float) -> str:
    sync, slop = parameters.sync, parameters.sync_slop
    said = f"no camera_info on {topic} (publishers: {publishers}) fits: "
    if nearest <= (slop if sync == "approximate" else 0.0):
        return f"{said}it comes too many images later; sync:=latest takes the last one"
    allowed = f"sync is {sync}" + f" with sync_slop {slop:g} s" * (sync == "approximate")
    cure = f"sync:=approximate sync_slop:={nearest * 1.5:.2g} or " if nearest < 1.0 else ""
    return (
        f"{said}the nearest stamps of the two are {nearest:.6g} s apart, and {allowed}: set {cure}"
        "sync:=latest"
    )


def _unheard(source: Source, publishers: Sequence[TopicEndpointInfo]) -> str:
    """Of publishers of the right type."""
    fitting = [p for p in publishers if p.topic_type == source.type]
    reasons = []
    for publisher in fitting:
        compatible, reason = qos_check_compatible(publisher.qos_profile, source.qos)
        if compatible != QoSCompatibility.ERROR:
            return (
                f"{_named(fitting)} publishes it, and nothing has come: see ros2 topic hz "
                f"{source.topic}; large messages may need the Fast DDS profile (docs/deployment.md)"
            )
        reasons.append(reason)
    return (
        f"{_named(fitting)} publishes it with a QoS that the subscription does not take "
        f"({reasons[0].strip(' ;')}): change qos_overrides.{source.topic}.subscription or the "
        "publisher"
    )


def _other_type(
    source: Source, publishers: Sequence[TopicEndpointInfo], transport: str = ""
) -> str:
    found = sorted({p.topic_type for p in publishers})
    said = (
        f"{_named(publishers)} publishes {' and '.join(found)} there, and the node takes "
        f"{source.type}: "
    )
    if transport == "raw" and _COMPRESSED in found:
        fits = source.topic.endswith("/compressed")
        return said + ("set image_transport:=compressed" if fits else _misplaced(source.topic))
    if transport == "compressed" and _IMAGE in found:
        return f"{said}set image_transport:=raw"
    return f"{said}remap the topic to another"


def _misplaced(topic: str) -> str:
    return (
        f"{topic} has compressed images, which image_transport:=compressed looks for on names that "
        f"end in /compressed: publish them as {topic}/compressed"
    )


def _elsewhere(node: Node, topic: str, kinds: Sequence[str], name: str) -> str:
    """Where there are messages of these types, of others than the node."""
    own = {node.resolve_topic_name(output) for output in OUTPUTS}
    found = [
        other
        for other, types in node.get_topic_names_and_types()
        if other not in own and set(types) & set(kinds) and node.count_publishers(other)
    ]
    if not found:
        return f"no topic has {' or '.join(kinds)}: start the camera, or look at ROS_DOMAIN_ID"
    found.sort(key=lambda other: -difflib.SequenceMatcher(None, topic, other).ratio())
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"remap {name} to one of those there are: {', '.join(found[:_SHOWN])}{more}"


def _named(publishers: Sequence[TopicEndpointInfo]) -> str:
    names = sorted({f"{p.node_namespace.rstrip('/')}/{p.node_name}" for p in publishers})
    return " and ".join(names[:_SHOWN])
