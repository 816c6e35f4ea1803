# SPDX-License-Identifier: Apache-2.0
"""Keeps on disk what a frozen network says of each image, so that it runs once, not per epoch."""

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sharpdepth_ros.io.depth_files import read_array
from sharpdepth_ros.weights.home import write_durably

VERSION = 2
"""Of the layout, and of how the maps are made of the images: older files are not read."""


def content_key(*parts: np.ndarray | str | None) -> str:
    """Names something by what it consists of: equal keys are equal contents, wherever they lie."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str} {part.shape} ".encode())
            digest.update(np.ascontiguousarray(part))
        else:
            digest.update(f"{part!r} ".encode())
    return digest.hexdigest()


class DiskCache:
    """One float16 file per image, named after the contents of the image and of the network.

    Several networks, runs and processes may share a folder: each file appears complete or not at
    all. What cannot be read is made again, and where nothing can be written the maps are made each
    time: a cache never ends a run.
    """

    def __init__(self, folder: Path, network: str) -> None:
        """Open the cache; the folder is created when the first map is written.

        Args:
            folder: of the files.
            network: digest of the network's weights, and what else its answer depends on.
        """
        self._folder = folder
        self._network = network
        self._writes = True
        self._damaged = False

    def read(
        self,
        keys: list[str],
        shape: tuple[int, ...],
        make: Callable[[list[int]], torch.Tensor],
    ) -> torch.Tensor:
        """The maps of a batch; those that are missing are made and kept.

        Args:
            keys: `content_key` of each image, and of all else that decides its map.
            shape: of a map, [C, h, w].
            make: from the indices of the images that are missing to their maps [N, C, h, w].

        Returns:
            float32 [B, C, h, w], with half precision's digits, on the CPU.
        """
        files = [self._file(key) for key in keys]
        maps = [self._kept(file, shape) for file in files]
        missing = [index for index, kept in enumerate(maps) if kept is None]
        if missing:
            for index, one in zip(missing, make(missing).cpu(), strict=True):
                maps[index] = one.float().numpy().astype(np.float16)
                self._keep(files[index], maps[index])
        return torch.from_numpy(np.stack(maps).astype(np.float32))

    def _file(self, key: str) -> Path:
        name = content_key(str(VERSION), self._network, key)
        return self._folder / name[:2] / f"{name}.npy"

    def _kept(self, file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
        """The map in a file; None where there is none that can be used."""
        if not file.is_file():
            return None
        try:
            values = read_array(file)
        except (OSError, ValueError) as error:
            return self._reject(file, str(error))
        if values.dtype != np.float16 or values.shape != shape:
            return self._reject(
                file, f"{values.dtype} {list(values.shape)}, not float16 {list(shape)}"
            )
        if not np.isfinite(values).all():
            return self._reject(file, "numbers that are not finite")
        return values

    def _reject(self, file: Path, reason: str) -> None:
        if not self._damaged:
            self._damaged = True
            print(
                f"sharpdepth: {file} of the cache is damaged ({reason}); such files are made again",
                file=sys.stderr,
            )

    def _keep(self, file: Path, values: np.ndarray) -> None:
        if not self._writes or not np.isfinite(values).all():
            return
        content = io.BytesIO()
        np.save(content, values)
        try:
            write_durably(file, content.getvalue())
        except OSError as error:
            self._writes = False
            print(
                f"sharpdepth: the cache {self._folder} cannot be written ({error}); the training "
                "goes on without keeping more in it",
                file=sys.stderr,
            )
