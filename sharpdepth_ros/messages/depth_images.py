# SPDX-License-Identifier: Apache-2.0
"""Depth images of any sensor: raw, compressed without loss, or compressedDepth."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from sharpdepth_ros.io.depth_files import decode_bytes
from sharpdepth_ros.messages.images import decode_compressed, encoding_of, samples_of

#: Encodings of depth (REP 118), and what grey pictures of 16 bits are called.
DEPTH_ENCODINGS = {"16UC1": np.uint16, "mono16": np.uint16, "32FC1": np.float32}

#: Before the picture: a format number and the two parameters of the quantisation.
_HEADER = struct.Struct("<iff")
_PNG = b"\x89PNG"


def depth_of_message(message: Any) -> np.ndarray:
    """The depth in an Image or CompressedImage message.

    Args:
        message: an Image of `DEPTH_ENCODINGS`; one that image_transport compressed without loss
            (png, tiff); or compressedDepth as PNG.

    Returns:
        [H, W], uint16 millimetres with 0 for none, or float32 metres with NaN or 0 for none.

    Raises:
        ValueError: the message holds no depth; what it holds is in the text.
    """
    if hasattr(message, "format"):
        compressed = "compressedDepth" in message.format
        return _unpacked(message) if compressed else _lossless(message)
    kind = DEPTH_ENCODINGS.get(message.encoding)
    if kind is None:
        raise ValueError(
            f"depth images are {', '.join(DEPTH_ENCODINGS)}; this one is {message.encoding[:40]!r}"
        )
    return samples_of(message, kind)


def is_depth(message: Any) -> bool:
    """Whether an Image or CompressedImage says that it holds depth, not a picture."""
    if not hasattr(message, "format"):
        return message.encoding in DEPTH_ENCODINGS
    return "compressedDepth" in message.format or encoding_of(message) in DEPTH_ENCODINGS


def _lossless(message: Any) -> np.ndarray:
    about = f"a compressed image (format {message.format[:80]!r})"
    if encoding_of(message) not in DEPTH_ENCODINGS:
        raise ValueError(
            f"{about} is no depth: that is {', '.join(DEPTH_ENCODINGS)} before the semicolon"
        )
    depth = decode_compressed(message, cv2.IMREAD_UNCHANGED)
    kind = DEPTH_ENCODINGS[encoding_of(message)]
    if depth.ndim != 2 or depth.dtype != kind:
        raise ValueError(
            f"{about} holds {depth.dtype} {list(depth.shape)}, not the {np.dtype(kind)} [H, W] of "
            "the depth: JPEG and 8 bits lose the metres; record the raw or the compressedDepth "
            "topic"
        )
    return depth


def _unpacked(message: Any) -> np.ndarray:
    data = bytes(message.data)
    # Some drivers leave out the header, which millimetres do not need.
    begin = 0 if data.startswith(_PNG) else _HEADER.size
    metres = message.format.startswith("32FC1")
    if len(data) <= _HEADER.size or (metres and not begin):
        raise ValueError(
            f"a compressed depth image ({message.format[:80]!r}) of {len(data)} bytes has no header"
        )
    packed = np.frombuffer(data, np.uint8, offset=begin)
    stored, _ = decode_bytes(packed, cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        raise ValueError(
            f"a compressed depth image ({message.format[:80]!r}) cannot be decoded: only PNG is "
            "read, not RVL"
        )
    if not metres:
        return stored
    # Inverse depth is what was quantised.
    _, a, b = _HEADER.unpack_from(data)
    with np.errstate(divide="ignore"):
        return np.where(stored > 0, a / (stored.astype(np.float32) - b), np.nan).astype(np.float32)
