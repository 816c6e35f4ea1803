# SPDX-License-Identifier: Apache-2.0
"""How a process of this package ends: SIGINT and SIGTERM, heard at once whatever the threads do.

rclpy's own handlers are left out. On a signal they wake the executor and only then invalidate the
context (rclpy/src/rclpy/signal_handler.cpp, setup_deferred_signal_handler). An executor that is
quicker finds the context still valid and nothing to do, waits again, and nobody wakes it any more;
one that is a little slower finds the context gone while it makes its wait set, and raises. Of 60
quiet nodes of a few lines of rclpy, 5 hung and 2 ended with status 1.

Here the context stays valid until the node is closed, and what wakes the executor stays triggered
until it is seen.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndRequest:
    """Whether the process was asked to end. To be made in the main thread, before rclpy.init."""

    def __init__(self, deadline: float) -> None:
        """Listens for the signals from now on.

        Args:
            deadline: seconds from the first signal after which the process is ended, with status 0,
                if it has not ended by itself by then.
        """
        self._deadline = deadline
        self._requested = threading.Event()
        self._on_request: Callable[[], None] | None = None
        self._lock = threading.Lock()
        # A Python handler runs when the main thread next comes to it, and that may be inside a
        # wait in C++. What is written to this file arrives at once.
        self._signals, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._listen, name="sharpdepth-signals", daemon=True).start()

    def __bool__(self) -> bool:
        return self._requested.is_set()

    def call(self, on_request: Callable[[], None] | None) -> None:
        """Calls this on the signal, from another thread; at once if the signal has been there.

        It takes the place of what was to be called before; when this returns, that is not called
        any more.
        """
        with self._lock:
            self._on_request = on_request
            if self and on_request is not None:
                on_request()

    def _listen(self) -> None:
        while not set(received := os.read(self._signals, 64)).intersection(SIGNALS):
            if not received:
                raise OSError("the pipe by which signals are heard was closed")
        try:
            exit_after(self._deadline)
        finally:
            with self._lock:
                self._requested.set()
                if self._on_request is not None:
                    self._on_request()


class _SignalEvent(ctypes.Structure):
    """struct sigevent of Linux with 64-bit pointers (timer_create(2)), 64 bytes."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("rest", ctypes.c_byte * 32),
    )


_IN_A_THREAD = 2  # SIGEV_THREAD


def exit_after(seconds: float) -> None:
    """Ends the process with status 0 after that time, whatever its threads do.

    A timer of the C library does it, not a Python thread: rclpy holds Python's lock while it
    destroys a node, and there Fast DDS 3.2 waits for ever if an endpoint of another process
    disappears at that moment, as when Ctrl-C ends a whole launch (DomainParticipant::set_listener
    holds the lock that on_reader_discovery, which it waits for, wants).

    Raises:
        OSError: the system has no timer to give.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    end = ctypes.cast(libc._exit, ctypes.c_void_p)
    event = _SignalEvent(value=0, notify=_IN_A_THREAD, function=end)  # _exit(0)
    timer = ctypes.c_void_p()
    whole, part = divmod(seconds, 1)
    once = (ctypes.c_long * 4)(0, 0, int(whole), int(part * 1e9))  # struct itimerspec
    clock = ctypes.c_int(1)  # CLOCK_MONOTONIC
    if libc.timer_create(clock, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_settime(
        timer, 0, ctypes.byref(once), None
    ):
        raise OSError(ctypes.get_errno(), "timer_create failed")


def spin(node: Node, end: EndRequest, interrupt: Callable[[], None] = lambda: None) -> None:
    """Serves a node's callbacks until the process is to end, or the context has been shut down.

    Args:
        node: the node.
        end: tells when.
        interrupt: called on another thread then, to end a callback that takes long.
    """
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    # A guard condition with a callback: its own ones let the executor go on waiting.
    wake = node.create_guard_condition(lambda: None)

    def end_spinning() -> None:
        interrupt()
        wake.trigger()

    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end.call(end_spinning)
    try:
        while not end and node.context.ok():
            executor.spin_once()
    except ExternalShutdownException:
        pass
    finally:
        end.call(None)
        executor.shutdown()
