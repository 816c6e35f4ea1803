# SPDX-License-Identifier: Apache-2.0
"""The two threads a frame passes: one that owns the device, one that publishes.

    executor --offer--> [newest frame] --> device thread --> [result] --> publishing thread

The device thread takes a frame only when the last result has left for publishing, so what it takes
is the newest there is. With W for a frame's work on the device and P < W for its publishing, a
frame is at most 2 W + P old when it is out, however fast the camera is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from sharpdepth_ros.node.mailbox import Mailbox

Frame = TypeVar("Frame")
Result = TypeVar("Result")

#: Seconds after which a wait looks at its condition again, though nothing woke it. An interval may
#: be any number, and a wait for more than threading.TIMEOUT_MAX raises.
_LONGEST_WAIT = 60.0

#: What the device thread may be doing, for people.
LOADING, WORKING = "loading the models", "working on a frame"
WAITING_FOR_FRAME = "waiting for a frame"
WAITING_FOR_TURN = "waiting for the next frame's turn (max_rate)"
WAITING_FOR_PUBLISHING = "waiting for the last frame to be published"


class CannotContinue(Exception):
    """No later frame can succeed: the device is lost, or a thread ended. The cause is chained."""


class Work(Protocol[Frame, Result]):
    """What the threads do; the device thread calls `load`, then `process`, at last `unload`."""

    def load(self) -> None:
        """Makes the device ready."""

    def process(self, frame: Frame) -> Result | None:
        """One frame; None if there is nothing to publish. Raises CannotContinue."""

    def publish(self, result: Result) -> None:
        """Called on the publishing thread."""

    def failed(self, stage: str, error: Exception) -> None:
        """Told of an exception that `process` or `publish` raised; the frame is lost."""

    def superseded(self, frame: Frame) -> None:
        """Told of a frame that was not begun because a newer one came."""

    def lost(self, error: CannotContinue) -> None:
        """Told, as the last call, that the threads have ended because they cannot continue.

        Whatever ended a thread, an exception that nobody expected included, is told here.
        """

    def unload(self) -> None:
        """Frees the device."""


class FrameWorker(Generic[Frame, Result]):
    """Runs a `Work`. Loads when it starts; takes frames between `resume` and `pause`."""

    def __init__(self, work: Work[Frame, Result], interval: Callable[[], float]) -> None:
        """Starts the threads; `wait_until_loaded` tells how that went.

        Args:
            work: what to do.
            interval: smallest time in seconds from the beginning of one frame to the next; asked
                before each, and again at `interval_changed`.
        """
        self._work = work
        self._interval = interval
        self._frames: Mailbox[Frame] = Mailbox()
        self._results: Mailbox[Result] = Mailbox()
        self._loaded = threading.Event()
        self._load_error: Exception | None = None
        self._stopping = False
        self._abandoned = False
        self._accepting = False
        self._lost: CannotContinue | None = None
        # Frames between being taken and being published or lost; at most one in each thread.
        self._in_flight = 0
        self._begun: float | None = None
        self._doing = LOADING, time.monotonic()
        # Guards what is above it; notified of whatever a thread may wait for.
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run_device, name="sharpdepth-device", daemon=True),
            threading.Thread(target=self._run_publishing, name="sharpdepth-publish", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wait_until_loaded(self, timeout: float) -> bool:
        """Whether the work is loaded after at most `timeout` seconds; raises what `load` raised."""
        done = self._loaded.wait(timeout)
        if self._load_error is not None:
            raise self._load_error
        return done

    @property
    def doing(self) -> tuple[str, float]:
        """What the device thread does or waits for, and for how many seconds it has."""
        what, since = self._doing
        return what, time.monotonic() - since

    def offer(self, frame: Frame) -> None:
        """Hands over a frame; returns at once."""
        if not self._accepting:
            return
        replaced = self._frames.put(frame)
        if replaced is not None:
            self._work.superseded(replaced)

    def resume(self) -> None:
        """Takes frames from now on, the first one at once."""
        with self._changed:
            self._accepting, self._begun = True, None
            self._changed.notify_all()

    def interval_changed(self) -> None:
        """Ends a wait for the next frame's turn if the interval is now shorter."""
        with self._changed:
            self._changed.notify_all()

    def pause(self) -> None:
        """Takes no more frames; returns when the one being worked on is done with."""
        self._accepting = False
        self._frames.clear()
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0 or self._stopping)

    def stop(self, timeout: float) -> bool:
        """Ends the threads and unloads. Whether they ended within `timeout` seconds."""
        self._close()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def abandon(self) -> None:
        """Ends the threads without unloading, because the process is to end; returns at once."""
        self._abandoned = True
        self._close()

    def _close(self) -> None:
        with self._changed:
            self._accepting, self._stopping = False, True
            self._changed.notify_all()
        self._frames.close()
        self._results.close()

    def _count(self, change: int) -> None:
        with self._changed:
            self._in_flight += change
            self._changed.notify_all()

    def _run_device(self) -> None:
        try:
            self._work.load()
        except Exception as error:
            self._load_error = error
        except BaseException as error:
            self._load_error = _ended("device", error)
        else:
            self._loaded.set()
            self._guarded("device", self._process_frames)
        self._close()
        try:
            # On this thread, because a device's caches belong to the thread that filled them.
            if not self._abandoned:
                self._guarded("device", self._work.unload)
        finally:
            self._loaded.set()
            if self._lost is not None:
                self._work.lost(self._lost)

    def _run_publishing(self) -> None:
        self._guarded("publishing", self._publish_results)
        self._close()

    def _guarded(self, thread: str, function: Callable[[], None]) -> None:
        """Keeps what ends a thread for `lost`. SystemExit too, which threading drops in silence."""
        try:
            function()
        except CannotContinue as error:
            self._lost = self._lost or error
        except BaseException as error:
            self._lost = self._lost or _ended(thread, error)

    def _process_frames(self) -> None:
        while True:
            self._now(WAITING_FOR_PUBLISHING)
            self._results.wait_until_empty()
            self._wait_for_turn()
            self._now(WAITING_FOR_FRAME)
            frame = self._frames.take()
            if frame is None:
                return
            self._begun = time.monotonic()
            self._now(WORKING)
            self._count(+1)
            result = None
            try:
                if self._accepting:
                    result = self._work.process(frame)
            except CannotContinue:
                raise
            except Exception as error:
                self._work.failed("process", error)
            if result is None:
                self._count(-1)
            else:
                self._results.put(result)

    def _now(self, what: str) -> None:
        self._doing = what, time.monotonic()

    def _wait_for_turn(self) -> None:
        """Waits until the interval since the last frame's beginning is over."""
        with self._changed:
            while not self._stopping:
                interval, begun = self._interval(), self._begun
                if begun is None or (left := begun + interval - time.monotonic()) <= 0:
                    return
                if self._doing[0] != WAITING_FOR_TURN:
                    self._now(WAITING_FOR_TURN)
                self._changed.wait(min(left, _LONGEST_WAIT))

    def _publish_results(self) -> None:
        while (result := self._results.take()) is not None:
            try:
                self._work.publish(result)
            except Exception as error:
                self._work.failed("publish", error)
            self._count(-1)


def _ended(thread: str, error: BaseException) -> CannotContinue:
    fault = CannotContinue(f"the {thread} thread ended: {type(error).__name__}: {error}")
    fault.__cause__ = error
    return fault
