# SPDX-License-Identifier: Apache-2.0
"""Sharp metric depth of one camera, or of several.

ros2 launch sharpdepth_ros sharpdepth.launch.py image:=/camera/image_raw
ros2 launch sharpdepth_ros sharpdepth.launch.py cameras:=front,left image:=image_raw
"""

from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from sharpdepth_ros.messages.topics import CAMERA_INFO, IMAGE, OUTPUTS
from sharpdepth_ros.node.fastdds import PROFILE, large_message_environment, memory_environment
from sharpdepth_ros.node.launch_arguments import ARGUMENTS, argument_descriptions, planned


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    # Empty stands for not given: then params_file decides, and without it the node's default.
    parameters = [
        DeclareLaunchArgument(name, default_value="", description=description)
        for name, description in argument_descriptions().items()
    ]
    return LaunchDescription([*declared, *parameters, OpaqueFunction(function=_launch)])


def _launch(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    plan = planned(context.launch_configurations)
    share = Path(get_package_share_directory("sharpdepth_ros"))
    actions: list[LaunchDescriptionEntity] = [LogInfo(msg=remark) for remark in plan.remarks]
    if plan.large_messages:
        variables, reason = large_message_environment(share / PROFILE)
        actions.append(LogInfo(msg=reason))
        variables |= memory_environment()
        actions += [SetEnvironmentVariable(name, text) for name, text in variables.items()]
    files = [] if plan.params_file is None else [str(plan.params_file)]
    log_level = LaunchConfiguration("log_level").perform(context)
    for node in plan.nodes:
        actions.append(
            Node(
                package="sharpdepth_ros",
                executable="sharpdepth_node",
                name="sharpdepth",
                namespace=node.namespace,
                parameters=[*files, plan.parameters] if plan.parameters else files,
                remappings=[(IMAGE, node.image), (CAMERA_INFO, node.camera_info)],
                ros_arguments=["--log-level", log_level],
                output="screen",
                emulate_tty=True,
            )
        )
    if plan.rviz:
        frame = LaunchConfiguration("rviz_frame").perform(context)
        actions.append(_rviz(share, plan.nodes[0].namespace, frame))
    return actions


def _rviz(share: Path, namespace: str, frame: str) -> LaunchDescriptionEntity:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return LogInfo(msg="rviz2 is not installed: nothing is shown")
    root = f"/{namespace.strip('/')}".rstrip("/")
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(share / "config/sharpdepth.rviz"), "-f", frame],
        remappings=[(f"/{topic}", f"{root}/{topic}") for topic in OUTPUTS],
        output="log",
    )
