# SPDX-License-Identifier: Apache-2.0
"""The bond to Nav2's lifecycle manager, by which it learns in seconds that the node has died.

nav2_lifecycle_manager has a bond with each node that it has activated. Both sides publish
bond/msg/Status on the topic `bond`, with the node's name as id and an identifier of their own; a
side that leaves says so, and one that is silent for longer than the manager's `bond_timeout` counts
as dead. The package bond, which has the message, comes with Nav2; without it there is no bond, and
the manager's bond_timeout has to be 0.

Imported by `ros2 launch` too: no torch, no rclpy.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode

TOPIC = "bond"
#: Seconds, as for Nav2's own nodes (nav2_util::LifecycleNode::createBond).
HEARTBEAT_PERIOD = 0.25
HEARTBEAT_TIMEOUT = 4.0
#: Seconds without an answer after which a bond is given up (bond/msg/Constants).
CONNECT_TIMEOUT = 10.0


def status_type() -> type | None:
    """bond.msg.Status; None if the package bond is not installed."""
    try:
        from bond.msg import Status
    except ImportError:
        return None
    return Status


def manager_parameters(node_names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a nav2_lifecycle_manager needs to bring up nodes of this package.

    Returns:
        Its parameters, and as a sentence whether it keeps bonds, and why not.
    """
    parameters = {"autostart": True, "node_names": list(node_names)}
    if status_type() is not None:
        reason = f"bond with the lifecycle manager: {HEARTBEAT_TIMEOUT} s of silence are a failure"
        return parameters | {"bond_timeout": HEARTBEAT_TIMEOUT}, reason
    return parameters | {"bond_timeout": 0.0}, (
        "bond.msg cannot be imported, so the lifecycle manager runs with bond_timeout 0.0 and does "
        "not notice if the node dies: install the package bond (apt install ros-$ROS_DISTRO-bond)"
    )


class BondState(enum.Enum):
    """States of one side of a bond."""

    WAITING = enum.auto()
    FORMED = enum.auto()
    ENDED = enum.auto()


class Bond:
    """The protocol of one side: from its start until either side ends it.

    Attributes:
        instance: identifies this side among those that use the bond's id.
        state: WAITING until the other side is heard.
    """

    def __init__(self) -> None:
        self.instance = str(uuid.uuid4())
        self.state = BondState.WAITING
        self._other: str | None = None
        self._beats = 0

    def beat(self) -> bool:
        """Counts a heartbeat. Returns False if the bond has ended and none is to be sent."""
        self._beats += 1
        waited = self._beats * HEARTBEAT_PERIOD
        if self.state is BondState.WAITING and waited > CONNECT_TIMEOUT:
            self.state = BondState.ENDED
        return self.state is not BondState.ENDED

    def hear(self, instance: str, active: bool) -> bool:
        """Takes a message with the bond's id.

        Returns:
            True if the end of the bond has to be acknowledged.
        """
        if self.state is BondState.ENDED or instance == self.instance:
            return False
        self._other = self._other or instance
        if instance != self._other:
            return False  # a third side: only the first one counts
        self.state = BondState.FORMED if active else BondState.ENDED
        return not active


class LifecycleBond:
    """Keeps a bond of a node while it is active. All methods run in the executor's thread.

    Heartbeats come from a timer of the node: if the executor hangs, the manager notices.
    """

    def __init__(self, node: LifecycleNode) -> None:
        """Makes the topic's endpoints, if the message is installed."""
        from rclpy.clock import Clock, ClockType

        self._node = node
        self._bond: Bond | None = None
        self._timer = self._publisher = self._subscription = None
        self._status = status_type()
        if self._status is None:
            return
        self._publisher = node.create_publisher(self._status, TOPIC, 5)
        self._subscription = node.create_subscription(self._status, TOPIC, self._hear, 100)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._timer = node.create_timer(HEARTBEAT_PERIOD, self._beat, clock=steady)
        self._timer.cancel()

    def begin(self) -> None:
        """Begins a bond, when the node becomes active."""
        if self._status is not None:
            self._bond = Bond()
            self._timer.reset()
            self._publish(active=True)

    def end(self) -> None:
        """Tells the other side that this one leaves."""
        if self._bond is not None:
            self._timer.cancel()
            self._publish(active=False)
            self._bond = None

    def destroy(self) -> None:
        """Ends the bond and removes the endpoints from the graph."""
        self.end()
        if self._status is not None:
            self._node.destroy_timer(self._timer)
            self._node.destroy_subscription(self._subscription)
            self._node.destroy_publisher(self._publisher)
            self._status = None

    def _beat(self) -> None:
        if self._bond is not None and self._bond.beat():
            self._publish(active=True)
        else:
            self._timer.cancel()

    def _hear(self, message: Any) -> None:
        if self._bond is None or message.id != self._node.get_name():
            return
        before = self._bond.state
        if self._bond.hear(message.instance_id, message.active):
            self._publish(active=False)
        if self._bond.state is not before:
            what = "formed" if self._bond.state is BondState.FORMED else "ended by the manager"
            self._node.get_logger().info(f"bond with the lifecycle manager: {what}")

    def _publish(self, active: bool) -> None:
        message = self._status(
            id=self._node.get_name(),
            instance_id=self._bond.instance,
            active=active,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            heartbeat_period=HEARTBEAT_PERIOD,
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
