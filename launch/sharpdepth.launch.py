# SPDX-License-Identifier: Apache-2.0
"""Sharp metric depth of one camera, or of several.

    ros2 launch sharpdepth_ros sharpdepth.launch.py image:=/camera/image_raw \
        camera_info:=/camera/camera_info
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

from sharpdepth_ros.node.launching import (
    PROFILE,
    argument_descriptions,
    camera_names,
    large_message_environment,
    memory_environment,
    parameters_from_text,
)
from sharpdepth_ros.node.topics import CAMERA_INFO, IMAGE, OUTPUTS

ARGUMENTS = {
    "image": ("image", "Topic of the image; relative names are in the camera's namespace."),
    "camera_info": ("camera_info", "Topic of its camera_info, likewise."),
    "namespace": ("", "Namespace of the node and of its outputs."),
    "cameras": (
        "",
        "Several cameras, as front,left: one node each, in namespaces of these names.",
    ),
    "params_file": ("", "YAML file with parameters, as config/sharpdepth.yaml."),
    "use_sim_time": ("false", "Take the time from /clock."),
    "log_level": ("info", "debug, info, warn or error."),
    "large_messages": (
        "true",
        "Set config/fastdds_large_messages.xml, if Fast DDS is used and not configured otherwise, "
        "and keep the memory of messages.",
    ),
    "rviz": ("false", "Show the outputs of the (first) camera in rviz2."),
    "rviz_frame": ("camera_optical_frame", "Fixed frame of rviz2: the image's frame_id."),
}


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
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    share = Path(get_package_share_directory("sharpdepth_ros"))
    actions: list[LaunchDescriptionEntity] = []
    if value("large_messages") == "true":
        variables, reason = large_message_environment(share / PROFILE)
        actions.append(LogInfo(msg=reason))
        variables |= memory_environment()
        actions += [SetEnvironmentVariable(name, text) for name, text in variables.items()]

    given = parameters_from_text({name: value(name) for name in argument_descriptions()})
    given["use_sim_time"] = value("use_sim_time") == "true"
    files = [value("params_file")] if value("params_file") else []
    names = camera_names(value("cameras"))
    if len(names) > 1 and any(value(t).startswith("/") for t in ("image", "camera_info")):
        raise ValueError(
            f"image {value('image')} and camera_info {value('camera_info')} must be relative names "
            "when there are several cameras: each is looked up in its camera's namespace"
        )
    namespaces = [f"{value('namespace')}/{name}" for name in names] or [value("namespace")]
    for namespace in namespaces:
        actions.append(
            Node(
                package="sharpdepth_ros",
                executable="sharpdepth_node",
                name="sharpdepth",
                namespace=namespace,
                parameters=[*files, given],
                remappings=[
                    (IMAGE, value("image")),
                    (CAMERA_INFO, value("camera_info")),
                ],
                ros_arguments=["--log-level", value("log_level")],
                output="screen",
                emulate_tty=True,
            )
        )
    if value("rviz") == "true":
        actions.append(_rviz(share, namespaces[0], value("rviz_frame")))
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
