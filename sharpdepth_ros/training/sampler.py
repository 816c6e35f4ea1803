# SPDX-License-Identifier: Apache-2.0
"""Which sample comes when: a function of seed and step alone, so that a resumed run goes on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True)
class SampleKey:
    """One draw of a sample.

    Attributes:
        index: in the data set.
        draw: how many samples the run has drawn before; seeds the augmentation.
    """

    index: int
    draw: int


class BatchOrder(Sampler):
    """Batches without end: every epoch a new permutation, shared out over the processes.

    Nothing is remembered, so batch k of a resumed run is batch k of one that never stopped.

    Args:
        samples: in the data set.
        batch_size: per process.
        seed: of the permutations.
        start: batches of this process to leave out.
        process, processes: this one's number, and how many there are.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        seed: int,
        start: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._samples, self._batch_size, self._seed = samples, batch_size, seed
        self._start, self._process, self._processes = start, process, processes

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, permutation = -1, np.empty(0, np.int64)
        batch = self._start
        while True:
            first = (batch * self._processes + self._process) * self._batch_size
            keys = []
            for draw in range(first, first + self._batch_size):
                if draw // self._samples != epoch:
                    epoch = draw // self._samples
                    permutation = np.random.default_rng([self._seed, epoch]).permutation(
                        self._samples
                    )
                keys.append(SampleKey(int(permutation[draw % self._samples]), draw))
            yield keys
            batch += 1
