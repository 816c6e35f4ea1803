# SPDX-License-Identifier: Apache-2.0
"""Half precision that was too narrow for a network: noticed without waiting, and what to do then.

float16 ends at 65504, and activations of some VAEs, finetuned ones above all, go beyond it: an
infinity, which the next normalisation turns into no numbers at all. bfloat16 has float32's range.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

from sharpdepth_ros.models.constant_folding import sharing_copy
from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.tiny_vae import TinyVae

Network = TypeVar("Network", DepthDiffusion, TinyVae)


class OverflowWatch:
    """Looks at the maps of frames for values that are not finite."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pending: list[tuple[torch.Tensor, torch.cuda.Event | None]] = []

    def look_at(self, *maps: torch.Tensor) -> None:
        """Take what the networks made of finite inputs; the host does not wait for it on CUDA."""
        finite = torch.stack([values.isfinite().all() for values in maps]).all()
        if self._device.type != "cuda":
            self._pending.append((finite, None))
            return
        staged = torch.empty((), dtype=torch.bool, pin_memory=True)
        staged.copy_(finite, non_blocking=True)
        done = torch.cuda.Event()
        done.record()
        self._pending.append((staged, done))

    def overflowed(self) -> bool:
        """Whether a frame that has ended had such values; the answer is given once."""
        ended, waiting = [], []
        for finite, done in self._pending:
            if done is None or done.query():
                ended.append(finite)
            else:
                waiting.append((finite, done))
        self._pending = waiting
        if all(ended):
            return False
        self._pending.clear()  # the frames behind it ran with the same networks
        return True


def wide_dtype(device: torch.device) -> torch.dtype:
    """The precision to take instead of float16: bfloat16 where the GPU has it, else float32."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return torch.bfloat16
    return torch.float32


def with_wide_vae(network: Network, dtype: torch.dtype) -> Network:
    """A copy whose VAE computes in `dtype`; the UNet and its weights are those of the original."""
    if isinstance(network, TinyVae):
        return copy.deepcopy(network).to(dtype)
    wide = sharing_copy(network)
    # By nn.Module: that of diffusers warns of what it does not do here.
    wide.vae = nn.Module.to(copy.deepcopy(network.vae), dtype)
    return wide


def wholly_wide(network: Network, dtype: torch.dtype) -> Network:
    """A copy that computes in `dtype` throughout."""
    return copy.deepcopy(network).to(dtype)
