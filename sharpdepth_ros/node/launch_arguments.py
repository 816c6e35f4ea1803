# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: their arguments, and the check of them.

Imported by `ros2 launch` with the system's Python: no torch, no rclpy.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpdepth_ros.messages.topics import CAMERA_INFO, IMAGE, camera_info_beside
from sharpdepth_ros.processing.parameter_docs import allowed, literal
from sharpdepth_ros.processing.parameter_files import Overrides
from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, checked

#: Argument of sharpdepth.launch.py -> its default, and its description.
ARGUMENTS = {
    "image": ("image", "Topic of the images; a relative name is in the camera's namespace."),
    "camera_info": (
        "",
        "Topic of the camera_info; a relative name is in the camera's namespace. Empty: "
        "camera_info in the namespace of the image's topic.",
    ),
    "namespace": ("", "Namespace of the node and its outputs."),
    "cameras": (
        "",
        "Several cameras, as in front,left or robot/front,/other/rear: one node each, in "
        "namespaces of these names, below namespace unless they begin with a slash.",
    ),
    "params_file": ("", "YAML file with parameters, such as config/sharpdepth.yaml."),
    "use_sim_time": (
        "",
        "Take the time from /clock: true or false. Empty: as params_file says, otherwise false.",
    ),
    "log_level": ("info", "Least severe messages to log: debug, info, warn, error or fatal."),
    "large_messages": (
        "true",
        "Set config/fastdds_large_messages.xml, if Fast DDS is used and not configured otherwise, "
        "and keep the memory of messages: true or false.",
    ),
    "rviz": ("false", "Show the outputs of the (first) camera in rviz2: true or false."),
    "rviz_frame": ("camera_optical_frame", "Fixed frame of rviz2: the image's frame_id."),
}

#: Argument of demo.launch.py -> its default, its type, and its description.
CAMERA_ARGUMENTS: dict[str, tuple[str, type, str]] = {
    "images": ("", str, "Folder of images to publish in a loop; empty: synthetic scenes."),
    "intrinsics": ("", str, "Camera of that folder: fx,fy,cx,cy in pixels, or a file."),
    "width": ("320", int, "Width of the synthetic camera in pixels."),
    "height": ("240", int, "Height of the synthetic camera in pixels."),
    "rate": ("10.0", float, "Images per second."),
    "scene": ("room", str, "Synthetic scenes: room, corridor, street, shapes or random."),
}

_LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
_NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
_TOPIC = re.compile(r"(~?/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def argument_descriptions() -> dict[str, str]:
    """A description for the launch argument of each parameter."""
    return {
        name: f"{spec.description} Default {literal(DEFAULTS[name])}"
        + (f"; {allowed(spec)}." if allowed(spec) else ".")
        for name, spec in SPECS.items()
    }


def parameters_from_text(texts: Mapping[str, str]) -> dict[str, Any]:
    """Launch arguments to typed parameter values; those that are empty were not given.

    Raises:
        ValueError: a text is no value of its parameter.
    """
    return {name: checked(name, _parse(name, text)) for name, text in texts.items() if text != ""}


def _parse(name: str, text: str) -> Any:
    kind = type(DEFAULTS[name])
    if kind is bool:
        return _truth(name, text)
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None


@dataclass(frozen=True)
class CameraNode:
    """A node that is to be started.

    Attributes:
        name: fully qualified.
        namespace: as launch_ros takes it, relative to a group's unless it begins with a slash.
        image: topic of its camera's images.
        camera_info: topic of their camera_info.
    """

    name: str
    namespace: str
    image: str
    camera_info: str


@dataclass(frozen=True)
class Plan:
    """What the arguments of sharpdepth.launch.py stand for.

    Attributes:
        nodes: one for each camera.
        params_file: of all nodes; None if there is none.
        parameters: those given as arguments, which win over the file.
        large_messages: whether to make room for large messages.
        rviz: whether to start rviz2.
        remarks: sentences for the user.
    """

    nodes: list[CameraNode]
    params_file: Path | None
    parameters: dict[str, Any]
    large_messages: bool
    rviz: bool
    remarks: list[str]


def planned(texts: Mapping[str, str]) -> Plan:
    """Checks the arguments of sharpdepth.launch.py before anything starts.

    Args:
        texts: every argument of ARGUMENTS and every parameter; others, which may be those of a
            launch file that includes this one, are looked at for misspelt names.

    Raises:
        FileNotFoundError: params_file is not there.
        ValueError: an argument or a value in params_file is not valid, or has no effect.
    """
    parameters = parameters_from_text({name: texts[name] for name in SPECS})
    if texts["use_sim_time"] != "":
        parameters["use_sim_time"] = _truth("use_sim_time", texts["use_sim_time"])
    large_messages = _truth("large_messages", texts["large_messages"])
    rviz = _truth("rviz", texts["rviz"])
    level = texts["log_level"].rpartition(":=")[2]
    if level.lower() not in _LOG_LEVELS:
        raise ValueError(f"log_level must be one of {', '.join(_LOG_LEVELS)}, got {level!r}")
    nodes, remarks = _camera_nodes(texts)
    file = Path(texts["params_file"]).expanduser() if texts["params_file"] else None
    remarks += _check_parameters(file, nodes, parameters)
    for name in texts.keys() - ARGUMENTS.keys() - SPECS.keys() - CAMERA_ARGUMENTS.keys():
        if guess := difflib.get_close_matches(name, [*ARGUMENTS, *SPECS], n=1, cutoff=0.75):
            remarks.append(
                f"{name}:={texts[name]} is no argument of sharpdepth.launch.py; did you mean "
                f"{guess[0]}?"
            )
    return Plan(nodes, file, parameters, large_messages, rviz, remarks)


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name} must be true or false, got {text!r}")
    return text.lower() == "true"


