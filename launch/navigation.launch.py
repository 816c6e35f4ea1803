# SPDX-License-Identifier: Apache-2.0
"""The node for Nav2: the points of a costmap, brought up by a nav2_lifecycle_manager.

    ros2 launch sharpdepth_ros navigation.launch.py image:=/camera/image_raw

Takes the arguments of sharpdepth.launch.py as well; see docs/navigation.md.
"""

from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessIO
from launch.events.process import ProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from sharpdepth_ros.node.launch_arguments import planned
from sharpdepth_ros.node.lifecycle_bond import manager_parameters

NODE = "sharpdepth"
#: Seconds after which the managers are started although no node has said that it is there.
PATIENCE = 60.0


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("sharpdepth_ros"))
    product = PythonLaunchDescriptionSource(str(share / "launch/sharpdepth.launch.py"))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file",
                default_value=str(share / "config/navigation.yaml"),
                description="YAML file with parameters of the node.",
            ),
            IncludeLaunchDescription(product, launch_arguments={"autostart": "false"}.items()),
            OpaqueFunction(function=_managers),
        ]
    )


def _managers(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """A lifecycle manager in the namespace of each node: a bond has the namespace's topic."""
    plan = planned(context.launch_configurations)
    try:
        get_package_prefix("nav2_lifecycle_manager")
    except PackageNotFoundError:
        return [
            LogInfo(
                msg="nav2_lifecycle_manager is not installed, so the node waits for "
                f"`ros2 lifecycle set {node.name} configure` and `... activate`"
            )
            for node in plan.nodes
        ]
    parameters, reason = manager_parameters([NODE])
    parameters["use_sim_time"] = plan.parameters.get("use_sim_time", False)
    managers = [
        Node(
            package="nav2_lifecycle_manager",
            executable="lifecycle_manager",
            name="lifecycle_manager_sharpdepth",
            namespace=node.namespace,
            parameters=[parameters],
            output="screen",
        )
        for node in plan.nodes
    ]
    return [LogInfo(msg=reason), *_when_nodes_are_there(managers)]


def _when_nodes_are_there(managers: list[Node]) -> list[LaunchDescriptionEntity]:
    """Starts the managers when all nodes have said that they are there.

    Up to Jazzy a manager waits 5 s for the services of a node, and then gives up for good; on a
    small computer the node needs longer for importing torch.
    """
    missing, waiting = len(managers), list(managers)

    def start(*_: LaunchContext) -> list[Node]:
        started = list(waiting)
        waiting.clear()
        return started

    def on_output(event: ProcessIO) -> list[Node]:
        nonlocal missing
        missing -= event.text.decode(errors="replace").count("state: unconfigured")
        return start() if missing <= 0 else []

    return [
        RegisterEventHandler(OnProcessIO(on_stdout=on_output, on_stderr=on_output)),
        TimerAction(period=PATIENCE, actions=[OpaqueFunction(function=start)]),
    ]
