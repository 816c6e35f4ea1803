# SPDX-License-Identifier: Apache-2.0
"""Every encoding to rgb8 and back; where cv_bridge can be imported, it has to agree."""

import re
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from sharpdepth_ros.node.images import ENCODINGS, ImageWriter, compressed_to_rgb, image_to_rgb

W, H = 40, 30


def _scene():
    """Smooth colours, so that chroma subsampling and demosaicing lose little."""
    v, u = np.mgrid[:H, :W] / 40.0
    return np.stack((40 + 150 * u, 200 - 120 * v, 60 + 80 * u * v), axis=-1).astype(np.uint8)


def _yuv(rgb):
    """BT.601 studio range: Y, and U and V of each pixel, float."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    u = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    v = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    return y, u, v


def _packed_422(rgb, order):
    y, u, v = _yuv(rgb)
    parts = {"U": u[:, ::2], "V": v[:, ::2], "Y": y[:, ::2], "y": y[:, 1::2]}
    return np.stack([parts[c] for c in order], axis=-1).round().astype(np.uint8).reshape(H, -1)


def _planar_420(rgb, order):
    y, u, v = _yuv(rgb)
    parts = {"U": u[::2, ::2], "V": v[::2, ::2]}
    chroma = np.stack([parts[c] for c in order], axis=-1).reshape(H // 2, W)
    return np.vstack((y, chroma)).round().astype(np.uint8)


def _bayer(rgb, pattern):
    mosaic = np.empty((H, W), np.uint8)
    for i, colour in enumerate(pattern):
        dv, du = divmod(i, 2)
        mosaic[dv::2, du::2] = rgb[dv::2, du::2, "rgb".index(colour)]
    return mosaic


def _wide(values):
    return values.astype(np.uint16) * 257


def _encoded(rgb, encoding):
    """The bytes of a picture as an array of rows, and what is expected back."""
    grey = np.repeat(rgb[..., 1:2], 3, axis=-1)
    alpha = np.full((H, W, 1), 9, np.uint8)
    if match := re.fullmatch(r"bayer_(\w{4})(8|16)", encoding):
        mosaic = _bayer(rgb, match[1])
        return (mosaic if match[2] == "8" else _wide(mosaic)), rgb
    return {
        "rgb8": lambda: (rgb, rgb),
        "bgr8": lambda: (rgb[..., ::-1], rgb),
        "rgba8": lambda: (np.dstack((rgb, alpha)), rgb),
        "bgra8": lambda: (np.dstack((rgb[..., ::-1], alpha)), rgb),
        "mono8": lambda: (rgb[..., 1], grey),
        "8UC1": lambda: (rgb[..., 1], grey),
        "rgb16": lambda: (_wide(rgb), rgb),
        "bgr16": lambda: (_wide(rgb[..., ::-1]), rgb),
        "rgba16": lambda: (_wide(np.dstack((rgb, alpha))), rgb),
        "bgra16": lambda: (_wide(np.dstack((rgb[..., ::-1], alpha))), rgb),
        "mono16": lambda: (_wide(rgb[..., 1]), grey),
        "16UC1": lambda: (_wide(rgb[..., 1]), grey),
        "yuv422": lambda: (_packed_422(rgb, "UYVy"), rgb),
        "uyvy": lambda: (_packed_422(rgb, "UYVy"), rgb),
        "yuv422_yuy2": lambda: (_packed_422(rgb, "YUyV"), rgb),
        "yuyv": lambda: (_packed_422(rgb, "YUyV"), rgb),
        "nv12": lambda: (_planar_420(rgb, "UV"), rgb),
        "nv21": lambda: (_planar_420(rgb, "VU"), rgb),
    }[encoding]()


def _message(encoding, rows, padding=0, big_endian=False):
    if big_endian:
        rows = rows.astype(rows.dtype.newbyteorder(">"))
    data = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    data = np.pad(data, ((0, 0), (0, padding)), constant_values=77)
    message = Image(height=H, width=W, encoding=encoding, is_bigendian=int(big_endian))
    message.step = data.shape[1]
    message.data.frombytes(data.tobytes())
    return message


@pytest.mark.parametrize("padding", [0, 6], ids=["dense", "padded"])
@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_becomes_the_picture_it_came_from(encoding, big_endian, padding):
    rows, expected = _encoded(_scene(), encoding)
    found = image_to_rgb(_message(encoding, rows, padding, big_endian))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    exact = encoding.startswith(("rgb", "bgr", "mono", "8UC", "16UC"))
    inner = np.s_[:] if exact else np.s_[2:-2, 2:-2]  # demosaicing guesses at the border
    np.testing.assert_allclose(
        found[inner].astype(int), expected[inner].astype(int), atol=0 if exact else 6
    )


def test_cv_bridge_agrees_where_it_works():
    core = pytest.importorskip("cv_bridge", reason="needs ROS: cv_bridge has no wheel")
    works = "needs ROS: cv_bridge, with the NumPy it was built for"
    pytest.importorskip("cv_bridge.boost.cv_bridge_boost", reason=works, exc_type=ImportError)
    for encoding in ENCODINGS:
        message = _message(encoding, _encoded(_scene(), encoding)[0])
        try:
            theirs = core.CvBridge().imgmsg_to_cv2(message, "rgb8")
        except core.CvBridgeError:
            continue  # an encoding that cv_bridge does not convert to rgb8
        np.testing.assert_allclose(
            image_to_rgb(message).astype(int), theirs.astype(int), atol=1, err_msg=encoding
        )


@pytest.mark.parametrize("fault", [ImportError, AttributeError])
def test_a_cv_bridge_for_another_numpy_is_named_and_loses_the_frame_only(fault, monkeypatch):
    class CvBridge:
        def imgmsg_to_cv2(self, *_):  # where the compiled part is imported
            raise fault("_ARRAY_API not found")

    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=CvBridge))
    with pytest.raises(ValueError, match=r"'8UC3' .* does not work here: _ARRAY_API not found"):
        image_to_rgb(Image(width=4, height=4, encoding="8UC3", step=12))


@pytest.mark.parametrize(
    ("encoding", "width", "height"), [("yuv422", 39, 30), ("nv12", 40, 29), ("nv21", 39, 30)]
)
def test_an_odd_size_is_refused_where_chroma_is_halved(encoding, width, height):
    message = Image(width=width, height=height, encoding=encoding, step=80)
    with pytest.raises(ValueError, match=f"cannot be {width}x{height}: odd size"):
        image_to_rgb(message)


def test_unpadded_rgb8_is_not_copied():
    message = _message("rgb8", _scene())
    assert np.shares_memory(image_to_rgb(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize(("suffix", "tolerance"), [("jpeg", 12), ("png", 0)])
def test_compressed_images_are_decoded(suffix, tolerance):
    rgb = _scene()
    _, data = cv2.imencode(f".{suffix}", rgb[..., ::-1])
    message = CompressedImage(format=f"rgb8; {suffix} compressed bgr8")
    message.data.frombytes(data.tobytes())
    found = compressed_to_rgb(message)
    np.testing.assert_allclose(found.astype(int), rgb.astype(int), atol=tolerance)


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("jpeg", b"", "0 bytes"),
        ("jpeg", b"no picture", "10 bytes of compressed image"),
        ("jpeg", b"P6 1000000 1000000 255\n0", "cannot be decoded as jpeg or png: .*PIXELS"),
        ("16UC1; compressedDepth png", b"1", "is a depth image"),
    ],
)
def test_compressed_data_that_is_no_picture_is_refused(kind, data, expected):
    message = CompressedImage(format=kind)
    message.data.frombytes(data)
    with pytest.raises(ValueError, match=expected):
        compressed_to_rgb(message)


def test_a_writer_makes_one_message_after_the_other_in_the_same_memory():
    write, header = ImageWriter(Image), Header(frame_id="here")
    first = np.random.default_rng(0).uniform(0, 9, (H, W)).astype(np.float32)
    message = write(first, "32FC1", header)
    memory = np.frombuffer(message.data, np.float32)
    np.testing.assert_array_equal(memory.reshape(H, W), first)
    message = write(first + 1, "32FC1", header)
    assert np.shares_memory(memory, np.frombuffer(message.data, np.uint8))
    np.testing.assert_array_equal(memory.reshape(H, W), first + 1)
    assert (message.header.frame_id, message.height, message.width) == ("here", H, W)
    assert (message.step, message.encoding) == (4 * W, "32FC1")


def test_a_writer_follows_a_change_of_size_and_encoding():
    write = ImageWriter(Image)
    write(np.zeros((H, W), np.float32), "32FC1", Header())
    message = write(np.full((3, 5), 7, np.uint16), "16UC1", Header())
    assert (message.step, len(message.data)) == (10, 30)
    assert np.frombuffer(message.data, np.uint16).tolist() == [7] * 15


def test_a_writer_refuses_an_array_of_another_type():
    with pytest.raises(ValueError, match="32FC1 takes float32"):
        ImageWriter(Image)(np.zeros((H, W)), "32FC1", Header())
