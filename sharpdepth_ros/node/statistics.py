# SPDX-License-Identifier: Apache-2.0
"""Counts what happens to frames and how long it takes; any thread may report."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

#: Latencies are medians over this many frames.
_WINDOW = 60
#: Rates are over this many seconds.
_RATE_SPAN = 5.0
#: Causes for which frames are dropped while all is well: nobody subscribes; a newer one came.
NOBODY_LISTENS, SUPERSEDED = "nobody_listens", "superseded"


@dataclass(frozen=True)
class Problem:
    """A warning or an error that was reported.

    Attributes:
        text: what was said.
        is_error: an error rather than a warning.
        time: time.monotonic() of it, seconds.
    """

    text: str
    is_error: bool
    time: float


@dataclass(frozen=True)
class Report:
    """The figures at one instant.

    Attributes:
        received: images received since the node was activated.
        published: frames published since then.
        dropped: cause -> frames lost to it since then.
        unanswered_for: seconds for which images have arrived and nothing was published; 0 while
            nobody subscribes.
        dropped_meanwhile: cause -> frames lost to it in that time.
        input_rate: images per second over the last seconds.
        output_rate: frames published per second over the last seconds.
        age: median time from receiving an image to the end of publishing it, milliseconds.
        oldest: the largest such time, milliseconds.
        stages: stage -> median milliseconds.
        silent_for: seconds since the last image, or since the beginning.
        last_problem: the last thing that was reported; None if none was.
        idle: the last frame was not computed because nobody subscribes.
    """

    received: int
    published: int
    dropped: dict[str, int]
    unanswered_for: float
    dropped_meanwhile: dict[str, int]
    input_rate: float
    output_rate: float
    age: float | None
    oldest: float | None
    stages: dict[str, float]
    silent_for: float
    last_problem: Problem | None
    idle: bool


class FrameStatistics:
    """Collects the figures of a `Report`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Starts again from nothing, as on activation."""
        with self._lock:
            self._begun = time.monotonic()
            self._received = 0
            self._published = 0
            self._dropped: Counter[str] = Counter()
            # The first image since the last frame that was published, and the drops since then.
            self._unanswered: float | None = None
            self._dropped_meanwhile: Counter[str] = Counter()
            self._arrivals: deque[float] = deque(maxlen=1000)
            self._departures: deque[float] = deque(maxlen=1000)
            self._ages: deque[float] = deque(maxlen=_WINDOW)
            self._stages: dict[str, deque[float]] = {}
            self._last_problem: Problem | None = None
            self._idle = False

    def received(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._received += 1
            self._arrivals.append(now)
            if self._unanswered is None:
                self._unanswered = now

    def published(self, age: float, stages: Mapping[str, float]) -> None:
        """Reports a frame that is out: its age and its stages, both in milliseconds."""
        with self._lock:
            self._published += 1
            self._answered()
            self._idle = False
            self._departures.append(time.monotonic())
            self._ages.append(age)
            for stage, duration in stages.items():
                self._stages.setdefault(stage, deque(maxlen=_WINDOW)).append(duration)

    def dropped(self, cause: str) -> None:
        with self._lock:
            self._dropped[cause] += 1
            if cause == NOBODY_LISTENS:
                self._idle = True
                self._answered()
            else:
                self._dropped_meanwhile[cause] += 1

    def _answered(self) -> None:
        self._unanswered = None
        self._dropped_meanwhile.clear()

    def problem(self, text: str, is_error: bool) -> None:
        with self._lock:
            self._last_problem = Problem(text, is_error, time.monotonic())

    def report(self) -> Report:
        now = time.monotonic()
        with self._lock:
            ages = list(self._ages)
            return Report(
                received=self._received,
                published=self._published,
                dropped=dict(self._dropped),
                unanswered_for=0.0 if self._unanswered is None else now - self._unanswered,
                dropped_meanwhile=dict(self._dropped_meanwhile),
                input_rate=_rate(self._arrivals, now),
                output_rate=_rate(self._departures, now),
                age=statistics.median(ages) if ages else None,
                oldest=max(ages, default=None),
                stages={name: statistics.median(times) for name, times in self._stages.items()},
                silent_for=now - (self._arrivals[-1] if self._arrivals else self._begun),
                last_problem=self._last_problem,
                idle=self._idle,
            )


def _rate(times: deque[float], now: float) -> float:
    recent = [t for t in times if now - t <= _RATE_SPAN]
    # From the first to the last event, so that a stream that has just begun shows its true rate.
    return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0
