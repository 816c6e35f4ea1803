# SPDX-License-Identifier: Apache-2.0
"""Memory of the released sizes, computed without a GPU: weights, and what is alive during a pass.

    python benchmarks/memory.py --resolution 768x576

The networks run on torch's "meta" device, where a tensor has a shape and no memory; what is alive
at each operation is added up. Attention counts as fused; workspaces of cuDNN, fragmentation and the
CUDA context (some hundred MiB) are not in it.
"""

import argparse
import weakref

import torch
from stacks import released
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

GIB = 2**30


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make, and takes off those that are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._watch(tensor.untyped_storage())
        return out

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            self._seen.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._freed, key, storage.nbytes())

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def weight_bytes(*networks: nn.Module) -> int:
    """Of parameters and buffers, each counted once however many networks share it."""
    tensors = {id(t): t for n in networks for t in (*n.parameters(), *n.buffers())}
    return sum(tensor.nbytes for tensor in tensors.values())


@torch.inference_mode()
def peak_of_passes(width: int, height: int, dtype: torch.dtype) -> dict[str, int]:
    """Bytes alive at the worst moment of each pass of the released networks, weights left out."""
    stack = released(torch.device("meta"), dtype, dtype)
    model = stack.sharpener
    cell = (height // model.stride, width // model.stride)
    pair = torch.empty(2, 3, height, width, device="meta", dtype=dtype)
    latent = torch.empty(1, 4, *cell, device="meta", dtype=dtype)
    passes = {
        "both encodings": lambda: model.encode(pair),
        "UNet": lambda: model.predict(latent, latent),
        "decoding": lambda: model.decode(latent),
    }
    peaks = {}
    for name, run in passes.items():
        with LiveBytes() as live:
            run()
        peaks[name] = live.peak
    return peaks


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", default="768x576", metavar="WIDTHxHEIGHT")
    width, height = (int(edge) for edge in parser.parse_args().resolution.split("x"))
    dtype = torch.float16
    stack = released(torch.device("meta"), dtype, dtype)
    weights = weight_bytes(stack.sharpener, stack.metric_model)
    peaks = peak_of_passes(width, height, dtype)
    print("| computed, fp16, one UNet for both passes | GiB |\n| --- | ---: |")
    print(f"| weights of UNet, VAE and UniDepth V1 ViT-L | {weights / GIB:.2f} |")
    for name, size in peaks.items():
        print(f"| alive during {name}, {width}x{height} | {size / GIB:.2f} |")
    print(f"| **weights and the largest pass** | **{(weights + max(peaks.values())) / GIB:.2f}** |")


if __name__ == "__main__":
    main()
