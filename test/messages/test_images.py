# SPDX-License-Identifier: Apache-2.0
"""Every encoding to rgb8 and back; where cv_bridge can be imported, it has to agree."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from sharpdepth_ros.io.intensity_range import IntensityRange
from sharpdepth_ros.messages.images import (
    ENCODINGS,
    ImageWriter,
    compressed_to_rgb,
    image_to_rgb,
    message_to_rgb,
)
from sharpdepth_ros.processing.frame import Demand, Frame
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters

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


def _compressed(pixels, kind, suffix):
    """A CompressedImage of an array as OpenCV takes it."""
    message = CompressedImage(format=kind)
    message.data.frombytes(cv2.imencode(suffix, pixels)[1].tobytes())
    return message


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_compressed_mosaic_becomes_its_colours_by_the_first_word_of_the_format(pattern, suffix):
    codec = {".jpg": "jpeg", ".png": "png"}[suffix]
    mosaic = _compressed(
        _bayer(_scene(), pattern), f"bayer_{pattern}8; {codec} compressed ", suffix
    )
    found = compressed_to_rgb(mosaic)[2:-2, 2:-2].astype(int)
    np.testing.assert_allclose(found, _scene()[2:-2, 2:-2].astype(int), atol=30)
    assert np.abs(found - _scene()[2:-2, 2:-2]).mean() < (8 if suffix == ".jpg" else 2)


def test_a_mosaic_of_16_bits_in_a_png_becomes_its_colours():
    mosaic = _bayer(_scene(), "gbrg").astype(np.uint16) * 16
    found = compressed_to_rgb(_compressed(mosaic, "bayer_gbrg16; png compressed ", ".png"))
    np.testing.assert_allclose(
        found[2:-2, 2:-2].astype(int), _scene()[2:-2, 2:-2].astype(int), atol=6
    )


@pytest.mark.parametrize(
    ("kind", "grey"),
    [
        ("png", False),
        ("rgb8; png compressed bgr8", False),
        ("bgr8; png compressed ", False),
        ("rgba8; png compressed bgr8", False),
        ("bayer_rggb8; png compressed bgr8", False),
        ("yuv422_yuy2; png compressed mono8", True),
        ("bayer_rggb8; png compressed mono8", True),
        ("mono8; png compressed ", True),
    ],
)
def test_every_form_of_the_format_gives_the_picture_that_is_stored(kind, grey):
    rgb = _scene()
    pixels = rgb[..., 1] if grey else rgb[..., ::-1]
    expected = np.repeat(rgb[..., 1:2], 3, axis=-1) if grey else rgb
    np.testing.assert_array_equal(compressed_to_rgb(_compressed(pixels, kind, ".png")), expected)


def _twelve_bits(scale=16, offset=0):
    return _scene()[..., 1].astype(np.uint16) * scale + offset


@pytest.mark.parametrize("form", ["raw", "png"])
def test_twelve_bits_in_sixteen_are_not_black(form):
    counts = _twelve_bits()
    message = _message("mono16", counts)
    if form == "png":
        message = _compressed(counts, "mono16; png compressed ", ".png")
    found = message_to_rgb(message)[..., 0]
    np.testing.assert_allclose(found.astype(int), _scene()[..., 1], atol=1)


def test_eight_bits_in_sixteen_are_the_same_picture():
    found = image_to_rgb(_message("mono16", _scene()[..., 1].astype(np.uint16)))
    np.testing.assert_array_equal(found[..., 0], _scene()[..., 1])


@pytest.mark.parametrize("encoding", ["rgb16", "bgra16", "bayer_grbg16"])
def test_ten_bits_of_colour_in_sixteen_keep_their_colours(encoding):
    rows, expected = _encoded(_scene(), encoding)
    found = image_to_rgb(_message(encoding, rows // 257 * 4))
    np.testing.assert_allclose(
        found[2:-2, 2:-2].astype(int), expected[2:-2, 2:-2].astype(int), atol=6
    )


def test_a_thermal_picture_uses_the_band_that_it_has():
    found = image_to_rgb(_message("mono16", _twelve_bits(4, 7200)))[..., 0]
    assert found.min() < 40 and found.max() > 215
    order = np.argsort(_scene()[..., 1], axis=None)
    assert (np.diff(found.ravel()[order].astype(int)) >= 0).all()


def test_full_range_pictures_are_scaled_by_the_full_range():
    counts = np.linspace(0, 65535, W * H).reshape(H, W).astype(np.uint16)
    found = image_to_rgb(_message("mono16", counts))[..., 0]
    np.testing.assert_array_equal(found, np.rint(counts / 257.0))


@pytest.mark.parametrize("count", [0, 1, 200, 7200, 65535])
def test_a_constant_picture_is_one_grey(count):
    found = image_to_rgb(_message("mono16", np.full((H, W), count, np.uint16)))
    assert np.unique(found).size == 1


def test_a_stuck_pixel_does_not_darken_the_picture():
    size = 200  # a thousandth of it is 40 pixels
    counts = np.random.default_rng(0).integers(0, 4096, (size, size)).astype(np.uint16)
    rgb = IntensityRange()(counts, grey=True)
    counts[3, 5] = 65535
    stuck = IntensityRange()(counts, grey=True)
    np.testing.assert_array_equal(np.delete(stuck, 3, axis=0), np.delete(rgb, 3, axis=0))


@pytest.mark.parametrize(("scale", "offset"), [(4, 7200), (4, 6), (16, 0)])
def test_a_still_stream_does_not_flicker(scale, offset):
    """Noise moves the largest count over a power of two, and the ends of a thermal band."""
    rng, intensity = np.random.default_rng(0), IntensityRange()
    ranges = []
    for _ in range(40):
        noise = rng.integers(-3, 4, (H, W))
        counts = np.clip(_twelve_bits(scale, offset) + noise, 0, 65535).astype(np.uint16)
        image_to_rgb(_message("mono16", counts), intensity)
        ranges.append(intensity.held)
    assert len(set(ranges)) <= 2
    assert len(set(ranges[10:])) == 1


def test_the_range_of_a_stream_widens_and_never_narrows():
    intensity = IntensityRange()
    for counts in (_twelve_bits(4, 7200), _twelve_bits(16, 7200), _twelve_bits(4, 7200)):
        before = intensity.held
        intensity(counts, grey=True)
        if before:
            assert intensity.held[0] <= before[0] and before[1] <= intensity.held[1]
    assert intensity.held[1] > 7200 + 198 * 16


@pytest.mark.parametrize(
    ("setting", "counts", "expected"),
    [
        ("full", [0, 257, 65535], [0, 1, 255]),
        ("1000,2000", [500, 1000, 1500, 2000, 9], [0, 0, 128, 255, 0]),
    ],
)
def test_the_range_can_be_given(setting, counts, expected):
    found = IntensityRange(setting)(np.array([counts], np.uint16), grey=True)
    assert found.tolist() == [expected]


@pytest.mark.parametrize("setting", ["", "auto,", "5", "9,3", "4,4", "0,65536", "-1,9", "a,b"])
def test_a_range_that_is_none_is_refused_with_what_to_give(setting):
    with pytest.raises(ValueError, match=r"intensity_range is .*: give auto, full, or the counts"):
        IntensityRange(setting)


@pytest.mark.parametrize(
    ("encoding", "nearest"),
    [
        ("BGR8", "the nearest supported one is 'bgr8'"),
        ("bayer_rgbg8", "the nearest supported one is 'bayer_"),
        ("32FC1", "it is one of distances, not of pictures"),
    ],
)
def test_an_unknown_encoding_is_named_with_the_nearest_known_one(encoding, nearest):
    with pytest.raises(ValueError, match=nearest) as refusal:
        image_to_rgb(Image(width=4, height=4, encoding=encoding, step=12))
    text = str(refusal.value)
    assert f"{encoding!r} is not supported" in text
    assert "docs/formats.md" in text
    assert len(text) < 250


def test_an_endless_encoding_does_not_fill_the_log():
    with pytest.raises(ValueError) as refusal:
        image_to_rgb(Image(width=4, height=4, encoding="x" * 10**6, step=12))
    assert len(str(refusal.value)) < 300


def test_the_documentation_lists_every_encoding():
    text = (Path(__file__).parents[2] / "docs/formats.md").read_text()
    assert [name for name in ENCODINGS if f"`{name}`" not in text] == []


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


class _OneMetre:
    """A pipeline that says one metre of whatever it is shown."""

    device = torch.device("cpu")

    def __call__(self, rgb, *_, **__):
        depth = torch.ones(rgb.shape[:2])
        return SimpleNamespace(
            depth=depth, metric_depth=depth, discrepancy=depth * 0, aligned=True, timings={}
        )


def _picture_of(processor, message):
    info = CameraInfo(width=W, height=H, k=[40.0, 0, 20, 0, 40, 15, 0, 0, 1])
    return processor(Frame(message, info, 0.0), Demand(True, False, False)).rgb


def test_the_nodes_frames_have_the_colours_of_a_compressed_mosaic():
    mosaic = _compressed(_bayer(_scene(), "rggb"), "bayer_rggb8; png compressed ", ".png")
    found = _picture_of(FrameProcessor(_OneMetre(), Parameters), mosaic)[2:-2, 2:-2]
    np.testing.assert_allclose(found.astype(int), _scene()[2:-2, 2:-2].astype(int), atol=6)


def test_the_node_holds_the_range_of_its_stream_and_takes_another_while_it_runs():
    parameters = [Parameters()]
    processor = FrameProcessor(_OneMetre(), lambda: parameters[-1])
    bright, dark = _message("mono16", _twelve_bits()), _message("mono16", _twelve_bits(2))
    alone = _picture_of(processor, dark).max()
    _picture_of(processor, bright)
    assert _picture_of(processor, dark).max() < alone / 3
    parameters.append(parameters[-1].changed({"intensity_range": "200,400"}))
    assert _picture_of(processor, dark).max() > 200
    parameters.append(parameters[-1].changed({"intensity_range": "full"}))
    assert _picture_of(processor, bright).max() < 20
