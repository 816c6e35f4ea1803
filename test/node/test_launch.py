# SPDX-License-Identifier: Apache-2.0
"""The launch files in the launch system, where it is installed."""

from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs ROS: launch has no wheel")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import Node

import sharpdepth_ros.node.launching as launching
from sharpdepth_ros.node.parameters import SPECS

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.fixture
def launched(monkeypatch):
    """Evaluates sharpdepth.launch.py with arguments; gives its actions."""
    import ament_index_python.packages as packages

    monkeypatch.setattr(packages, "get_package_share_directory", lambda _: str(LAUNCH.parent))
    for variable in launching._FASTDDS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    def evaluate(**arguments: str):
        description = get_launch_description_from_python_launch_file(
            str(LAUNCH / "sharpdepth.launch.py")
        )
        context = LaunchContext()
        declared = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
        assert {e.name for e in declared} >= set(SPECS)
        context.launch_configurations.update(arguments)
        for action in declared:
            action.execute(context)
        (function,) = (e for e in description.entities if isinstance(e, OpaqueFunction))
        actions = function.execute(context)
        nodes = [action for action in actions if isinstance(action, Node)]
        for node in nodes:
            node._perform_substitutions(context)
        return actions, nodes

    return evaluate


def test_one_camera_is_one_node_in_the_namespace(launched):
    actions, (node,) = launched(namespace="robot", image="/cam/image_raw")
    assert node.node_name == "/robot/sharpdepth"
    assert any(isinstance(action, SetEnvironmentVariable) for action in actions)


def test_several_cameras_are_nodes_in_their_namespaces(launched):
    _, nodes = launched(cameras="front,left", namespace="robot", image="image_raw")
    assert [node.node_name for node in nodes] == [
        "/robot/front/sharpdepth",
        "/robot/left/sharpdepth",
    ]


def test_one_topic_for_several_cameras_is_refused(launched):
    with pytest.raises(ValueError, match="/cam/image_raw"):
        launched(cameras="front,left", image="/cam/image_raw")


def test_a_parameter_that_is_not_valid_is_refused_before_anything_starts(launched):
    with pytest.raises(ValueError, match="lotus_steps must be from 1 to 50, got 99"):
        launched(lotus_steps="99")
