# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs messages as rosbags' dataclasses: made with defaults, read, serialised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Nodetype,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from sharpdepth_ros.messages.message_types import MessageTypes

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
_POINT_FIELD = "sensor_msgs/msg/PointField"

#: The types of a ROS release. sensor_msgs' are the same in all that rosbag2 has been in.
TYPES = get_typestore(Stores.LATEST)

#: What the node offers: reliable, only the newest; rmw writes endless times like this.
_ENDLESS = QosTime(9223372036, 854775807)
NODE_QOS = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _ENDLESS,
    _ENDLESS,
    QosLiveliness.AUTOMATIC,
    _ENDLESS,
    False,
)


def read(data: bytes, kind: str) -> Any:
    """A message from its bytes in a bag.

    Raises:
        ValueError: they are not one of this type.
    """
    try:
        return TYPES.deserialize_cdr(data, kind)
    except SerdeError as error:
        raise ValueError(str(error)) from error


def maker(name: str) -> Callable[..., Any]:
    """Makes messages of a type from fields given by keyword, as rclpy's classes do."""
    kind = TYPES.types[name]
    fields: dict[str, tuple] = dict(TYPES.fielddefs[name][1])

    def make(**given: Any) -> Any:
        values = {field: _default(described) for field, described in fields.items()}
        values |= {field: _as_array(value, fields[field]) for field, value in given.items()}
        return kind(**values)

    return make


def _default(described: tuple) -> Any:
    node, detail = described
    if node == Nodetype.NAME:
        return maker(detail)()
    if node == Nodetype.BASE:
        return {"string": "", "bool": False}.get(detail[0], 0)
    return _as_array([0] * detail[1] if node == Nodetype.ARRAY else [], described)


def _as_array(value: Any, described: tuple) -> Any:
    """Sequences of numbers as the NumPy array that rosbags serialises; all else as it is."""
    node, detail = described
    if node not in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return value
    element, element_detail = detail[0]
    numeric = element == Nodetype.BASE and element_detail[0] != "string"
    return np.asarray(value, np.dtype(element_detail[0])) if numeric else value


MESSAGES = MessageTypes(maker(IMAGE), maker(CAMERA_INFO), maker(POINT_CLOUD), maker(_POINT_FIELD))
