# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: the node's state and figures, once a second, from a thread of its own.

A thread rather than a timer, so that the beat goes on while the executor is busy loading weights.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode

from sharpdepth_ros.node.statistics import Report

RCLError = rclpy_implementation.RCLError

PERIOD = 1.0
#: Seconds for which a warning or an error that was reported colours the status.
_RECENT = 5.0
#: Seconds without an image after which an active node has a problem.
NO_IMAGE = 3.0

_PAGE = os.sysconf("SC_PAGE_SIZE")


def make_status(
    name: str, state: str, fault: str | None, report: Report, device: torch.device
) -> DiagnosticStatus:
    """The status of one instant.

    Args:
        name: of the node, fully qualified.
        state: the lifecycle state.
        fault: why the node cannot work until someone acts; None if it can.
        report: the figures.
        device: where the networks run.
    """
    status = DiagnosticStatus(name=f"{name}: depth", hardware_id=str(device))
    status.level, status.message = _judge(state, fault, report)
    values = {
        "state": state,
        "input rate (Hz)": f"{report.input_rate:.1f}",
        "output rate (Hz)": f"{report.output_rate:.1f}",
        "images received": report.received,
        "frames published": report.published,
        "latency, median (ms)": _milliseconds(report.age),
        "latency, largest (ms)": _milliseconds(report.oldest),
        **{f"stage {name} (ms)": _milliseconds(t) for name, t in report.stages.items()},
        **{f"dropped, {cause}": count for cause, count in sorted(report.dropped.items())},
        "process memory (MiB)": f"{_resident_bytes() / 2**20:.0f}",
    }
    if device.type == "cuda":
        used, reserved = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
        values["GPU memory used (MiB)"] = f"{used / 2**20:.0f}"
        values["GPU memory reserved (MiB)"] = f"{reserved / 2**20:.0f}"
    if report.last_problem is not None:
        ago = time.monotonic() - report.last_problem.time
        values["last problem"] = f"{report.last_problem.text} ({ago:.0f} s ago)"
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return status


def _judge(state: str, fault: str | None, report: Report) -> tuple[bytes, str]:
    if fault is not None:
        return DiagnosticStatus.ERROR, fault
    if state != "active":
        return DiagnosticStatus.OK, state
    problem = report.last_problem
    if problem is not None and time.monotonic() - problem.time < _RECENT:
        level = DiagnosticStatus.ERROR if problem.is_error else DiagnosticStatus.WARN
        return level, problem.text
    if report.silent_for > NO_IMAGE:
        return DiagnosticStatus.WARN, "no image arrives"
    if report.idle:
        return DiagnosticStatus.OK, "no subscribers: nothing is computed"
    return DiagnosticStatus.OK, f"{report.output_rate:.1f} frames per second"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class DiagnosticsBeat:
    """Publishes a status every second until stopped."""

    def __init__(self, node: LifecycleNode, make: Callable[[], DiagnosticStatus]) -> None:
        self._node = node
        self._make = make
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sharpdepth-beat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD) and self._node.context.ok():
            message = DiagnosticArray(status=[self._make()])
            message.header.stamp = self._node.get_clock().now().to_msg()
            try:
                self._publisher.publish(message)
            except RCLError:
                if self._node.context.ok():
                    raise
