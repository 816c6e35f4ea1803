# SPDX-License-Identifier: Apache-2.0
"""/diagnostics: the node's state and figures, once a second, from a thread of its own.

A thread rather than a timer, so that the beat goes on while the executor is busy loading weights.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode

from sharpdepth_ros.node.statistics import SUPERSEDED, Report

RCLError = rclpy_implementation.RCLError

PERIOD = 1.0
#: Seconds for which a warning or an error that was reported colours the status.
_RECENT = 5.0
#: Seconds without an image after which an active node has a problem.
NO_IMAGE = 3.0
#: An active node that publishes nothing for so many times what a frame takes has a problem.
_LATE = 3.0

_PAGE = os.sysconf("SC_PAGE_SIZE")


def make_status(
    name: str,
    state: str,
    fault: str | None,
    report: Report,
    device: torch.device,
    doing: tuple[str, float],
    interval: float,
) -> DiagnosticStatus:
    """The status of one instant.

    Args:
        name: of the node, fully qualified.
        state: the lifecycle state.
        fault: why the node cannot work until someone acts; None if it can.
        report: the figures.
        device: where the networks run.
        doing: what the device thread does or waits for, and for how many seconds.
        interval: smallest time between two frames in seconds.
    """
    status = DiagnosticStatus(name=f"{name}: depth", hardware_id=str(device))
    status.level, status.message = _judge(state, fault, report, doing, interval)
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


def _judge(
    state: str, fault: str | None, report: Report, doing: tuple[str, float], interval: float
) -> tuple[bytes, str]:
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
    if report.unanswered_for > max(NO_IMAGE, _LATE * ((report.age or 0.0) * 1e-3 + interval)):
        return DiagnosticStatus.WARN, _nothing_out(report, doing)
    if report.idle:
        return DiagnosticStatus.OK, "no subscribers: nothing is computed"
    rate = f"{report.output_rate:.1f} frames per second"
    if interval > NO_IMAGE:
        rate += f"; max_rate leaves {interval:g} s between two frames"
    return DiagnosticStatus.OK, rate


def _nothing_out(report: Report, doing: tuple[str, float]) -> str:
    """Images come and no depth goes: what became of them."""
    what, since = doing
    dropped = sorted(report.dropped_meanwhile.items(), key=lambda item: item[0] == SUPERSEDED)
    causes = ", ".join(f"{cause} {count}" for cause, count in dropped)
    return (
        f"images arrive, but nothing has been published for {report.unanswered_for:.0f} s: "
        f"the node has been {what} for {since:.0f} s; "
        f"dropped meanwhile: {causes or 'none'}"
    )


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class DiagnosticsBeat:
    """Publishes a status every second until stopped, whatever fails meanwhile."""

    def __init__(
        self,
        node: LifecycleNode,
        make: Callable[[], DiagnosticStatus],
        on_fault: Callable[[str], None],
    ) -> None:
        """Begins.

        Args:
            node: the node.
            make: the status of the moment.
            on_fault: told why a status could not be made or published; on the beat's thread.
        """
        self._node = node
        self._make = make
        self._on_fault = on_fault
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sharpdepth-beat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD) and self._node.context.ok():
            try:
                self._publish(self._make())
            except BaseException as error:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._node.context.ok():
            return  # the process is ending; what fails now fails because of that
        fault = f"the diagnostics thread failed: {type(error).__name__}: {error}"
        self._on_fault(fault)
        name = f"{self._node.get_fully_qualified_name()}: depth"
        with contextlib.suppress(RCLError):  # told by on_fault
            self._publish(DiagnosticStatus(level=DiagnosticStatus.ERROR, name=name, message=fault))

    def _publish(self, status: DiagnosticStatus) -> None:
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
