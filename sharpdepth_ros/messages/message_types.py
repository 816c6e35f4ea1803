# SPDX-License-Identifier: Apache-2.0
"""The message classes that the conversion fills: rclpy's, or others that have the same fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MessageTypes:
    """Makers of sensor_msgs messages.

    Each takes fields by keyword and leaves the others at the type's defaults, as rclpy's classes
    do. `data` of an image or cloud has to be an array.array or a NumPy array of bytes.
    """

    image: Callable[..., Any]
    camera_info: Callable[..., Any]
    point_cloud: Callable[..., Any]
    point_field: Callable[..., Any]
