# SPDX-License-Identifier: Apache-2.0
"""Frames as no driver should send them: a valid image and its CameraInfo, with one or more faults.

A fault is a function of a random generator and the two messages. It changes them, or gives others
in their place: None is not sent, bytes are sent as they are, whatever the type's layout is.
"""

from __future__ import annotations

import array
import random
from collections.abc import Callable

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ...node.conftest import camera_info, image, picture

Message = Image | CompressedImage | CameraInfo | bytes | None
Fault = Callable[[random.Random, Image | CompressedImage, CameraInfo], tuple[Message, Message]]

W, H = 64, 48
PIXELS = picture(W, H)

STRINGS = ("", " ", "rgb8 ", "RGB8", "8UC3", "32FC1", "bayer_rggb8", "nv12", "mono16", "jpeg; png")
STRINGS += (
    "compressedDepth png",
    "..",
    "/dev/zero",
    "%s%n{}",
    "\n\r\t\x1b[2J",
    "ä漢😀",
    "x" * 70_000,
)
REALS = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, -1.0, 1e-310, 1e308, -1e308, 5e9)
SIZES = (0, 1, 2, 3, W - 1, W + 1, 2 * W, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
SECONDS = (-(2**31), -3600, -1, 0, 1, 2**31 - 1)


def _setting(which: int, name: str, values: tuple) -> Fault:
    """A fault that gives a field of one of the two messages one of these values."""

    def fault(rng, picture, info):
        setattr((picture, info)[which], name, rng.choice(values))
        return picture, info

    return fault


def _reals(name: str) -> Fault:
    """A fault in one or all of the numbers of a calibration's matrix."""

    def fault(rng, picture, info):
        values = np.array(getattr(info, name))
        where = slice(None) if rng.random() < 0.3 else rng.randrange(len(values))
        values[where] = rng.choice(REALS)
        setattr(info, name, values)
        return picture, info

    return fault


def _lens(rng, picture, info):
    info.distortion_model = rng.choice(
        ("plumb_bob", "rational_polynomial", "equidistant", "bottle", *STRINGS)
    )
    count = rng.choice((0, 1, 3, 4, 5, 6, 8, 12, 14, 10_000))
    info.d = [rng.choice((*REALS, 0.1, -0.2)) for _ in range(count)]
    return picture, info


def _region(rng, picture, info):
    for name in ("x_offset", "y_offset", "width", "height"):
        setattr(info.roi, name, rng.choice((0, 0, *SIZES)))
    return picture, info


def _stamps(rng, picture, info):
    for message in rng.choice(((picture,), (info,), (picture, info))):
        stamp = message.header.stamp
        stamp.sec = rng.choice((*SECONDS, stamp.sec - 3600, stamp.sec + 3600))
        stamp.nanosec = rng.choice((0, stamp.nanosec, 2**32 - 1))
    return picture, info


def _frame_id(rng, picture, info):
    rng.choice((picture, info)).header.frame_id = rng.choice(STRINGS)
    return picture, info


def _alone(rng, picture, info):
    return rng.choice(((picture, None), (None, info)))


def _data(rng, picture, info):
    """Cut off, too long, empty, or nothing but noise."""
    data = bytes(picture.data)
    noise = rng.randbytes(rng.choice((1, 100, 100_000)))
    changed = rng.choice((data[: rng.randrange(len(data) + 1)], data + noise, b"", noise))
    picture.data = array.array("B", changed)
    return picture, info


def _wire(rng, picture, info):
    """What arrives is not even a message of the type: cut off, with wrong bytes, or noise."""

    def damaged(message):
        data = bytearray(serialize_message(message))
        kind = rng.randrange(3)
        if kind == 0:
            del data[rng.randrange(1, len(data)) :]
        elif kind == 1:
            for _ in range(rng.randrange(1, 8)):
                data[rng.randrange(min(len(data), 120))] = rng.randrange(256)
        else:
            data[4:] = rng.randbytes(rng.choice((0, 3, 60, 3000)))
        return bytes(data)

    if rng.random() < 0.5:
        return damaged(picture), info
    return picture, damaged(info)


def _other_size(rng, picture, info):
    """A sound frame of a size that no camera has."""
    width, height = rng.choice(((1, 1), (2, 1), (1, 300), (300, 1), (3, 7), (W, 2)))
    pixels = np.ascontiguousarray(PIXELS[:1, :1].repeat(height, 0).repeat(width, 1))
    changed = image(pixels) if isinstance(picture, Image) else compressed(pixels)
    calibration = camera_info(width, height)
    changed.header, calibration.header = picture.header, info.header
    return changed, calibration


def _big_endian(rng, picture, info):
    picture.is_bigendian = rng.randrange(256)
    picture.encoding = rng.choice(("mono16", "rgb16", "bayer_gbrg16"))
    return picture, info


def _wrong_bytes(rng, picture, info):
    """A picture file with bits that have turned."""
    data = bytearray(picture.data)
    for _ in range(rng.randrange(1, 40) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    picture.data = array.array("B", data)
    return picture, info


def _other_file(rng, picture, info):
    """Another kind of picture file, whole or cut off."""
    suffix = rng.choice((".png", ".bmp", ".webp", ".tiff", ".ppm", ".jp2", ".hdr"))
    pixels = PIXELS.astype(np.float32) if suffix == ".hdr" else PIXELS
    data = bytes(cv2.imencode(suffix, pixels)[1])
    end = len(data) if rng.random() < 0.5 else rng.randrange(len(data))
    picture.data = array.array("B", data[:end])
    return picture, info


def _claims_to_be_huge(rng, picture, info):
    """A JPEG or PNG whose header has another size than its content."""
    if rng.random() < 0.5:
        data = bytearray(cv2.imencode(".png", PIXELS)[1])
        data[16:24] = rng.randbytes(8)
    else:
        data = bytearray(cv2.imencode(".jpg", PIXELS)[1])
        begin = data.find(b"\xff\xc0") + 5
        data[begin : begin + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"))
    picture.data = array.array("B", data)
    return picture, info


_BOTH: dict[str, Fault] = {
    "data": _data,
    "frame_id": _frame_id,
    "stamps": _stamps,
    "one of the two missing": _alone,
    "bytes that are no message": _wire,
    "odd sizes": _other_size,
    "K": _reals("k"),
    "R": _reals("r"),
    "P": _reals("p"),
    "lens": _lens,
    "camera_info width": _setting(1, "width", SIZES),
    "camera_info height": _setting(1, "height", SIZES),
    "region of interest": _region,
    "binning": _setting(1, "binning_x", SIZES),
}
FAULTS: dict[str, dict[str, Fault]] = {
    "raw": _BOTH
    | {
        "step": _setting(0, "step", (*SIZES, 3 * W - 1, 3 * W + 1)),
        "width": _setting(0, "width", SIZES),
        "height": _setting(0, "height", SIZES),
        "encoding": _setting(0, "encoding", STRINGS),
        "byte order": _big_endian,
    },
    "compressed": _BOTH
    | {
        "format": _setting(0, "format", STRINGS),
        "wrong bytes": _wrong_bytes,
        "another kind of file": _other_file,
        "a size that is not so": _claims_to_be_huge,
    },
}


def compressed(pixels: np.ndarray) -> CompressedImage:
    """A JPEG of an array uint8 [H, W, 3]."""
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(bytes(cv2.imencode(".jpg", pixels[..., ::-1])[1]))
    return message


def frame(transport: str, number: int) -> tuple[Image | CompressedImage, CameraInfo]:
    """A valid frame of a camera of 100 Hz; it says its number in frame_id."""
    stamp = 1_700_000_000_000_000_000 + number * 10_000_000
    info = camera_info(W, H, stamp)
    message = image(PIXELS) if transport == "raw" else compressed(PIXELS)
    info.header.frame_id = f"frame {number}"
    message.header = info.header
    return message, info


class Mutator:
    """Valid frames turned into faulty ones, the same ones for the same seed."""

    def __init__(self, seed: int, transport: str) -> None:
        self._rng = random.Random(seed)
        self._faults = FAULTS[transport]
        self._transport = transport

    def __call__(self, number: int) -> tuple[list[str], Message, Message]:
        """The names of the faults, what takes the image's place, and the CameraInfo's."""
        message, info = frame(self._transport, number)
        # The two share a header so far; a fault may be in one of them alone.
        header = info.header
        info.header = type(header)(stamp=type(header.stamp)(), frame_id=header.frame_id)
        info.header.stamp.sec, info.header.stamp.nanosec = header.stamp.sec, header.stamp.nanosec
        names = self._rng.sample(sorted(self._faults), self._rng.choice((1, 1, 1, 2, 3)))
        for name in names:
            if isinstance(message, bytes | None) or isinstance(info, bytes | None):
                break
            message, info = self._faults[name](self._rng, message, info)
        return names, message, info

    def burst(self) -> int:
        """How many faulty frames come before the next valid one."""
        return self._rng.choice((1, 1, 1, 2, 5))
