# SPDX-License-Identifier: Apache-2.0
"""The parameter table by itself, and on a live node."""

import math

import pytest
from rcl_interfaces.srv import DescribeParameters, GetParameters
from sensor_msgs.msg import Image

from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, TYPE_NAMES, Parameters

from .conftest import camera_info, image, parameter_value, picture


def test_every_default_is_valid():
    assert Parameters().changed(DEFAULTS) == Parameters()


def test_every_parameter_says_what_it_is():
    for name, spec in SPECS.items():
        assert spec.description.endswith("."), name
        assert type(DEFAULTS[name]).__name__ in TYPE_NAMES, name
        assert (spec.low is None) == (spec.high is None), name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mode": "fast"}, "mode must be one of sharpdepth, aligned, metric, got 'fast'"),
        ({"lotus_steps": 0}, "lotus_steps must be from 1 to 50, got 0"),
        ({"lotus_steps": 2.0}, "lotus_steps is an integer, got 2.0"),
        ({"model": 83}, "model is a string, got 83: quote it"),
        ({"min_confidence": math.nan}, "min_confidence must be a number, got nan"),
        ({"min_depth": 5.0, "max_depth": 2.0}, "min_depth 5.0 must be below max_depth 2.0"),
        ({"compile": 1}, "compile is a bool, got 1"),
        ({"intensity_range": "dark"}, "intensity_range is 'dark': give auto, full, or the counts"),
    ],
)
def test_what_is_not_valid_is_refused_with_the_reason(changes, reason):
    with pytest.raises(ValueError, match=reason):
        Parameters().changed(changes)


def test_live_changes_are_atomic_and_those_that_need_a_reload_wait_for_deactivation(
    start_node, peer
):
    depths = peer.listen("depth/image_rect", Image)
    start_node(stand_in=True)
    peer.become_camera()
    width, height = 64, 48
    peer.send_until_seen(image(picture(width, height)), camera_info(width, height), depths)

    accepted, reason = peer.set_parameters(depth_encoding="16UC1", lotus_steps=99)
    assert not accepted
    assert reason == "lotus_steps must be from 1 to 50, got 99"
    accepted, reason = peer.set_parameters(max_depth="far")
    assert not accepted
    assert reason == "max_depth is a double, got 'far'"
    accepted, reason = peer.set_parameters(depth_encoding="16UC1", precision="fp32")
    assert not accepted
    assert "precision cannot change while the node is active: deactivate it" in reason
    peer.send(image(picture(width, height), stamp=5), camera_info(width, height, 5))
    frames = depths.wait_for(lambda m: m[-1].header.stamp.nanosec == 5)
    assert frames[-1].encoding == "32FC1"

    assert peer.set_parameters(depth_encoding="16UC1", max_depth=2) == (True, "")
    request = GetParameters.Request(names=["max_depth"])
    answer = peer.call(GetParameters, "sharpdepth/get_parameters", request)
    assert answer.values == [parameter_value(2.0)]
    peer.send(image(picture(width, height), stamp=6), camera_info(width, height, 6))
    frames = depths.wait_for(lambda m: m[-1].header.stamp.nanosec == 6)
    assert frames[-1].encoding == "16UC1"

    assert peer.transition("deactivate")
    assert peer.set_parameters(precision="fp32") == (True, "")
    assert peer.transition("activate")


def test_ros_describes_each_parameter(start_node, peer):
    start_node(stand_in=True, autostart=False)
    request = DescribeParameters.Request(names=list(SPECS))
    answer = peer.call(DescribeParameters, "sharpdepth/describe_parameters", request)
    for (name, spec), descriptor in zip(SPECS.items(), answer.descriptors, strict=True):
        assert descriptor.name == name
        assert descriptor.description == spec.description
        if spec.low is not None:
            (bounds,) = descriptor.integer_range or descriptor.floating_point_range
            assert (bounds.from_value, bounds.to_value) == (spec.low, spec.high)
        assert all(choice in descriptor.additional_constraints for choice in spec.choices)
    assert answer.descriptors[list(SPECS).index("autostart")].read_only


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lotus_steps": 99}, "lotus_steps"),
        ({"max_depth": "far"}, "max_depth is a double, got 'far'"),
        ({"mode": "x"}, "'x'"),
        (
            {"qos_overrides./image.subscription.reliability": "trusty"},
            "qos_overrides./image.subscription.reliability must be one of: automatic, reliable, "
            "best_effort, got 'trusty'",
        ),
        (
            {"qos_overrides./points.publisher.depth": "five"},
            "qos_overrides./points.publisher.depth must be an integer, 0 or more, got 'five'",
        ),
    ],
)
def test_a_bad_value_at_start_ends_the_node_with_one_line(parameters, message, start_node):
    node = start_node(stand_in=True, **parameters)
    assert node.process.wait(60) == 2
    assert node.log.count("\n") == 1
    assert "sharpdepth: cannot start:" in node.log
    assert message in node.log
