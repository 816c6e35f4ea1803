# SPDX-License-Identifier: Apache-2.0
"""The executable: spins the node until a signal or the end of the context."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

if TYPE_CHECKING:
    from sharpdepth_ros.node.sharpdepth_node import SharpDepthNode

#: Seconds that a frame in work may take to end after SIGINT; then the process ends without it.
_PATIENCE = 1.0


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the node; ends the process."""
    # Importing torch takes a second or more, and nothing is there yet that has to be ended.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    from sharpdepth_ros.node.sharpdepth_node import SharpDepthNode

    run(SharpDepthNode, arguments)


def run(
    make_node: Callable[[], SharpDepthNode], arguments: Sequence[str] | None = None
) -> NoReturn:
    """Makes a node and spins it until a signal or the end of the context; ends the process."""
    # rclpy shuts the context down on SIGINT as on SIGTERM. Python's own answer, an exception
    # wherever the program happens to be, comes twice under ros2 launch (from the terminal and from
    # launch) and the second time breaks the ending.
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    rclpy.init(args=arguments)
    if interrupted.is_set():  # before rclpy was there to hear it
        rclpy.shutdown()
    status = _spin(make_node)
    # What is left of the node holds the DDS participant, and that its shared memory files.
    gc.collect()
    rclpy.try_shutdown()
    rclpy.get_default_context().destroy()
    # Not through the interpreter's own ending: that cannot pass a frame still in work, and takes
    # torch another second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _spin(make_node: Callable[[], SharpDepthNode]) -> int:
    """The life of the node. Returns the process's exit status."""
    try:
        node = make_node()
    except (InvalidParameterTypeException, InvalidParameterValueException, ValueError) as error:
        print(f"sharpdepth: cannot start: {error}", file=sys.stderr)
        return 2
    except Exception:
        if rclpy.ok():
            raise
        return 0  # interrupted on the way
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()
    if node.close(_PATIENCE):
        executor.shutdown()
        node.destroy_node()
    return 0


if __name__ == "__main__":
    main()
