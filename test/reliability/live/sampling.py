# SPDX-License-Identifier: Apache-2.0
"""What a process holds, from outside: memory, threads and file descriptors, sample by sample."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One look at a process.

    Attributes:
        seconds: on the monotonic clock, from the first sample.
        count: how much it has done by then: frames, messages, cycles.
        resident: bytes in memory, those it shares with others included.
        proportional: the same, what is shared divided by the number of those who share it.
        anonymous: heap, stacks and what it wrote: neither messages in shared memory nor pages of
            libraries, which other processes make appear and disappear.
        threads: number of them.
        files: open file descriptors.
        latency: median of the frames since the sample before, milliseconds; NaN if there was none.
    """

    seconds: float
    count: int
    resident: int
    proportional: int
    anonymous: int
    threads: int
    files: int
    latency: float = float("nan")


class Sampler:
    """Looks at a process and keeps what it saw."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        self._begun = time.monotonic()
        self.samples: list[Sample] = []

    def look(self, count: int, latency: float = float("nan")) -> Sample:
        """One more sample.

        Raises:
            FileNotFoundError, ProcessLookupError: the process has ended.
        """
        lines = (self._process / "smaps_rollup").read_text().splitlines()[1:]
        kibibytes = {name: int(value.split()[0]) for name, value in (n.split(":") for n in lines)}
        sample = Sample(
            seconds=time.monotonic() - self._begun,
            count=count,
            resident=kibibytes["Rss"] * 1024,
            proportional=kibibytes["Pss"] * 1024,
            anonymous=kibibytes["Anonymous"] * 1024,
            threads=sum(1 for _ in (self._process / "task").iterdir()),
            files=sum(1 for _ in (self._process / "fd").iterdir()),
            latency=latency,
        )
        self.samples.append(sample)
        return sample

    def series(self, name: str) -> list[float]:
        """One attribute of all samples."""
        return [getattr(sample, name) for sample in self.samples]

    def usual(self, name: str, warm_up: float = 0.5) -> list[float]:
        """The most frequent value of an attribute in each half of what follows the warm-up.

        Not all values: a sample may find a file open that is closed a moment later.
        """
        settled = self.series(name)[int(len(self.samples) * warm_up) :]
        middle = len(settled) // 2
        return [statistics.mode(half) for half in (settled[:middle], settled[middle:])]


def write_csv(samples: Sequence[Sample], path: Path) -> None:
    """The samples as a table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in samples)
