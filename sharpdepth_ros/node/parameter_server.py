# SPDX-License-Identifier: Apache-2.0
"""Declares the parameter table on a node and keeps a checked snapshot of its values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from sharpdepth_ros.node.ros_compat import on_parameters_set
from sharpdepth_ros.node.start_arguments import started_with
from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, Parameters, Spec, of_type


class ParameterServer:
    """The node's parameters as ROS sees them.

    Attributes:
        values: the current values; one immutable object, replaced as a whole, so that any thread
            may read it at any time and sees one consistent set.

    Raises:
        ValueError: a value given at start is out of range or does not fit the others.
    """

    def __init__(
        self, node: Node, is_active: Callable[[], bool], on_change: Callable[[], None]
    ) -> None:
        self._is_active, self._on_change = is_active, on_change
        given = {name: value_at_start(node, name, default) for name, default in DEFAULTS.items()}
        retyped = started_with(sys.argv).retyped(node.get_fully_qualified_name())
        given |= {name: value for name, value in retyped.items() if name in DEFAULTS}
        self.values = Parameters().changed(given)
        for name, default in DEFAULTS.items():
            descriptor, value = _descriptor(SPECS[name], default), getattr(self.values, name)
            node.declare_parameter(name, value, descriptor, ignore_override=True)
        on_parameters_set(node, self._validate, self._commit)

    def set_atomically(
        self,
        parameters: Sequence[Parameter],
        proceed: Callable[[list[Parameter]], SetParametersResult],
    ) -> SetParametersResult:
        """Sets parameters as `Node.set_parameters_atomically` does, which is `proceed`.

        rclpy compares types and ranges before it asks `_validate`; the table takes more (an integer
        for a double) and says more.
        """
        parameters = [
            Parameter(p.name, value=of_type(DEFAULTS[p.name], p.value)) if p.name in SPECS else p
            for p in parameters
        ]
        result = self._validate(parameters)
        return proceed(parameters) if result.successful else result

    def _validate(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes = _ours(parameters)
        try:
            values = self.values.changed(changes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        reload = values.reload_needed(self.values)
        if reload and self._is_active():
            return SetParametersResult(
                successful=False,
                reason=f"{', '.join(reload)} cannot change while the node is active: "
                "deactivate it, set the parameter, activate it again",
            )
        return SetParametersResult(successful=True)

    def _commit(self, parameters: Sequence[Parameter]) -> None:
        self.values = self.values.changed(_ours(parameters))
        self._on_change()


def value_at_start(node: Node, name: str, default: Any) -> Any:
    """The value that a parameter is started with, of whatever type; an integer as a double.

    Leaves the parameter undeclared.
    """
    any_type = ParameterDescriptor(dynamic_typing=True)
    value = node.declare_parameter(name, default, any_type).value
    node.undeclare_parameter(name)
    return of_type(default, value)


def _ours(parameters: Sequence[Parameter]) -> dict[str, object]:
    """The parameters of the table among those of a call (use_sim_time and others are not)."""
    return {p.name: p.value for p in parameters if p.name in SPECS}


def _descriptor(spec: Spec, default: object) -> ParameterDescriptor:
    notes = []
    if spec.choices:
        notes.append("One of: " + ", ".join(spec.choices) + ".")
    if spec.reload:
        notes.append("Refused while the node is active.")
    descriptor = ParameterDescriptor(
        description=spec.description,
        additional_constraints=" ".join(notes),
        read_only=spec.startup,
    )
    if isinstance(default, float) and spec.low is not None:
        descriptor.floating_point_range.append(
            FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high), step=0.0)
        )
    elif type(default) is int and spec.low is not None:
        descriptor.integer_range.append(
            IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)
        )
    return descriptor
