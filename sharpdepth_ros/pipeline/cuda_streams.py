# SPDX-License-Identifier: Apache-2.0
"""Work beside other work on a GPU: a second stream that is forked from the current and joined."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class SideStream:
    """A second CUDA stream; on another device everything runs in turn."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None

    def fork(self) -> None:
        """Let the side stream begin where the current stream is now.

        What the current stream is given from here on runs beside the side stream's work.
        """
        if self._device.type == "cuda":
            if self._stream is None:
                self._stream = torch.cuda.Stream(self._device)
            self._stream.wait_stream(torch.cuda.current_stream(self._device))

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Enqueue the body on the side stream; `fork` comes before, `join` after."""
        with contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            yield

    def join(self, *tensors: torch.Tensor | None) -> None:
        """Let the current stream wait for the side stream; the host does not wait.

        Args:
            tensors: made on the side stream and used on the current one from here on.
        """
        if self._stream is None:
            return
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in tensors:
            # The allocator must not reuse their memory while the current stream reads it.
            if tensor is not None and tensor.is_cuda:
                tensor.record_stream(current)
