# SPDX-License-Identifier: Apache-2.0
"""Frames that cannot be used: one clear line each, a count, and a node that goes on."""

import re
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, RegionOfInterest

from sharpdepth_ros.node.throttled_log import LONGEST
from sharpdepth_ros.processing.frame import BadInput, Demand, Frame
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters

from .conftest import camera_info, image, picture

W, H = 64, 48
GOOD = picture(W, H)


def _with(message, **fields):
    for name, value in fields.items():
        setattr(message, name, value)
    return message


BAD = {
    "an unknown encoding": (
        lambda: (_with(image(GOOD), encoding="plaid8"), camera_info(W, H)),
        "'plaid8' is not supported",
    ),
    "an empty image": (
        lambda: (_with(image(GOOD), width=0, height=0), camera_info(W, H)),
        "the image is empty: 0x0",
    ),
    "a step that is too small": (
        lambda: (_with(image(GOOD), step=10), camera_info(W, H)),
        "step 10 is too small",
    ),
    "data that is cut off": (
        lambda: (_with(image(GOOD), data=image(GOOD).data[:-7]), camera_info(W, H)),
        f"image data has {W * H * 3 - 7} bytes",
    ),
    "a zero K": (
        lambda: (image(GOOD), camera_info(W, H, k=np.zeros(9))),
        "K is all zero: the camera is not calibrated",
    ),
    "a NaN K": (
        lambda: (image(GOOD), camera_info(W, H, k=np.full(9, np.nan))),
        "intrinsics are not finite: fx nan",
    ),
    "another size": (
        lambda: (image(GOOD), camera_info(W * 2, H * 2)),
        "the image is 64x48, but camera_info",
    ),
    "an unknown lens": (
        lambda: (image(GOOD), camera_info(W, H, distortion_model="bottle", d=[0.1])),
        "distortion model 'bottle' is not known",
    ),
    "too few coefficients": (
        lambda: (image(GOOD), camera_info(W, H, d=[0.1, 0.2])),
        "plumb_bob takes 4 or 5 distortion coefficients, got 2",
    ),
    "a region outside the sensor": (
        lambda: (image(GOOD), camera_info(W, H, roi=RegionOfInterest(x_offset=9, width=W))),
        "leaves the 64x48 image",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_frame_that_cannot_be_used_is_refused_with_its_values(name):
    make, expected = BAD[name]
    processor = FrameProcessor(pipeline=None, parameters=Parameters)
    with pytest.raises(BadInput, match=re.escape(expected)):
        processor(Frame(*make(), received=0.0), Demand(True, True, True))


def test_bad_frames_are_counted_by_cause_and_the_next_good_one_is_used(start_node, peer):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True)
    peer.become_camera()
    peer.send_until_seen(image(GOOD), camera_info(W, H), depths)
    for stamp, name in enumerate(("an unknown encoding", "a NaN K", "another size"), 2):
        make, expected = BAD[name]
        messages = make()
        for message in messages:
            message.header.stamp.nanosec = stamp
        peer.send(*messages)
        statuses.wait_for(lambda m, text=expected: text in m[-1][2].get("last problem", ""))
        assert statuses.messages[-1][0] == DiagnosticStatus.WARN
    causes = {"bad_image", "bad_camera_info", "size_mismatch"}
    dropped = statuses.messages[-1][2]
    assert all(dropped[f"dropped, {cause}"] == "1" for cause in causes)
    good = len(depths.messages)
    peer.send(image(GOOD, stamp=9), camera_info(W, H, 9))
    depths.wait_for_count(good + 1)
    assert "Traceback" not in node.log


@pytest.mark.parametrize(
    ("image_fields", "info_fields", "begins", "ends"),
    [
        ({"encoding": "x" * 70_000}, {}, "image encoding 'xxx", "the supported ones"),
        ({}, {"d": [0.1] * 10_000}, "camera_info: plumb_bob takes 4 or 5", "model to 0"),
    ],
    ids=["letters", "coefficients"],
)
def test_what_is_said_of_a_field_of_any_length_is_short(
    image_fields, info_fields, begins, ends, start_node, peer
):
    depths, statuses = peer.listen("depth/image_rect", Image), peer.diagnostics()
    node = start_node(stand_in=True)
    peer.become_camera()
    peer.send_until_seen(image(GOOD), camera_info(W, H), depths)
    peer.send(_with(image(GOOD, stamp=2), **image_fields), camera_info(W, H, 2, **info_fields))
    problem = statuses.wait_for(lambda m: begins in m[-1][1])[-1][1]
    assert problem.startswith(begins)
    assert problem.endswith(ends)
    assert len(problem) < LONGEST + 50
    assert max(map(len, node.log.splitlines())) < LONGEST + 150


def test_images_without_camera_info_are_named_once_and_counted(start_node, peer):
    peer.listen("depth/image_rect", Image)
    statuses = peer.diagnostics()
    node = start_node(stand_in=True)
    peer.become_camera()

    def counted():
        peer.send(image(GOOD, stamp=time.monotonic_ns()), None)
        return statuses.messages and "dropped, no_camera_info" in statuses.messages[-1][2]

    peer.wait_until(counted)
    assert node.log.count("no camera_info") == 1
    assert "on /camera_info" in node.log


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_a_folder_that_is_no_checkpoint_leaves_the_node_unconfigured(
    folder, start_node, peer, tmp_path
):
    (tmp_path / "empty").mkdir()
    statuses = peer.diagnostics()
    node = start_node(model=tmp_path / folder)
    level, message, _ = statuses.wait_for(lambda m: "cannot load" in m[-1][1])[-1]
    assert level == b"\x02"
    assert str(tmp_path / folder) in message
    assert peer.state() == "unconfigured"
    assert node.log.count(message) == 1
    assert "Traceback" not in node.log
