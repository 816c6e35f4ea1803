# SPDX-License-Identifier: Apache-2.0
"""A module that computes what depends on shapes, cameras and frozen weights once, not per frame."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class CachingModule(nn.Module):
    """A module with a small least-recently-used store of derived tensors.

    A stored value is dropped when the module is moved or cast and when weights are loaded into
    it. While gradients are recorded or a graph is captured nothing is stored or looked up, so
    that gradients reach the weights and graphs hold the computation.
    """

    def __init__(self, capacity: int = 4) -> None:
        super().__init__()
        self._capacity = capacity
        self._stored: OrderedDict[Hashable, Any] = OrderedDict()

    def computed_once(
        self, key: tuple[Hashable, ...], compute: Callable[[], T], *weights: torch.Tensor
    ) -> T:
        """Return `compute()`, from the store if this key was seen with these weights.

        Args:
            key: everything besides the weights that the value depends on.
            compute: called without arguments on a miss.
            weights: parameters the value depends on; writing to them invalidates the value.
        """
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return compute()
        key = (*key, *(_identity(weight) for weight in weights))
        if key in self._stored:
            self._stored.move_to_end(key)
            return self._stored[key]
        # An inference tensor could not be used by a later call that runs in another mode.
        with torch.inference_mode(False), torch.no_grad():
            value = compute()
        self._stored[key] = value
        if len(self._stored) > self._capacity:
            self._stored.popitem(last=False)
        return value

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True):
        self._stored.clear()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._stored.clear()
        super()._load_from_state_dict(*args, **kwargs)


def _identity(weight: torch.Tensor) -> tuple[int, int | None]:
    """Which tensor, and which state of it: the counter grows with every write in place."""
    return id(weight), None if weight.is_inference() else weight._version
