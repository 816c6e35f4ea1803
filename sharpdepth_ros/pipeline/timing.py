# SPDX-License-Identifier: Apache-2.0
"""Measures the stages of a frame, on the host or on the GPU without stopping it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StageTimer:
    """Times named stages of one frame on the host or, without stopping it, on the GPU."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: dict[str, list[tuple]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the body, on the current stream; a stage entered twice in a frame is summed."""
        begin = self._now()
        yield
        self._marks.setdefault(name, []).append((begin, self._now()))

    def milliseconds(self) -> dict[str, float]:
        """Time of each stage, in order. On the GPU this waits for the last stage to end."""
        if not self._on_gpu:
            return {
                name: sum(end - begin for begin, end in marks) * 1e3
                for name, marks in self._marks.items()
            }
        for marks in self._marks.values():
            marks[-1][1].synchronize()
        return {
            name: sum(begin.elapsed_time(end) for begin, end in marks)
            for name, marks in self._marks.items()
        }

    def _now(self):
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
