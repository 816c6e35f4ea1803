# SPDX-License-Identifier: Apache-2.0
"""What the trainer needs of a stage: a network, a loss, and how the result is written."""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from sharpdepth_ros.training.data import Batch


class Resumable(Protocol):
    """State of a stage beside its network's weights."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Stage(Protocol):
    """One of the trainings.

    Attributes:
        network: what is trained, float32.
        state: what else a resumed run needs; None for nothing.
        multiple: width and height of the training images must be multiples of it.
        needs_depth: whether it learns from labels.
        contents: of options that name a frozen model, a digest of it: a resumed run needs the same.
    """

    network: nn.Module
    state: Resumable | None
    multiple: int
    needs_depth: bool
    contents: dict[str, str]

    def attach(self, network: nn.Module, device: torch.device) -> None:
        """Take the network as accelerate prepared it, and move the frozen networks."""
        ...

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a batch on the device, and its parts for the log."""
        ...

    def updated(self) -> None:
        """Called after each update of the network."""
        ...

    def export(self, folder: Path) -> None:
        """Write what was trained in its published folder layout, and look at what was written.

        Raises:
            OSError: it is not whole.
        """
        ...
