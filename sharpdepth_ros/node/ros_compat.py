# SPDX-License-Identifier: Apache-2.0
"""What differs between the ROS 2 distributions that the node runs on: Humble, Jazzy and Kilted.

Every difference is found by its feature, never by the name of a distribution, and no other module
of the node has one (test/test_humble_api.py). Nothing of ROS is imported until it is asked
for: the launch files use this module too.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifecycle_msgs.srv import ChangeState
    from rcl_interfaces.msg import SetParametersResult
    from rclpy.lifecycle import LifecycleNode
    from rclpy.node import Node
    from rclpy.parameter import Parameter

#: Seconds between two looks at the publishers of a topic where rclpy reports no matches.
_POLL = 0.5
#: By the library of Fast DDS that is installed: 3, and 2.
_PROFILES_VARIABLES = {
    "libfastdds": "FASTDDS_DEFAULT_PROFILES_FILE",
    "libfastrtps": "FASTRTPS_DEFAULT_PROFILES_FILE",
}


def serve_change_state(
    node: LifecycleNode,
    callback: Callable[
        [Callable[..., ChangeState.Response], ChangeState.Request, ChangeState.Response],
        ChangeState.Response,
    ],
) -> None:
    """Has `callback` answer the requests for transitions. It gets rclpy's own handler first.

    That handler refuses a transition that the state does not allow. Up to Jazzy (rclpy 7), it
    raises RCLError out of the executor instead, which ends the node (mended by ros2/rclpy#1319).
    """
    from lifecycle_msgs.srv import ChangeState
    from rclpy.impl.implementation_singleton import rclpy_implementation

    service = next(service for service in node.services if service.srv_type is ChangeState)
    change_state = service.callback

    def attempt(
        request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            return change_state(request, response)
        except rclpy_implementation.RCLError as error:
            reason = str(error).partition(", at ")[0]  # the rest is a place in rcl's sources
            node.get_logger().error(f"transition {request.transition.id} is refused: {reason}")
            response.success = False
            return response

    service.callback = lambda request, response: callback(attempt, request, response)


def on_parameters_set(
    node: Node,
    validate: Callable[[Sequence[Parameter]], SetParametersResult],
    commit: Callable[[Sequence[Parameter]], None],
) -> None:
    """Has `validate` judge parameters before they are set, and `commit` told after that.

    Humble's rclpy has no callback for afterwards (ros2/rclpy#966 brought it). There the commit
    comes from the executor, with all that has been set since the last.
    """
    if hasattr(node, "add_post_set_parameters_callback"):
        node.add_on_set_parameters_callback(validate)
        node.add_post_set_parameters_callback(commit)
        return
    names: dict[str, None] = {}

    def commit_what_was_set() -> None:
        changed, _ = list(names), names.clear()
        commit([node.get_parameter(name) for name in changed if node.has_parameter(name)])

    was_set = node.create_guard_condition(commit_what_was_set)

    def validate_and_remember(parameters: Sequence[Parameter]) -> SetParametersResult:
        result = validate(parameters)
        if result.successful:
            names.update(dict.fromkeys(parameter.name for parameter in parameters))
            was_set.trigger()
        return result

    node.add_on_set_parameters_callback(validate_and_remember)


class MatchEvents:
    """Tells when publishers come to a subscription or go.

    Where rclpy has no matched event (Humble; ros2/rclpy#1083) or the RMW has none, a timer does.
    """

    def __init__(self, node: Node, on_change: Callable[[], None]) -> None:
        SubscriptionEventCallbacks, _ = _events()
        self._node, self._on_change, self._timer = node, on_change, None
        known = inspect.signature(SubscriptionEventCallbacks).parameters
        events = {"matched", "incompatible_qos"} & set(known)
        self._callbacks = SubscriptionEventCallbacks(**dict.fromkeys(events, lambda _: on_change()))
        if "matched" not in known:
            self._poll()

    def create_subscription(self, *arguments: Any, **keywords: Any) -> Any:
        """The node's subscription, with these events."""
        _, UnsupportedEventTypeError = _events()
        try:
            return self._node.create_subscription(
                *arguments, event_callbacks=self._callbacks, **keywords
            )
        except UnsupportedEventTypeError:
            self._poll()
            return self._node.create_subscription(*arguments, **keywords)

    def destroy(self) -> None:
        """Ends the telling."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)

    def _poll(self) -> None:
        from rclpy.clock import Clock, ClockType

        if self._timer is None:
            # Not on the ROS clock: in simulation that may not run yet.
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = self._node.create_timer(_POLL, self._on_change, clock=steady)


def _events() -> tuple[type, type[Exception]]:
    """rclpy's container of a subscription's events, and what an RMW without one raises."""
    try:
        from rclpy import event_handler as events
    except ImportError:  # Humble calls it so
        from rclpy import qos_event as events
    return events.SubscriptionEventCallbacks, events.UnsupportedEventTypeError


def fastdds_profiles_variable(environment: Mapping[str, str] = os.environ) -> str:
    """The environment variable that tells the installed Fast DDS the file of its profiles.

    Fast DDS 2 (Humble, Jazzy) reads one name, Fast DDS 3 (Kilted) another, and warns of the first.
    The library's name changed with them; it decides, because ROS_DISTRO says nothing of wheels.
    """
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for prefix in [Path(prefix) for prefix in prefixes if prefix] + [Path(sys.prefix)]:
        for library, variable in _PROFILES_VARIABLES.items():
            if any(prefix.glob(f"lib/{library}.so*")) or any(prefix.glob(f"lib/*/{library}.so*")):
                return variable
    return _PROFILES_VARIABLES["libfastdds"]
