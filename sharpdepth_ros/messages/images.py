# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image and CompressedImage to arrays and back.

cv_bridge does part of this on a ROS machine, and takes the encodings that the table below does not
have. It does not take the others: its compiled part fails with a NumPy of another major version,
and it has no NV12 and NV21. The test suite compares the two where cv_bridge can be imported.
"""

from __future__ import annotations

import array
import difflib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as PillowImage

from sharpdepth_ros.io.depth_files import PICTURE, SENSOR_ROWS, decode_bytes, rgb_of_decoded
from sharpdepth_ros.io.intensity_range import IntensityRange

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header


#: Encodings of distances, which some drivers are asked to show as pictures.
_DISTANCES = ("32FC1", "64FC1")


@dataclass(frozen=True)
class _Layout:
    """How an encoding stores an image.

    Attributes:
        dtype: of one sample; uint16 is brought to uint8 before `to_rgb`.
        channels: samples per pixel in a row; for packed and planar YUV, bytes per luma pixel.
        to_rgb: uint8 [rows, W, channels] or [rows, W] to uint8 [H, W, 3].
        planar: 4:2:0, chroma rows follow the luma rows.
        mosaic: one colour per pixel.
    """

    dtype: type
    channels: int
    to_rgb: Callable[[np.ndarray], np.ndarray]
    planar: bool = False
    mosaic: bool = False


def _convert(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: cv2.cvtColor(image, code)


_LAYOUTS: dict[str, _Layout] = {
    "rgb8": _Layout(np.uint8, 3, lambda image: image),
    "bgr8": _Layout(np.uint8, 3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba8": _Layout(np.uint8, 4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra8": _Layout(np.uint8, 4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono8": _Layout(np.uint8, 1, _convert(cv2.COLOR_GRAY2RGB)),
    "8UC1": _Layout(np.uint8, 1, _convert(cv2.COLOR_GRAY2RGB)),
    "rgb16": _Layout(np.uint16, 3, lambda image: image),
    "bgr16": _Layout(np.uint16, 3, _convert(cv2.COLOR_BGR2RGB)),
    "rgba16": _Layout(np.uint16, 4, _convert(cv2.COLOR_RGBA2RGB)),
    "bgra16": _Layout(np.uint16, 4, _convert(cv2.COLOR_BGRA2RGB)),
    "mono16": _Layout(np.uint16, 1, _convert(cv2.COLOR_GRAY2RGB)),
    "16UC1": _Layout(np.uint16, 1, _convert(cv2.COLOR_GRAY2RGB)),
    # yuv422 is U Y V Y; the names without a number are newer and mean the same bytes.
    "yuv422": _Layout(np.uint8, 2, _convert(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": _Layout(np.uint8, 2, _convert(cv2.COLOR_YUV2RGB_UYVY)),
    "yuv422_yuy2": _Layout(np.uint8, 2, _convert(cv2.COLOR_YUV2RGB_YUY2)),
    "yuyv": _Layout(np.uint8, 2, _convert(cv2.COLOR_YUV2RGB_YUY2)),
    "nv12": _Layout(np.uint8, 1, _convert(cv2.COLOR_YUV2RGB_NV12), planar=True),
    "nv21": _Layout(np.uint8, 1, _convert(cv2.COLOR_YUV2RGB_NV21), planar=True),
}
# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row.
for _ros, _opencv in {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}.items():
    _code = getattr(cv2, f"COLOR_Bayer{_opencv}2RGB")
    _LAYOUTS[f"bayer_{_ros}8"] = _Layout(np.uint8, 1, _convert(_code), mosaic=True)
    _LAYOUTS[f"bayer_{_ros}16"] = _Layout(np.uint16, 1, _convert(_code), mosaic=True)

ENCODINGS = tuple(_LAYOUTS)


def message_to_rgb(
    message: Image | CompressedImage, intensity: IntensityRange | None = None
) -> np.ndarray:
    """The picture of an Image or CompressedImage: `image_to_rgb` or `compressed_to_rgb`."""
    decode = compressed_to_rgb if hasattr(message, "format") else image_to_rgb
    return decode(message, intensity)


def image_to_rgb(message: Image, intensity: IntensityRange | None = None) -> np.ndarray:
    """The picture of an Image message.

    Args:
        message: any encoding of `ENCODINGS`; rows may be padded, samples big-endian.
        intensity: of the stream that 16-bit pictures belong to; None for a picture by itself.

    Returns:
        uint8 [H, W, 3]. For unpadded rgb8 it is the message's own memory.

    Raises:
        ValueError: the encoding is not known, the image is empty, or its size, step and data do not
            fit together. The message has the values.
    """
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        return _by_cv_bridge(message)
    width, height = message.width, message.height
    halved = layout.channels == 2 or layout.planar  # chroma has half the columns
    if (halved and width % 2) or (layout.planar and height % 2):
        raise ValueError(f"a {message.encoding} image cannot be {width}x{height}: odd size")
    rows = height + height // 2 if layout.planar else height
    samples = samples_of(message, layout.dtype, layout.channels, rows)
    return np.ascontiguousarray(_to_rgb(samples, layout, intensity))


def _to_rgb(samples: np.ndarray, layout: _Layout, intensity: IntensityRange | None) -> np.ndarray:
    if samples.dtype == np.uint16:
        grey = layout.channels == 1 and not layout.mosaic
        samples = (intensity or IntensityRange())(samples, grey=grey)
    return layout.to_rgb(samples)


def samples_of(
    message: Image, dtype: type, channels: int = 1, rows: int | None = None
) -> np.ndarray:
    """The samples of an Image message, without the padding of its rows, in this machine's order.

    Args:
        message: any encoding.
        dtype: of a sample.
        channels: samples per pixel.
        rows: in the data, where they are more than the image's.

    Returns:
        [rows, W], or [rows, W, channels] where there are several; the message's memory if it can.

    Raises:
        ValueError: the image is empty, or its size, step and data do not fit together.
    """
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise ValueError(f"the image is empty: {width}x{height}")
    sample = np.dtype(dtype)
    rows = height if rows is None else rows
    row_bytes = width * channels * sample.itemsize
    if step < row_bytes:
        raise ValueError(
            f"image step {step} is too small: {width} {message.encoding} pixels take {row_bytes} "
            "bytes"
        )
    if len(message.data) != step * rows:
        raise ValueError(
            f"image data has {len(message.data)} bytes, but step {step} times {rows} rows of a "
            f"{width}x{height} {message.encoding} image are {step * rows}"
        )
    data = np.frombuffer(message.data, np.uint8).reshape(rows, step)[:, :row_bytes]
    if sample.itemsize > 1:
        order = ">" if message.is_bigendian else "<"
        data = np.ascontiguousarray(data).view(sample.newbyteorder(order)).astype(sample)
    if channels > 1:
        data = np.ascontiguousarray(data).reshape(rows, width, channels)
    return data


def _by_cv_bridge(message: Image) -> np.ndarray:
    """An encoding beyond the table, where ROS has cv_bridge and that knows it."""
    try:
        from cv_bridge import CvBridge

        return np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))
    except (ImportError, AttributeError) as error:
        if getattr(error, "name", None) == "cv_bridge":
            reason = "cv_bridge, which may know it, is not installed"
        else:  # its compiled part is imported on use, and may be built for another NumPy
            reason = f"cv_bridge does not work here: {error}"
    except (TypeError, ValueError, cv2.error) as error:  # a CvBridgeError is a TypeError
        reason = f"cv_bridge: {error}"
    raise ValueError(
        f"image encoding {message.encoding[:40]!r} is not supported ({reason})"
        f"{_nearest(message.encoding)}; docs/formats.md lists the supported ones"
    )


def _nearest(encoding: str) -> str:
    if encoding in _DISTANCES:
        return "; it is one of distances, not of pictures"
    known = {name.lower(): name for name in ENCODINGS}
    found = difflib.get_close_matches(encoding[:40].lower(), known, 1)
    return f"; the nearest supported one is {known[found[0]]!r}" if found else ""


def encoding_of(compressed: CompressedImage) -> str:
    """The encoding that an image had before it was compressed; empty where `format` has none.

    image_transport writes "ENCODING; CODEC compressed STORED", others the codec alone.
    """
    first, found, _ = compressed.format.partition(";")
    return first.strip() if found or first.strip() in _LAYOUTS else ""


def is_mosaic(compressed: CompressedImage) -> bool:
    """Whether the compressed picture is a Bayer mosaic, which image_transport compresses as it is.

    Where something else is stored (bgr8, mono8), `format` says so at its end.
    """
    layout = _LAYOUTS.get(encoding_of(compressed))
    stored = compressed.format.rpartition("compressed")[2].strip()
    return layout is not None and layout.mosaic and stored in ("", encoding_of(compressed))


def compressed_to_rgb(
    message: CompressedImage, intensity: IntensityRange | None = None
) -> np.ndarray:
    """The picture of a CompressedImage message.

    Args:
        message: jpeg, png, or what else OpenCV decodes. A grey picture of a Bayer encoding is a
            mosaic, and becomes the colours it stands for.
        intensity: of the stream that 16-bit pictures belong to; None for a picture by itself.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: the data is empty or no picture.
    """
    if "compressedDepth" in message.format:
        raise ValueError(f"compressed format {message.format!r} is a depth image, not a picture")
    # A camera's calibration is for the sensor's rows and columns, so no turning by EXIF.
    decoded = decode_compressed(message, PICTURE | SENSOR_ROWS)
    if is_mosaic(message) and decoded.ndim == 2 and decoded.dtype in (np.uint8, np.uint16):
        return _to_rgb(decoded, _LAYOUTS[encoding_of(message)], intensity)
    try:
        return rgb_of_decoded(decoded, intensity)
    except ValueError as error:
        raise ValueError(f"a compressed image (format {message.format[:80]!r}) {error}") from None


def decode_compressed(message: CompressedImage, flags: int) -> np.ndarray:
    """The data of a CompressedImage as OpenCV decodes it with the given cv2.IMREAD_ flags.

    Raises:
        ValueError: the data is empty or nothing that OpenCV decodes.
    """
    if len(message.data) == 0:
        raise ValueError("the compressed image is empty: 0 bytes")
    decoded, refusal = decode_bytes(np.frombuffer(message.data, np.uint8), flags)
    if decoded is None:
        raise ValueError(
            f"{len(message.data)} bytes of compressed image (format {message.format[:80]!r}) "
            f"cannot be decoded as jpeg or png{refusal and f': {refusal}'}"
        )
    return decoded


def size_of(message: Image | CompressedImage) -> tuple[int, int]:
    """Width and height of a picture, without decoding it.

    Raises:
        ValueError: the data is no picture.
    """
    if not hasattr(message, "format"):
        return message.width, message.height
    try:
        return PillowImage.open(io.BytesIO(bytes(message.data))).size
    except Exception as error:  # each of Pillow's formats has errors of its own
        raise ValueError(f"{len(message.data)} bytes of compressed image: {error}") from error


def resized_data(message: object, size: int) -> np.ndarray:
    """The message's data as a writable uint8 [size] array, allocated again only at another size.

    Filling the message's own memory saves the two copies that assigning to `data` makes.
    """
    if len(message.data) != size:
        own = isinstance(message.data, np.ndarray)
        message.data = np.zeros(size, np.uint8) if own else array.array("B", bytes(size))
    return np.frombuffer(message.data, np.uint8)


#: encoding -> (type of a sample, shape of a pixel)
_OUTPUTS = {"32FC1": (np.float32, ()), "16UC1": (np.uint16, ()), "rgb8": (np.uint8, (3,))}


class ImageWriter:
    """Makes Image messages of one topic, again and again in the same memory.

    A message is good until the next one is made; publishing has copied it by then.
    """

    def __init__(self, make_image: Callable[..., Image]) -> None:
        """Args: the message class, or another maker (see `MessageTypes`)."""
        self._message = make_image()

    def __call__(self, pixels: np.ndarray, encoding: str, header: Header) -> Image:
        """The message of an array.

        Args:
            pixels: [H, W] float32 for 32FC1, uint16 for 16UC1, or [H, W, 3] uint8 for rgb8.
            encoding: one of these three.
            header: stamp and frame.
        """
        dtype, pixel = _OUTPUTS[encoding]
        if pixels.dtype != dtype or pixels.shape[2:] != pixel:
            raise ValueError(
                f"{encoding} takes {np.dtype(dtype)} [H, W{', 3' if pixel else ''}], "
                f"got {pixels.dtype} {list(pixels.shape)}"
            )
        message = self._message
        message.header = header
        message.height, message.width = pixels.shape[:2]
        message.encoding = encoding
        message.step = pixels.nbytes // message.height
        view = resized_data(message, pixels.nbytes).view(dtype).reshape(pixels.shape)
        np.copyto(view, pixels)
        return message
