# SPDX-License-Identifier: Apache-2.0
"""The node on a camera without hardware: synthetic scenes, or the images of a folder.

    ros2 launch sharpdepth_ros demo.launch.py
    ros2 launch sharpdepth_ros demo.launch.py images:=/path/to/folder intrinsics:=fx,fy,cx,cy

Takes the arguments of sharpdepth.launch.py as well.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from sharpdepth_ros.messages.topics import CAMERA_INFO, IMAGE
from sharpdepth_ros.node.launch_arguments import CAMERA_ARGUMENTS, camera_parameters, planned


def generate_launch_description() -> LaunchDescription:
    product = Path(get_package_share_directory("sharpdepth_ros")) / "launch/sharpdepth.launch.py"
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, _, description) in CAMERA_ARGUMENTS.items()
            ),
            DeclareLaunchArgument(
                "rviz", default_value="true", description="Show the outputs in rviz2."
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(product))),
            OpaqueFunction(function=_cameras),
        ]
    )


def _cameras(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    parameters = camera_parameters(context.launch_configurations)
    return [
        Node(
            package="sharpdepth_ros",
            executable="sharpdepth_camera",
            name="camera",
            namespace=node.namespace,
            parameters=[parameters | {"seed": seed}],
            remappings=[(IMAGE, node.image), (CAMERA_INFO, node.camera_info)],
            output="screen",
        )
        for seed, node in enumerate(planned(context.launch_configurations).nodes)
    ]
