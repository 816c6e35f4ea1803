# SPDX-License-Identifier: Apache-2.0
"""Messages that no driver should send, made by hypothesis: each is used or refused by name.

The quick form runs the same few hundred cases each time. The long form searches anew:

    python scripts/reliability.py --only hostile --cases 100000
"""

import array
import os
import struct
import warnings
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    PointCloud2,
    PointField,
    RegionOfInterest,
)

from sharpdepth_ros.messages.images import ENCODINGS
from sharpdepth_ros.messages.point_cloud import PointCloudWriter
from sharpdepth_ros.processing.frame import BadInput, Demand, Frame
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters

from .conftest import add_line

CASES = int(os.environ.get("SHARPDEPTH_FUZZ_CASES", "0"))
fuzz = settings(
    max_examples=CASES or 300,
    derandomize=not CASES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

outcomes: Counter[str] = Counter()

uint32 = st.integers(0, 2**32 - 1)
sizes = st.one_of(st.integers(0, 12), uint32)
reals = st.one_of(st.floats(), st.floats(-1e4, 1e4), st.sampled_from([0.0, 1.0, 1e-310, -1.0]))
encodings = st.one_of(st.sampled_from(ENCODINGS), st.text(max_size=12))


class StandIn:
    """Depth of one metre, of whatever it is shown."""

    device = torch.device("cpu")

    def __call__(self, rgb, intrinsics, **_):
        assert rgb.dtype == torch.uint8
        assert torch.isfinite(intrinsics).all()
        depth = torch.ones(rgb.shape[:2])
        return SimpleNamespace(
            depth=depth, metric_depth=depth, discrepancy=depth * 0, aligned=True, timings={}
        )


def bytes_per_pixel(encoding):
    channels = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "yuv422": 2, "uyvy": 2, "yuyv": 2}
    name = encoding.rstrip("0123456789") if encoding != "yuv422" else encoding
    return channels.get(name.removesuffix("_yuy"), 1) * (2 if encoding.endswith("16") else 1)


@st.composite
def images(draw):
    """Images as a driver makes them, with at most two fields that are not."""
    encoding = draw(st.sampled_from(ENCODINGS))
    width, height = 2 * draw(st.integers(1, 6)), 2 * draw(st.integers(1, 6))
    rows = height * 3 // 2 if encoding in ("nv12", "nv21") else height
    step = width * bytes_per_pixel(encoding) + draw(st.sampled_from([0, 0, 1, 7]))
    data = draw(st.binary(min_size=step * rows, max_size=step * rows))
    fields = {"width": width, "height": height, "encoding": encoding, "step": step, "data": data}
    fields["is_bigendian"] = draw(st.sampled_from([0, 1, 255]))
    hostile = {"width": sizes, "height": sizes, "step": sizes, "data": st.binary(max_size=300)}
    hostile["encoding"] = encodings
    for name in (
        draw(st.sets(st.sampled_from([*hostile]), max_size=2)) if draw(st.booleans()) else ()
    ):
        fields[name] = draw(hostile[name])
    fields["data"] = array.array("B", fields["data"])
    return Image(**fields)


lenses = st.sampled_from(
    [("plumb_bob", 5), ("plumb_bob", 4), ("rational_polynomial", 8), ("equidistant", 4)]
)
lists_of_reals = {n: st.lists(reals, min_size=n, max_size=n) for n in (9, 12)}


@st.composite
def camera_infos(draw, width, height):
    """Calibrations of an image of this size, with at most three fields that are not."""
    focal = st.floats(1, 1000)
    k = [draw(focal), 0.0, draw(reals), 0.0, draw(focal), draw(reals), 0.0, 0.0, 1.0]
    model, coefficients = draw(lenses)
    lens = st.lists(
        st.one_of(st.floats(-1, 1), reals), min_size=coefficients, max_size=coefficients
    )
    fields = {"width": width, "height": height, "k": k, "distortion_model": model}
    fields["d"] = draw(lens) if draw(st.booleans()) else []
    if draw(st.booleans()):
        fields["p"] = [*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0]
    hostile = {"width": sizes, "height": sizes, "k": lists_of_reals[9], "r": lists_of_reals[9]}
    hostile |= {"p": lists_of_reals[12], "d": st.lists(reals, max_size=15)}
    hostile |= {"binning_x": sizes, "binning_y": sizes, "distortion_model": st.text(max_size=9)}
    hostile["roi"] = st.builds(
        RegionOfInterest, x_offset=sizes, y_offset=sizes, width=sizes, height=sizes
    )
    for name in (
        draw(st.sets(st.sampled_from([*hostile]), max_size=3)) if draw(st.booleans()) else ()
    ):
        fields[name] = draw(hostile[name])
    return CameraInfo(**fields)


@st.composite
def pairs(draw):
    message = draw(images())
    return message, draw(camera_infos(message.width, message.height))


def use(message, info, **parameters):
    """Processes a frame as the node does. The result, or the refusal."""
    processor = FrameProcessor(StandIn(), lambda: Parameters().changed(parameters))
    try:
        result = processor(Frame(message, info, 0.0), Demand(True, True, True))
    except BadInput as refusal:
        assert str(refusal)
        outcomes[f"refused as {refusal.cause}"] += 1
        return refusal
    assert result.rgb.shape == (*result.depth.shape, 3)
    assert (result.camera.height, result.camera.width) == result.depth.shape
    cloud = PointCloudWriter(PointCloud2, PointField)(
        result.depth, result.camera, result.header, result.rgb
    )
    assert len(cloud.data) == result.depth.size * 16
    outcomes["used"] += 1
    return result


@pytest.fixture(scope="module", autouse=True)
def line_of_the_table():
    yield
    if CASES:
        happened = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        cases = f"{outcomes.total()} messages, {CASES} for each of three tests"
        add_line("Messages made by hypothesis, at the conversion layer", cases, happened)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@fuzz
@given(pairs(), st.booleans(), st.sampled_from([0.0, 2.0]))
def test_an_image_and_its_camera_info_are_used_or_refused(pair, rectify, edge_filter):
    use(*pair, rectify=rectify, edge_filter=edge_filter)


@fuzz
@given(
    st.binary(max_size=64), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]), encodings
)
@example(b"", b"", "jpeg")
def test_a_compressed_image_is_used_or_refused(data, begin, kind):
    message = CompressedImage(format=kind, data=array.array("B", begin + data))
    info = CameraInfo(width=4, height=4, k=[4.0, 0, 2, 0, 4, 2, 0, 0, 1])
    use(message, info)


@fuzz
@given(uint32, uint32)
def test_a_png_that_claims_to_be_huge_is_refused_without_taking_the_memory(width, height):
    """Twenty bytes that say how large the picture will be, and nothing of it."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + bytes(4)
    info = CameraInfo(width=4, height=4, k=[4.0, 0, 2, 0, 4, 2, 0, 0, 1])
    refusal = use(CompressedImage(format="png", data=array.array("B", data)), info)
    assert isinstance(refusal, BadInput)
