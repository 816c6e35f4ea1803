# SPDX-License-Identifier: Apache-2.0
"""Which process this is when `accelerate launch` starts several, one per GPU."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that share the work.

    Attributes:
        index: 0 is the one that writes reports.
        count: of all.
        device: where this one should work, "auto" when it is alone.
        wait: returns when all have called it.
    """

    index: int = 0
    count: int = 1
    device: str = "auto"
    wait: Callable[[], None] = lambda: None

    @property
    def is_main(self) -> bool:
        """Whether this one writes the reports and shows progress."""
        return self.index == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part of the items; all parts together are the items."""
        return list(items[self.index :: self.count])


def this_process() -> Processes:
    """The process as `accelerate launch` set it up; alone when nothing did.

    Raises:
        ValueError: several were started, and accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ValueError(
            "WORLD_SIZE is set, and sharing the work needs accelerate: pip install accelerate"
        ) from error
    # Without this, processes on a machine that has no GPU each believe to be alone.
    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(
        state.process_index, state.num_processes, str(state.device), state.wait_for_everyone
    )
