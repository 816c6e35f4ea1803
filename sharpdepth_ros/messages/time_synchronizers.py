# SPDX-License-Identifier: Apache-2.0
"""The part of message_filters that the node uses, for machines that have no message_filters.

Class names, arguments and behaviour are those of the ROS package, so that either can be imported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any


def stamp_of(message: Any) -> int:
    """The stamp in a message's header, in nanoseconds."""
    stamp = message.header.stamp
    return stamp.sec * 1_000_000_000 + stamp.nanosec


class SimpleFilter:
    """Passes on what it is given to those who registered."""

    def __init__(self) -> None:
        self._callbacks: list[tuple[Callable[..., None], tuple]] = []

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> int:
        """Has `callback(*messages, *args)` called for each output."""
        self._callbacks.append((callback, args))
        return len(self._callbacks) - 1

    def signalMessage(self, *messages: Any) -> None:
        """Gives an output to those who registered."""
        for callback, args in self._callbacks:
            callback(*messages, *args)


class TimeSynchronizer(SimpleFilter):
    """Outputs one message of each input as soon as all have the same stamp."""

    def __init__(self, inputs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self._queue_size = queue_size
        self._queues: list[dict[int, Any]] = [{} for _ in inputs]
        self._lock = threading.Lock()
        for index, source in enumerate(inputs):
            source.registerCallback(self._add, index)

    def _add(self, message: Any, index: int) -> None:
        with self._lock:
            stamp = stamp_of(message)
            queue = self._queues[index]
            queue[stamp] = message
            while len(queue) > self._queue_size:
                del queue[min(queue)]
            stamps = self._match(stamp, index)
            if stamps is None:
                return
            matched = [q.pop(s) for q, s in zip(self._queues, stamps, strict=True)]
            self.signalMessage(*matched)

    def _match(self, stamp: int, index: int) -> list[int] | None:
        """The stamp to take from each queue, now that `stamp` came to one of them."""
        return [stamp] * len(self._queues) if all(stamp in q for q in self._queues) else None


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Outputs one message of each input when their stamps differ by less than `slop` seconds."""

    def __init__(self, inputs: Sequence[SimpleFilter], queue_size: int, slop: float) -> None:
        super().__init__(inputs, queue_size)
        self._slop = round(slop * 1e9)

    def _match(self, stamp: int, index: int) -> list[int] | None:
        if stamp not in self._queues[index] or not all(self._queues):
            return None
        stamps = [min(queue, key=lambda s: abs(s - stamp)) for queue in self._queues]
        return stamps if max(stamps) - min(stamps) < self._slop else None
