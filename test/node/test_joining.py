# SPDX-License-Identifier: Apache-2.0
"""What keeps a process from joining ROS is said in a sentence, and ends it with status 2."""

import os
import subprocess
import sys

import pytest

from sharpdepth_ros.processing.parameters import SPECS

from .conftest import wait_until

SECURITY = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}


def start(module, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "module", ["sharpdepth_ros.node.main", "sharpdepth_ros.demo.camera", "sharpdepth_ros.cli"]
)
def test_a_domain_that_does_not_exist_is_named(module):
    arguments = ["demo", "--frames", "1"] if module == "sharpdepth_ros.cli" else []
    ended = start(module, *arguments, ROS_DOMAIN_ID="233")
    assert ended.returncode == 2, ended.stderr
    assert "ROS_DOMAIN_ID is 233; give 0 to 232" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_viewer_says_it_too_and_keeps_an_earlier_recording(tmp_path):
    rerun = pytest.importorskip("rerun", reason="sharpdepth view is an extra of its own")
    assert rerun
    earlier = tmp_path / "live.rrd"
    earlier.write_bytes(b"of an earlier run")
    arguments = ["view", "--live", "--save", str(earlier)]
    ended = start("sharpdepth_ros.cli", *arguments, ROS_DOMAIN_ID="233")
    assert ended.returncode == 2, ended.stderr
    assert "ROS_DOMAIN_ID is 233" in ended.stderr
    assert earlier.read_bytes() == b"of an earlier run"


@pytest.mark.parametrize(
    ("option", "message"),
    [("--namespace", "Invalid namespace: "), ("--image-topic", "Invalid topic name: ")],
)
def test_the_viewer_names_a_name_that_ros_does_not_take(option, message):
    pytest.importorskip("rerun", reason="sharpdepth view is an extra of its own")
    ended = start("sharpdepth_ros.cli", "view", "--live", option, "9 x", "--serve")
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr and "9 x'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo"], "unknown ROS arguments ['--foo']"),
        (["-r", "__node:=9x"], "Couldn't parse remap rule: '-r __node:=9x'"),
        (["--params-file", "gone.yaml"], "there is no parameter file gone.yaml"),
        (["-p", "max_depth"], "'max_depth' is not NAME:=VALUE, such as point_stride:=2"),
        (["-p", "generator:="], "an empty text is written ''"),
        (["--", "mode:=metric"], "write --ros-args -p mode:=metric"),
        (["--", "metric"], "unknown argument 'metric': ROS arguments follow --ros-args"),
    ],
)
def test_arguments_that_ros_does_not_take_are_named(arguments, message):
    ended = start("sharpdepth_ros.node.main", "--ros-args", *arguments)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr and "/src/rcl" not in ended.stderr.splitlines()[-1]


def test_help_is_printed_instead_of_a_node_started():
    ended = start("sharpdepth_ros.node.main", "--help")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("usage: sharpdepth_node [-h] [--ros-args")
    assert all(f"  {name}:=" in ended.stdout for name in SPECS)


def test_what_ros_drops_in_silence_is_named_before_the_models_are_loaded(start_node, tmp_path):
    file = tmp_path / "nav.yaml"
    file.write_text("sharpdpeth:\n  ros__parameters:\n    max_depth: 8\n")
    node = start_node(
        stand_in=True,
        model="loadsleep=30",
        max_dpeth=8.0,
        ros_args=("--params-file", str(file), "-r", "imge:=/cam/image_raw"),
    )
    wait_until(lambda: "loading 'loadsleep=30'" in node.log)
    warnings = [line for line in node.log.splitlines() if "WARN" in line]
    assert "sets parameters of sharpdpeth (did you mean sharpdepth?), not of /sh" in warnings[0]
    assert "max_dpeth:=8.0 sets max_dpeth (did you mean max_depth?): /sharpdepth has" in warnings[1]
    assert "-r imge:=/cam/image_raw: the node has no topic imge; did you mean image?" in warnings[2]


@pytest.mark.parametrize("keystore", ["missing", "without an enclave"])
def test_security_without_an_enclave_says_what_it_takes(keystore, tmp_path):
    if keystore == "without an enclave":
        (tmp_path / "enclaves").mkdir()
    ended = start("sharpdepth_ros.node.main", ROS_SECURITY_KEYSTORE=str(tmp_path), **SECURITY)
    assert ended.returncode == 2, ended.stderr
    assert "cannot start: " in ended.stderr
    assert "ROS_SECURITY_ENABLE is true" in ended.stderr and "docs/security.md" in ended.stderr
    assert "Traceback" not in ended.stderr
