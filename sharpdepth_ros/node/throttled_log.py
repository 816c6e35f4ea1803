# SPDX-License-Identifier: Apache-2.0
"""Says what goes wrong: once per cause and span of time, however often it happens."""

from __future__ import annotations

import threading
import time

from rclpy.node import Node

from sharpdepth_ros.node.statistics import FrameStatistics

#: Seconds for which one cause is not logged again.
THROTTLE = 5.0
#: Letters of a text beyond which its middle is left out. It quotes what a sender wrote into a
#: field, however many letters or coefficients that has, and /diagnostics repeats it each second.
LONGEST = 1000


class ProblemReporter:
    """Logs warnings and errors, throttled by cause, and keeps the last for diagnostics."""

    def __init__(self, node: Node, statistics: FrameStatistics) -> None:
        self._logger = node.get_logger()
        self._context = node.context
        self._statistics = statistics
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def warning(self, cause: str, text: str) -> None:
        """A frame is lost or worse than it could be; the next may be fine."""
        text = _shortened(text)
        self._statistics.problem(text, is_error=False)
        if (line := self._line(cause, text)) is not None:
            self._logger.warning(line)

    def error(self, cause: str, text: str) -> None:
        """Something is broken and stays so until someone acts."""
        text = _shortened(text)
        self._statistics.problem(text, is_error=True)
        if (line := self._line(cause, text)) is not None:
            self._logger.error(line)

    def _line(self, cause: str, text: str) -> str | None:
        if not self._context.ok():
            return None  # the process is ending; what fails now fails because of that
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(cause, float("-inf")) < THROTTLE:
                self._held_back[cause] = self._held_back.get(cause, 0) + 1
                return None
            self._last[cause] = now
            more = self._held_back.pop(cause, 0)
        return f"{text} ({more} more like this since the last message)" if more else text


def _shortened(text: str) -> str:
    more = len(text) - LONGEST
    if more <= 0:
        return text
    half = LONGEST // 2
    # What is wrong stands at the beginning, what would be right often at the end.
    return f"{text[:half]} [... {more} more letters ...] {text[-half:]}"
