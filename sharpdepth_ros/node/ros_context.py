# SPDX-License-Identifier: Apache-2.0
"""Joins the ROS graph, or says in a sentence why that cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

HIGHEST_DOMAIN = 232
"""The last domain whose UDP ports exist (OMG DDSI-RTPS 2.2, 9.6.1.1). Fast DDS ends the process
beyond it."""


class CannotJoin(ValueError):
    """ROS cannot be joined; the message has the reason and what to do."""


def join_ros(arguments: Sequence[str] | None = None) -> None:
    """rclpy.init without rclpy's handlers of signals (see ending.py).

    Raises:
        CannotJoin: an argument, the domain, the RMW or the security setup is not usable.
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if domain.isdigit() and int(domain) > HIGHEST_DOMAIN:
        raise CannotJoin(f"ROS_DOMAIN_ID is {domain}; give 0 to {HIGHEST_DOMAIN}, best below 102")
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # RCLError and UnknownROSArgsError have no other name in common
        raise CannotJoin(_explained(error)) from error


@contextmanager
def first_node() -> Iterator[None]:
    """Around the making of a process's first node, which starts the DDS.

    Raises:
        CannotJoin: the DDS does not start, or a name is none that ROS takes.
    """
    from rclpy.exceptions import NameValidationException
    from rclpy.impl.implementation_singleton import rclpy_implementation

    try:
        yield
    except NameValidationException as error:
        reason, name, *_ = str(error).splitlines()  # below the name an arrow points into it
        raise CannotJoin(f"{reason} {name.strip()}") from error
    except rclpy_implementation.RCLError as error:
        raise CannotJoin(_explained(error)) from error


def _explained(error: RuntimeError) -> str:
    """What rcl says, less the places in its sources, and what the environment has to do with it."""
    reason = re.sub(r",? at /\S+:\d+", "", str(error)).strip(" .")
    if type(error).__name__ == "UnknownROSArgsError":
        reason = f"unknown ROS arguments {reason}"
    if os.environ.get("ROS_SECURITY_ENABLE", "").lower() == "true":
        reason += (
            ". ROS_SECURITY_ENABLE is true: that takes a ROS_SECURITY_KEYSTORE with an enclave for "
            "this node, and an RMW that was built with security (docs/security.md)"
        )
    return reason
