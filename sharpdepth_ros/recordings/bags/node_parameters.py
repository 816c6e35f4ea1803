# SPDX-License-Identifier: Apache-2.0
"""The node's parameters from a command line and from the YAML files that the node takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from sharpdepth_ros.processing.parameter_files import Overrides
from sharpdepth_ros.processing.parameters import SPECS, Parameters


def read_parameters(
    files: Iterable[Path],
    assignments: Iterable[str],
    namespaces: Iterable[str] = ("",),
    warn: Callable[[str], None] = lambda sentence: None,
) -> Parameters:
    """The parameters that the node would have if it were started like this.

    Args:
        files: parameter files of ROS.
        assignments: NAME=VALUE or, as after ros2's -p, NAME:=VALUE.
        namespaces: where the node would be started, for each camera once.
        warn: told of parameters in files that the node does not have, which it ignores.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a value is not allowed, a file is for other nodes, an assignment names no
            parameter, or the cameras differ.
    """
    nodes = [f"/{namespace.strip('/')}".rstrip("/") + "/sharpdepth" for namespace in namespaces]
    overrides, assigned = Overrides(), Overrides()
    for file in files:
        overrides.add_file(file.expanduser())
    for sentence in dict.fromkeys(s for node in nodes for s in overrides.unknown(node)):
        warn(sentence)
    for text in assignments:
        assigned.add_rule(text)
        overrides.add_rule(text)
    if strange := overrides.unaddressed(nodes):
        raise ValueError(f"{'; '.join(strange)} (sharpdepth bag --namespace)")
    if unknown := assigned.of(nodes[0]).keys() - SPECS.keys():
        raise ValueError(
            f"there is no parameter {', '.join(sorted(unknown))}; the node has {', '.join(SPECS)}"
        )
    first, *others = (overrides.parameters(node) for node in nodes)
    for node, parameters in zip(nodes[1:], others, strict=True):
        names = [name for name in SPECS if getattr(first, name) != getattr(parameters, name)]
        if names:
            raise ValueError(
                f"{nodes[0]} and {node} differ in {', '.join(names)}: run each camera by itself"
            )
    return first
