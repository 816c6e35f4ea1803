# SPDX-License-Identifier: Apache-2.0
"""The node's messages as arrays, by their fields alone: from rclpy and from a bag alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.io.depth_files import MILLIMETRES
from sharpdepth_ros.messages.camera_info import calibration_from_info
from sharpdepth_ros.messages.depth_images import depth_of_message
from sharpdepth_ros.viewing.clouds import Cloud, spacing_of

#: sensor_msgs/PointField datatype -> type of a sample
_POINT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}

_STAGE = "stage "
_MILLISECONDS = " (ms)"


def depth_of(message: Any) -> np.ndarray:
    """An Image of depth, or of discrepancy, as float32 [H, W]; of millimetres, 0 is NaN.

    Raises:
        ValueError: another encoding, or sizes that do not fit together.
    """
    values = depth_of_message(message)
    if values.dtype == np.float32:
        return values
    metres = values.astype(np.float32) / np.float32(MILLIMETRES)
    return np.where(values > 0, metres, np.float32(np.nan))


def camera_of(info: Any) -> CameraModel:
    """The pinhole camera of a CameraInfo, of rectified images.

    Raises:
        ValueError: the camera is not calibrated.
    """
    return calibration_from_info(info).rectified


def cloud_of(message: Any, camera: CameraModel | None = None) -> Cloud | None:
    """The finite points of a PointCloud2 with x, y, z and perhaps rgb; None if none is finite.

    Args:
        message: the cloud; little or big endian, any layout of fields.
        camera: of the depth image that the cloud was made from, for the points' spacing.

    Raises:
        ValueError: there is no x, y or z, or the data is shorter than width and height say.
    """
    order = ">" if message.is_bigendian else "<"
    if unknown := [f.name for f in message.fields if f.datatype not in _POINT_TYPES]:
        raise ValueError(f"the cloud's fields {', '.join(unknown)} are of types that do not exist")
    fields = {f.name: (order + _POINT_TYPES[f.datatype], f.offset) for f in message.fields}
    if missing := [axis for axis in "xyz" if axis not in fields]:
        raise ValueError(f"the cloud has fields {', '.join(fields)}, and no {', '.join(missing)}")
    size = message.row_step * message.height
    data = np.frombuffer(message.data, np.uint8)
    if data.size < size or message.row_step < message.point_step * message.width:
        raise ValueError(
            f"a cloud of {message.width}x{message.height} points, row step {message.row_step}, "
            f"cannot have {data.size} bytes"
        )
    rows = data[:size].reshape(message.height, message.row_step)
    rows = np.ascontiguousarray(rows[:, : message.point_step * message.width])
    kind = np.dtype(
        {
            "names": list(fields),
            "formats": [sample for sample, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": message.point_step,
        }
    )
    records = rows.view(kind).ravel()
    points = np.stack([records[axis].astype(np.float32) for axis in "xyz"], axis=-1)
    finite = np.isfinite(points).all(axis=-1)
    if not finite.any():
        return None
    points = points[finite]
    if "rgb" in fields:
        # Packed 0xffrrggbb, in a float32 or a uint32.
        packed = np.ascontiguousarray(records["rgb"]).view(order + "u4")[finite]
        shifts = np.array([16, 8, 0], np.uint32)
        colours = ((packed[:, None] >> shifts) & 255).astype(np.uint8)
    else:
        colours = colorize_depth(points[None, :, 2])[0]
    seen = bool((points[:, 2] > 0).all())
    if seen and camera is not None and message.height > 1:
        stride = max(1, round(camera.width / message.width))
        return Cloud(points, colours, stride / float(np.sqrt(camera.fx * camera.fy)))
    return Cloud(points, colours, spacing_of(points, seen), seen)


def stage_times(message: Any) -> dict[str, float]:
    """Median milliseconds per stage that the node's /diagnostics tell; empty for another's."""
    for status in message.status:
        if status.name.endswith(": depth"):
            return {
                item.key[len(_STAGE) : -len(_MILLISECONDS)]: float(item.value)
                for item in status.values
                if item.key.startswith(_STAGE) and item.value != "-"
            }
    return {}


def node_problem(message: Any) -> str | None:
    """The warning or error that the node's /diagnostics tell; None if there is none."""
    for status in message.status:
        # An octet: a number in a bag, a byte string in rclpy.
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        if status.name.endswith(": depth") and level > 0:
            return f"the node said: {status.message}"
    return None
