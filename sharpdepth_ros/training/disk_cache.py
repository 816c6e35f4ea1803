# SPDX-License-Identifier: Apache-2.0
"""Keeps on disk what a frozen network says of each image, so that it runs once, not per epoch."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sharpdepth_ros.export.depth_files import read_array


class DiskCache:
    """One float16 file per image, named after the image and the network.

    Several networks, runs and processes may share a folder: each file appears complete or not at
    all.
    """

    def __init__(self, folder: Path, network: str) -> None:
        """Open the cache; the folder is created when the first map is written.

        Args:
            folder: of the files.
            network: name or folder of the network, and what else its answer depends on.
        """
        self._folder = folder
        self._network = network

    def read(self, keys: list[str], make: Callable[[list[int]], torch.Tensor]) -> torch.Tensor:
        """The maps of a batch; those that are missing are made and kept.

        Args:
            keys: of the images.
            make: from the indices of the images that are missing to their maps [N, C, h, w].

        Returns:
            float32 [B, C, h, w], with half precision's digits, on the CPU.
        """
        files = [self._file(key) for key in keys]
        missing = [index for index, file in enumerate(files) if not file.is_file()]
        if missing:
            for index, one in zip(missing, make(missing).cpu(), strict=True):
                _write(files[index], one.float().numpy().astype(np.float16))
        maps = np.stack([read_array(file) for file in files])
        return torch.from_numpy(maps.astype(np.float32))

    def _file(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._network} {key}".encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.npy"


def _write(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with draft.open("wb") as stream:
        np.save(stream, values)
    os.replace(draft, file)
