# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 that the tests run on: whole, of one distribution, and the one that was asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy import get_rmw_implementation_identifier

from sharpdepth_ros.doctor import ros
from sharpdepth_ros.node.fastdds import find_profile, large_message_environment

from .conftest import wait_until

NODE = """
import json, re, sys, time
import diagnostic_msgs.msg, lifecycle_msgs.srv, rclpy, sensor_msgs.msg, std_srvs.srv
rclpy.init()
node = rclpy.create_node("whole")
of_ros = re.compile(r"rclpy|rpyutils|rosidl_|ament_index|\\w+_(msgs|srvs|interfaces)$")
modules = {name: module.__file__ for name, module in list(sys.modules.items())
           if of_ros.match(name.split(".")[0]) and getattr(module, "__file__", None)}
maps = open("/proc/self/maps").read()
libraries = set(re.findall(r"/\\S*/lib(?:rcl|rmw|rosidl|fast|\\w+_msgs)\\S*", maps))
print(json.dumps({"modules": modules, "libraries": sorted(libraries)}), flush=True)
time.sleep(600 if "stay" in sys.argv else 0)
"""


def _prefixes():
    """Where ROS may come from: this environment if it has rclpy's wheels, else what is sourced."""
    if ros._wheels(ros._origin("rclpy")):
        return [Path(sys.prefix)]
    return [Path(prefix).resolve() for prefix in os.environ["AMENT_PREFIX_PATH"].split(":")]


def test_all_of_ros_comes_from_one_distribution(domain):
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain)}
    ended = subprocess.run(
        [sys.executable, "-c", NODE], env=environment, capture_output=True, check=True, timeout=60
    )
    loaded = json.loads(ended.stdout)
    assert {"rclpy", "sensor_msgs.msg", "rosidl_parser"} <= set(loaded["modules"])
    assert any("/librmw_" in path for path in loaded["libraries"])
    for path in [*loaded["modules"].values(), *loaded["libraries"]]:
        assert any(Path(path).is_relative_to(prefix) for prefix in _prefixes()), path


def test_it_is_the_distribution_that_was_asked_for():
    """scripts/test.sh says which; a run by hand takes the one that is there."""
    version = ros._wheels(ros._origin("rclpy"))
    distribution = ros.DISTRIBUTIONS[version.split(".")[0]] if version else os.environ["ROS_DISTRO"]
    assert os.environ.get("SHARPDEPTH_TEST_ROS", distribution) == distribution


def test_doctor_knows_the_distribution_of_the_wheels(monkeypatch):
    version = ros._wheels(ros._origin("rclpy"))
    distribution = ros.DISTRIBUTIONS[version.split(".")[0]] if version else os.environ["ROS_DISTRO"]
    monkeypatch.setenv("ROS_DISTRO", distribution)
    (finding,) = (finding for finding in ros.check_ros() if finding.what == "ROS 2")
    assert finding.value.startswith(distribution) and not finding.advice


def test_the_installed_fast_dds_reads_the_profile_that_is_set_for_it(start_process, monkeypatch):
    if get_rmw_implementation_identifier() != "rmw_fastrtps_cpp":
        pytest.skip("the RMW is not Fast DDS")
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    variables, reason = large_message_environment(find_profile())
    assert variables, reason
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    process = start_process("-c", NODE, "stay")
    wait_until(lambda: "libraries" in process.log)
    assert max(segment.stat().st_size for segment in process.shared_memory()) > 64 * 2**20
