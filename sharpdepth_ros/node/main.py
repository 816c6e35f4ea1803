# SPDX-License-Identifier: Apache-2.0
"""The executable: spins the node until a signal or the end of the context."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from sharpdepth_ros.entry import let_waiting_threads_sleep
from sharpdepth_ros.node.ros_context import first_node, join_ros
from sharpdepth_ros.node.shutdown import EndRequest, spin
from sharpdepth_ros.node.start_arguments import checked, help_text, ignored, wants_help

if TYPE_CHECKING:
    from sharpdepth_ros.node.sharpdepth_node import SharpDepthNode

#: Seconds that a frame in work may take to end after a signal; then the process ends without it.
_PATIENCE = 1.0
#: Seconds after a signal in which the process is over in any case.
_DEADLINE = 1.8


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the node; ends the process."""
    if wants_help(sys.argv[1:] if arguments is None else arguments):
        print(help_text())
        sys.exit(0)
    let_waiting_threads_sleep()
    end = EndRequest(_DEADLINE)
    # Importing torch takes a second or more, and nothing is there yet that has to be closed.
    end.call(lambda: os._exit(0))
    from sharpdepth_ros.node.sharpdepth_node import SharpDepthNode

    run(SharpDepthNode, arguments, end)


def run(
    make_node: Callable[[], SharpDepthNode],
    arguments: Sequence[str] | None = None,
    end: EndRequest | None = None,
) -> NoReturn:
    """Makes a node and spins it until a signal or the end of the context; ends the process."""
    import rclpy

    end = end or EndRequest(_DEADLINE)
    end.call(None)
    status = _live(make_node, arguments, end)
    # Not rclpy.try_shutdown: that puts back handlers which were never replaced, and for a moment
    # the default ones with them.
    context = rclpy.get_default_context()
    context.try_shutdown()
    context.destroy()
    # Not through the interpreter's own ending: that cannot pass a frame still in work, and takes
    # torch another second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _live(
    make_node: Callable[[], SharpDepthNode], arguments: Sequence[str] | None, end: EndRequest
) -> int:
    """The life of the node. Returns the process's exit status."""
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    given = sys.argv if arguments is None else ["", *arguments]
    try:
        join_ros([given[0], *checked(given[1:])])
        with first_node():
            node = make_node()
    except (
        InvalidParameterTypeException,
        InvalidParameterValueException,
        ValueError,
        FileNotFoundError,
    ) as error:
        print(f"sharpdepth: cannot start: {error}", file=sys.stderr)
        return 2
    threading.excepthook = node.thread_ended
    for sentence in ignored(given[1:], node.get_fully_qualified_name(), node.has_parameter):
        node.get_logger().warning(sentence)
    spin(node, end, node.interrupt)
    node.close(_PATIENCE)
    # Also with a thread that did not end: only this removes Fast DDS 2's segment in /dev/shm.
    node.destroy_node()
    return 0


if __name__ == "__main__":
    main()
