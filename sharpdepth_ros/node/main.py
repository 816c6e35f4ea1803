# SPDX-License-Identifier: Apache-2.0
"""The executable: spins the node until a signal or the end of the context."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ROSInterruptException,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from sharpdepth_ros.node.sharpdepth_node import SharpDepthNode

#: Seconds that a frame in work may take to end after SIGINT; then the process ends without it.
_PATIENCE = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the node. Returns the process's exit status."""
    return run(SharpDepthNode, arguments)


def run(make_node: Callable[[], SharpDepthNode], arguments: Sequence[str] | None = None) -> int:
    """Makes a node and spins it until a signal or the end of the context."""
    rclpy.init(args=arguments)
    try:
        node = make_node()
    except (InvalidParameterTypeException, InvalidParameterValueException, ValueError) as error:
        print(f"sharpdepth: cannot start: {error}", file=sys.stderr)
        rclpy.shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException, ROSInterruptException):
        executor.spin()
    ended = node.close(_PATIENCE)
    if not ended:
        # A network cannot be interrupted in the middle, and the interpreter cannot end under it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
