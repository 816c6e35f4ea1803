# SPDX-License-Identifier: Apache-2.0
"""navigation.launch.py in the launch system, where it is installed."""

from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch is part of a ROS installation, not of the wheels")

import ament_index_python.packages as packages
from launch import LaunchContext
from launch.actions import (
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.events.process import ProcessStderr
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch_ros.actions import Node
from launch_ros.utilities import evaluate_parameters

from sharpdepth_ros.node import launch_arguments as launching
from sharpdepth_ros.node.lifecycle_bond import manager_parameters
from sharpdepth_ros.processing.parameters import SPECS

ROOT = Path(__file__).parents[2]
FILE = ROOT / "launch/navigation.launch.py"


@pytest.fixture
def launched(monkeypatch):
    """Evaluates the launch file with arguments; gives its own actions, and those of Nav2."""
    monkeypatch.setattr(packages, "get_package_share_directory", lambda _: str(ROOT))

    def evaluate(nav2=True, **arguments):
        def prefix(name):
            if not nav2:
                raise packages.PackageNotFoundError(name)
            return "/opt/ros"

        monkeypatch.setattr(packages, "get_package_prefix", prefix)
        description = get_launch_description_from_python_launch_file(str(FILE))
        context = LaunchContext()
        defaults = {name: default for name, (default, _) in launching.ARGUMENTS.items()}
        context.launch_configurations.update(dict.fromkeys(SPECS, "") | defaults | arguments)
        (managers,) = (e for e in description.entities if isinstance(e, OpaqueFunction))
        return context, description.entities, managers.execute(context)

    return evaluate


def _said(context, actions):
    return " ".join(
        part.perform(context) for a in actions if isinstance(a, LogInfo) for part in a.msg
    )


def _output(actions, text):
    """What the launch file starts when a process writes the text."""
    (handler,) = (a.event_handler for a in actions if isinstance(a, RegisterEventHandler))
    event = ProcessStderr(
        text=text.encode(), action=None, name="", cmd=[], cwd=None, env=None, pid=1
    )
    assert handler.matches(event)
    return handler.handle(event, LaunchContext()) or []


def _parameters(context, manager):
    manager._perform_substitutions(context)
    (given,) = evaluate_parameters(context, manager._Node__parameters)
    return given


def test_the_node_is_left_to_the_manager_with_the_preset_for_costmaps(launched):
    context, entities, _ = launched()
    (include,) = (e for e in entities if isinstance(e, IncludeLaunchDescription))
    assert ("autostart", "false") in include.launch_arguments
    (declared,) = (e for e in entities if getattr(e, "name", "") == "params_file")
    del context.launch_configurations["params_file"]
    declared.execute(context)
    assert Path(context.launch_configurations["params_file"]) == ROOT / "config/navigation.yaml"


def test_the_manager_starts_when_the_node_is_there(launched):
    context, _, actions = launched(use_sim_time="true")
    assert not [a for a in actions if isinstance(a, Node)]
    assert not _output(actions, "loading something else")
    (manager,) = _output(actions, "[INFO] [1.0] [sharpdepth]: state: unconfigured\n")
    assert manager.node_package == "nav2_lifecycle_manager"
    given = _parameters(context, manager)
    assert given["node_names"] == ("sharpdepth",)
    assert (given["autostart"], given["use_sim_time"]) == (True, True)
    expected, reason = manager_parameters(["sharpdepth"])
    assert given["bond_timeout"] == expected["bond_timeout"]
    assert reason in _said(context, actions)
    assert not _output(actions, "state: unconfigured")  # once


def test_several_cameras_have_a_manager_each_once_all_nodes_are_there(launched):
    context, _, actions = launched(cameras="front,left", namespace="robot", image="image_raw")
    assert not _output(actions, "state: unconfigured")
    managers = _output(actions, "state: unconfigured")
    for manager in managers:
        manager._perform_substitutions(context)
    assert [m.node_name for m in managers] == [
        "/robot/front/lifecycle_manager_sharpdepth",
        "/robot/left/lifecycle_manager_sharpdepth",
    ]


def test_a_node_that_says_nothing_gets_its_manager_after_a_while(launched):
    context, _, actions = launched()
    (timer,) = (a for a in actions if isinstance(a, TimerAction))
    (late,) = timer.actions
    (manager,) = late.execute(context)
    assert isinstance(manager, Node)


def test_without_nav2_the_log_says_how_to_bring_the_node_up(launched):
    context, _, actions = launched(nav2=False)
    assert "ros2 lifecycle set /sharpdepth configure" in _said(context, actions)
