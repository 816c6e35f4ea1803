# SPDX-License-Identifier: Apache-2.0
"""Depth images of other sensors: raw, or packed by compressed_depth_image_transport."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from sharpdepth_ros.export.depth_files import decode_bytes

#: Before the PNG: a format number and the two parameters of the quantisation.
_HEADER = struct.Struct("<iff")


def depth_of_message(message: Any) -> np.ndarray:
    """The depth in an Image or CompressedImage message.

    Returns:
        [H, W], uint16 millimetres with 0 for none, or float32 metres with NaN or 0 for none.

    Raises:
        ValueError: the message holds no depth; what it holds is in the text.
    """
    return _unpacked(message) if hasattr(message, "format") else _raw(message)


def _raw(message: Any) -> np.ndarray:
    kinds = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32}
    if message.encoding not in kinds:
        raise ValueError(f"depth images are {', '.join(kinds)}; this one is {message.encoding!r}")
    order = ">" if message.is_bigendian else "<"
    kind = np.dtype(kinds[message.encoding])
    size = message.step * message.height
    if len(message.data) != size or message.step < message.width * kind.itemsize:
        raise ValueError(
            f"a depth image {message.width}x{message.height} of step {message.step} has "
            f"{len(message.data)} bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    rows = np.ascontiguousarray(rows[:, : message.width * kind.itemsize])
    return rows.view(kind.newbyteorder(order)).astype(kind)


def _unpacked(message: Any) -> np.ndarray:
    data = bytes(message.data)
    if "compressedDepth" not in message.format:
        raise ValueError(f"{message.format!r} is not a compressed depth image")
    if len(data) <= _HEADER.size:
        raise ValueError(f"a compressed depth image has {len(data)} bytes")
    _, a, b = _HEADER.unpack_from(data)
    packed = np.frombuffer(data, np.uint8, offset=_HEADER.size)
    stored, _ = decode_bytes(packed, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise ValueError(
            f"a compressed depth image ({message.format!r}) cannot be decoded: only PNG is read, "
            "not RVL"
        )
    if not message.format.startswith("32FC1"):
        return stored
    # Inverse depth is what was quantised.
    with np.errstate(divide="ignore"):
        return np.where(stored > 0, a / (stored.astype(np.float32) - b), np.nan).astype(np.float32)