def _camera_nodes(texts: Mapping[str, str]) -> tuple[list[CameraNode], list[str]]:
    """The nodes of the cameras, and what is to be said of their topics."""
    image, info, remarks = texts["image"], texts["camera_info"], []
    for argument, topic in (("image", image), ("camera_info", info or CAMERA_INFO)):
        if not _TOPIC.fullmatch(topic):
            raise ValueError(
                f"{argument}:={topic} is no name of a topic, such as /camera/image_raw: letters, "
                "digits and underscores between slashes, no digit first"
            )
    if not info:
        info = camera_info_beside(image)
        if image != IMAGE:
            remarks.append(f"camera_info is not given: it is {info}, beside the image {image}")
    namespaces = camera_namespaces(texts["cameras"], texts["namespace"])
    if len(namespaces) > 1 and any(topic.startswith("/") for topic in (image, info)):
        raise ValueError(
            f"image {image} and camera_info {info} must be relative names when there are several "
            "cameras: each is looked up in its camera's namespace"
        )
    group = texts.get("ros_namespace", "")  # of launch_ros' PushRosNamespace
    return [
        CameraNode(_node_name(namespace, group), namespace, image, info) for namespace in namespaces
    ], remarks


def _node_name(namespace: str, group: str) -> str:
    absolute = namespace if namespace.startswith("/") else f"{group}/{namespace}"
    return f"/{absolute.strip('/')}".rstrip("/") + "/sharpdepth"


def camera_namespaces(cameras: str, namespace: str) -> list[str]:
    """The namespaces of the nodes: of one, or of one for each camera of a comma-separated list.

    A camera's name may be nested (front/left); one that begins with a slash is not put into
    `namespace`.

    Raises:
        ValueError: a name cannot be a namespace, or is there twice.
    """
    names = [name.strip() for name in cameras.split(",") if name.strip()]
    for what, name in [("namespace", namespace), *(("camera", name) for name in names)]:
        if name.strip("/") and not _NAMESPACE.fullmatch(name):
            raise ValueError(
                f"{what} {name!r} cannot be a namespace: letters, digits and underscores between "
                "slashes, no digit first"
            )
    namespaces = [posixpath.join(namespace, name).rstrip("/") for name in names]
    if len({name.strip("/") for name in namespaces}) != len(names):
        raise ValueError(f"a camera is named twice: {cameras}")
    return namespaces or [namespace]


def _check_parameters(
    file: Path | None, nodes: list[CameraNode], parameters: dict[str, Any]
) -> list[str]:
    """What is to be said of the parameters of the file and the arguments."""
    overrides, remarks = Overrides(), []
    if file is not None:
        overrides.add_file(file)
    if strange := overrides.unaddressed([node.name for node in nodes]):
        raise ValueError(f"params_file {strange[0]}")
    for node in nodes:
        try:
            for name, value in overrides.of(node.name).items():
                if name in SPECS:
                    checked(name, value)
        except ValueError as error:
            raise ValueError(f"params_file {file}: {error}") from error
        remarks += overrides.unknown(node.name)
        # launch_ros writes them to a file that addresses this node by its name.
        overrides.add("the launch arguments", {node.name: parameters})
        given = overrides.of(node.name)
        for name, value in parameters.items():
            if given[name] != value:
                raise ValueError(
                    f"{name}:={value} has no effect, because {file} addresses {node.name} by its "
                    f"full name and sets {name} again below that, under a wildcard: write the "
                    "wildcard first"
                )
        transport = overrides.parameters(node.name).image_transport
        if node.image.endswith("/compressed") and transport != "compressed":
            remarks.append(f"image:={node.image} most likely needs image_transport:=compressed")
    return list(dict.fromkeys(remarks))


def camera_parameters(texts: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of the demo camera from the arguments of demo.launch.py.

    Raises:
        FileNotFoundError: the folder of images is not there.
        ValueError: a text is not a number where one is meant.
    """
    values: dict[str, Any] = {}
    for name, (_, kind, _) in CAMERA_ARGUMENTS.items():
        try:
            values[name] = kind(texts[name])
        except ValueError:
            raise ValueError(f"{name} must be a number, got {texts[name]!r}") from None
    if values["images"]:
        folder = Path(values["images"]).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"images:={folder} is no folder")
        values["images"] = str(folder)
    return values
