# SPDX-License-Identifier: Apache-2.0
"""Keeps the empty prompt's embedding of a checkpoint, so that its text encoder is read only once.

At the released size that is 1.4 GB to read for two tokens' worth of numbers, at every start.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from sharpdepth_ros.weights.home import weights_home

PARTS = ("text_encoder", "tokenizer")
"""What the embedding depends on."""


def prompt_embedding_once(checkpoint: Path, embed: Callable[[Path], torch.Tensor]) -> torch.Tensor:
    """`embed(checkpoint)`, from the package's cache home if these files were seen before.

    Args:
        checkpoint: folder that holds text_encoder/ and tokenizer/.
        embed: computes the embedding of the empty prompt from the folder.
    """
    kept = weights_home() / "prompts" / f"{_fingerprint(checkpoint)}.safetensors"
    if kept.is_file():
        # A file that power failed on is written again.
        with contextlib.suppress(SafetensorError, KeyError):
            return load(kept.read_bytes())["prompt"]
    embedding = embed(checkpoint)
    # A home that cannot be written to costs the time again and nothing else.
    with contextlib.suppress(OSError):
        _write(kept, save({"prompt": embedding.contiguous()}))
    return embedding


def _fingerprint(checkpoint: Path) -> str:
    """Of the files' places, sizes and times: reading them is what is to be saved."""
    files = sorted(f for part in PARTS for f in (checkpoint / part).rglob("*") if f.is_file())
    states = ((str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    names = [str(f.relative_to(checkpoint)) for f in files]
    return hashlib.sha256(repr((names, list(states))).encode()).hexdigest()[:32]


def _write(file: Path, content: bytes) -> None:
    """Complete or not at all: two processes may start together."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.replace(draft, file)
