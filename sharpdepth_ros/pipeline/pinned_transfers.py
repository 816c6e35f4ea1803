# SPDX-License-Identifier: Apache-2.0
"""Brings images to the device and maps back, beside its work and without waiting for it."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch


class Transfers:
    """Copies through page-locked memory on two streams of their own, on CUDA.

    Page-locked memory is what lets a copy run while the host and the GPU's other streams go on.
    torch keeps such memory for reuse and knows which copies still read it.
    """

    def __init__(self, device: torch.device, pinned: bool = True) -> None:
        """Args: where images go; False copies in turn, as any torch program does."""
        self._device = device
        self._pinned = pinned and device.type == "cuda"
        self._up: torch.cuda.Stream | None = None
        self._down: torch.cuda.Stream | None = None

    def upload(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Images of one size, each [H, W, 3], as a batch [B, H, W, 3] on the device."""
        on_host = all(image.device.type == "cpu" for image in images)
        if not (self._pinned and on_host):
            first = images[0][None] if len(images) == 1 else torch.stack(tuple(images))
            return first.to(self._device)
        if self._up is None:
            self._up = torch.cuda.Stream(self._device)
        shape = (len(images), *images[0].shape)
        staged = torch.empty(shape, dtype=images[0].dtype, pin_memory=True)
        torch.stack(tuple(images), out=staged)
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._up):
            batch = staged.to(self._device, non_blocking=True)
        current.wait_stream(self._up)
        batch.record_stream(current)
        return batch

    def download(self, maps: Mapping[str, torch.Tensor | None]) -> "HostMaps":
        """Begin to bring tensors to the host; what is None stays None."""
        if not self._pinned:
            return HostMaps({n: None if m is None else m.cpu().numpy() for n, m in maps.items()})
        if self._down is None:
            self._down = torch.cuda.Stream(self._device)
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        staged = {}
        with torch.cuda.stream(self._down):
            for name, values in maps.items():
                staged[name] = values
                if values is not None and values.is_cuda:
                    place = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
                    staged[name] = place.copy_(values, non_blocking=True)
                    values.record_stream(self._down)
            done = torch.cuda.Event()
            done.record(self._down)
        arrays = {name: None if m is None else m.numpy() for name, m in staged.items()}
        return HostMaps(arrays, done)


class HostMaps:
    """Arrays that are on their way to the host; reading one waits until all are there."""

    def __init__(
        self, arrays: Mapping[str, np.ndarray | None], arrived: torch.cuda.Event | None = None
    ) -> None:
        self._arrays = dict(arrays)
        self._arrived = arrived

    def __getitem__(self, name: str) -> np.ndarray | None:
        arrived = self._arrived  # another thread may read the same output
        if arrived is not None:
            arrived.synchronize()
            self._arrived = None
        return self._arrays[name]
