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
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CAMERA_ARGUMENTS = {
    "images": ("", str, "Folder of images to publish in a loop; empty: synthetic scenes."),
    "intrinsics": ("", str, "Camera of that folder: fx,fy,cx,cy in pixels, or a file."),
    "width": ("320", int, "Width of the synthetic camera in pixels."),
    "height": ("240", int, "Height of the synthetic camera in pixels."),
    "rate": ("10.0", float, "Images per second."),
    "scene": ("room", str, "Synthetic scenes: room, corridor, street, shapes or random."),
}


def generate_launch_description() -> LaunchDescription:
    product = Path(get_package_share_directory("sharpdepth_ros")) / "launch/sharpdepth.launch.py"
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, _, description) in CAMERA_ARGUMENTS.items()
            ),
            DeclareLaunchArgument("rviz", default_value="true", description="Show it in rviz2."),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(product))),
            OpaqueFunction(function=_camera),
        ]
    )


def _camera(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    return [
        Node(
            package="sharpdepth_ros",
            executable="sharpdepth_camera",
            name="camera",
            namespace=value("namespace"),
            parameters=[
                {name: kind(value(name)) for name, (_, kind, _) in CAMERA_ARGUMENTS.items()}
            ],
            remappings=[(topic, value(topic)) for topic in ("image", "camera_info")],
            output="screen",
        )
    ]
