# SPDX-License-Identifier: Apache-2.0
"""The launch files in the launch system, where it is installed."""

from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs ROS: launch has no wheel")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import Node

import sharpdepth_ros.node.launch_arguments as launching
from sharpdepth_ros.processing.parameters import SPECS

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.fixture
def launched(monkeypatch):
    """Evaluates sharpdepth.launch.py with arguments; gives its actions."""
    import ament_index_python.packages as packages

    monkeypatch.setattr(packages, "get_package_share_directory", lambda _: str(LAUNCH.parent))
    for variable in launching._FASTDDS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    def evaluate(file: str = "sharpdepth.launch.py", **arguments: str):
        description = get_launch_description_from_python_launch_file(str(LAUNCH / file))
        context = LaunchContext()
        declared = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
        if file == "sharpdepth.launch.py":
            assert {e.name for e in declared} >= set(SPECS)
        else:  # what the included file declares
            defaults = {name: default for name, (default, _) in launching.ARGUMENTS.items()}
            context.launch_configurations.update(dict.fromkeys(SPECS, "") | defaults)
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


def test_nested_and_absolute_cameras_are_nodes_in_their_namespaces(launched):
    _, nodes = launched(cameras="front/left,/other/rear", namespace="robot")
    assert [node.node_name for node in nodes] == [
        "/robot/front/left/sharpdepth",
        "/other/rear/sharpdepth",
    ]


def test_the_demo_has_a_camera_for_each_node(launched):
    _, nodes = launched("demo.launch.py", cameras="front,left", namespace="robot")
    assert [node.node_name for node in nodes] == ["/robot/front/camera", "/robot/left/camera"]


def test_camera_info_is_beside_the_image_and_the_file_gives_the_rest(launched, tmp_path):
    file = tmp_path / "nav.yaml"
    file.write_text("/**: {ros__parameters: {max_depth: 8}}")
    actions, (node,) = launched(image="/cam/image_raw/compressed", params_file=str(file))
    assert ("camera_info", "/cam/camera_info") in node.expanded_remapping_rules
    said = "".join(str(action.msg[0].text) for action in actions if isinstance(action, LogInfo))
    assert "camera_info is not given: it is /cam/camera_info" in said
    assert "image:=/cam/image_raw/compressed most likely needs image_transport:=comp" in said
    file.write_text("/**: {ros__parameters: {image_transport: compressed}}")
    actions, _ = launched(image="/cam/image_raw/compressed", params_file=str(file))
    said = "".join(str(action.msg[0].text) for action in actions if isinstance(action, LogInfo))
    assert "most likely" not in said


def test_one_topic_for_several_cameras_is_refused(launched):
    with pytest.raises(ValueError, match="/cam/image_raw"):
        launched(cameras="front,left", image="/cam/image_raw")


def test_a_parameter_that_is_not_valid_is_refused_before_anything_starts(launched):
    with pytest.raises(ValueError, match="lotus_steps must be from 1 to 50, got 99"):
        launched(lotus_steps="99")
