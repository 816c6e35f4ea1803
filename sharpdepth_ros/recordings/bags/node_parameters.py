# SPDX-License-Identifier: Apache-2.0
"""The node's parameters from a command line and from the YAML files that the node takes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from sharpdepth_ros.node.parameters import DEFAULTS, SPECS, Parameters

#: The names by which a parameter file may address the node.
_NODE_NAMES = ("/**", "sharpdepth", "/sharpdepth")
#: What rclpy declares besides the table.
_OF_ROS = ("use_sim_time", "start_type_description_service")


def read_parameters(files: Iterable[Path], assignments: Iterable[str]) -> Parameters:
    """The parameters that the node would have if it were started like this.

    Args:
        files: parameter files of ROS; later ones win.
        assignments: NAME=VALUE or, as after ros2's -p, NAME:=VALUE; they win over files.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a name is not known or a value not allowed.
    """
    values: dict[str, Any] = {}
    for file in files:
        values |= _read_file(file)
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.removesuffix(":").strip()
        if not (name and equals):
            raise ValueError(f"{text!r} is not NAME=VALUE, such as point_stride=2")
        string = isinstance(DEFAULTS.get(name), str)
        try:
            values[name] = value if string else yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"{text!r}: the value is not plain YAML: {error}") from error
    unknown = values.keys() - SPECS.keys()
    if unknown:
        raise ValueError(
            f"there is no parameter {', '.join(sorted(unknown))}; the node has {', '.join(SPECS)}"
        )
    for name, value in values.items():
        if isinstance(DEFAULTS[name], float) and type(value) is int:
            values[name] = float(value)
    return Parameters().changed(values)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text())
        sections = [tree[name]["ros__parameters"] for name in _NODE_NAMES if name in tree]
        values = {name: value for section in sections for name, value in section.items()}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is not a parameter file of ROS: {error}") from error
    if not sections:
        raise ValueError(f"{file} has no parameters for {' or '.join(_NODE_NAMES)}")
    return {
        name: value
        for name, value in values.items()
        if name not in _OF_ROS and not name.startswith("qos_overrides")
    }
