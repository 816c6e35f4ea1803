# SPDX-License-Identifier: Apache-2.0
"""Keeps the metric model's depth maps on disk, so that f_D runs once per image, not per epoch."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch


class MetricDepthCache:
    """One float16 file per image, named after the image, its size and the metric model."""

    def __init__(self, folder: Path, model: str) -> None:
        """Open the cache; the folder is created when the first map is written.

        Args:
            folder: of the files; several metric models and sizes may share it.
            model: name or folder of the metric model.
        """
        self._folder = folder
        self._model = model

    def read(self, keys: list[str]) -> torch.Tensor | None:
        """The maps of a batch, float32 [B, 1, h, w] metres; None if one is missing."""
        files = [self._file(key) for key in keys]
        if not all(file.is_file() for file in files):
            return None
        maps = np.stack([np.load(file, allow_pickle=False) for file in files])
        return torch.from_numpy(maps.astype(np.float32))

    def write(self, keys: list[str], depth: torch.Tensor) -> None:
        """Keep the maps [B, 1, h, w] of a batch; each file appears complete or not at all."""
        for key, one in zip(keys, depth, strict=True):
            file = self._file(key)
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f".{file.name}.{os.getpid()}")
            with draft.open("wb") as stream:
                np.save(stream, one.numpy().astype(np.float16))
            os.replace(draft, file)

    def _file(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._model} {key}".encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.npy"
