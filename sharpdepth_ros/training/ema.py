# SPDX-License-Identifier: Apache-2.0
"""Exponential moving average of a network's weights, on the schedule of the released training."""

import copy
from typing import Any

import torch
from torch import nn


def decay_at(update: int, decay: float, start: int) -> float:
    """min(decay, 1 - (1 + n)^(-2/3)), n updates after the averaging began.

    Until `start` the average is the network itself, decay 0. The slow beginning is that of
    ema_pytorch, which the released training uses with its defaults; diffusers' EMAModel has no
    update interval.

    Args:
        update: number of updates of the network so far, from 1.
        decay: limit of the decay.
        start: updates before the averaging begins.
    """
    since = update - start - 1
    return 0.0 if since <= 0 else min(decay, 1 - (1 + since) ** (-2 / 3))


class Ema:
    """A frozen copy of a network that follows it slowly."""

    def __init__(
        self, network: nn.Module, decay: float = 0.9999, start: int = 100, every: int = 10
    ) -> None:
        """Copy the network.

        Args:
            network: to follow.
            decay: limit of the decay, per averaging.
            start: updates before the averaging begins; until then the copy is renewed.
            every: updates between two averagings.
        """
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.updates = 0
        self._decay, self._start, self._every = decay, start, every

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the network; call it after each of its updates."""
        self.updates += 1
        if (self.updates - 1) % self._every:
            return
        decay = decay_at(self.updates, self._decay, self._start)
        mine, theirs = self.network.state_dict(), network.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name].to(value), 1 - decay)
            else:
                value.copy_(theirs[name])

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "network": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        self.network.load_state_dict(state["network"])
