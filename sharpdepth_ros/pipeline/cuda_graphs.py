# SPDX-License-Identifier: Apache-2.0
"""Records a function's GPU work once for each shape of its inputs, and replays it in one launch."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch

Tensors = tuple[torch.Tensor, ...]
Function = Callable[..., Tensors]

WARM_UP_CALLS = 3
"""Before recording: libraries choose their kernels and allocate workspaces in the first calls."""


class CudaGraph:
    """A function's work on inputs of one shape, as a CUDA graph."""

    def __init__(self, function: Function, inputs: Tensors) -> None:
        """Run the function a few times, then record it.

        Args:
            function: of tensors on one GPU; looks at no value of theirs, allocates freely.
            inputs: of the shapes and types that every replay will have.
        """
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        current = torch.cuda.current_stream()
        stream = torch.cuda.Stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                function(*self._inputs)
        current.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: another thread of the node may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = function(*self._inputs)

    def __call__(self, *inputs: torch.Tensor) -> Tensors:
        """The function of these inputs. The answers are copies: the next replay writes on its own
        again."""
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given, non_blocking=True)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)


class ReplayedCalls:
    """Records every function once for each shape of its inputs; keeps the most recent ones."""

    def __init__(self, record: Callable[[Function, Tensors], Function], capacity: int = 8) -> None:
        """Args: what records a function on inputs (`CudaGraph`); how many recordings stay."""
        self._record = record
        self._capacity = capacity
        self._recorded: OrderedDict[Hashable, Function] = OrderedDict()

    def __call__(self, key: Hashable, function: Function, *inputs: torch.Tensor) -> Tensors:
        """`function(*inputs)`.

        Args:
            key: what the function's work depends on besides its inputs' shapes and types.
            function: see `CudaGraph`.
            inputs: on the GPU.
        """
        key = (key, tuple((tensor.shape, tensor.dtype) for tensor in inputs))
        if key not in self._recorded:
            while len(self._recorded) >= self._capacity:
                self._recorded.popitem(last=False)
            self._recorded[key] = self._record(function, inputs)
        self._recorded.move_to_end(key)
        return self._recorded[key](*inputs)
