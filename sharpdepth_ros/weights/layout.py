# SPDX-License-Identifier: Apache-2.0
"""What a folder of weights must hold to be of use; looks at names and headers, reads no weights."""

import json
import math
import struct
from pathlib import Path

from sharpdepth_ros.weights.catalogue import Kind

CHECKPOINT_PARTS = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
"""Subfolders of a diffusion checkpoint, as diffusers writes them."""

NETWORKS = ("unet", "vae", "text_encoder")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".onnx", ".pth", ".pt")

LONGEST_HEADER = 10**8
"""Bytes of a safetensors header that its own library still reads."""


def faults_of(folder: Path, kind: Kind) -> list[str]:
    """What is missing from a model's folder or visibly broken in it; empty for a good one."""
    if kind in ("metric", "tiny-vae"):
        faults = [] if _weight_files(folder) else ["no weights"]
    else:
        faults = [f"no {part}/" for part in CHECKPOINT_PARTS if not (folder / part).is_dir()]
        faults += [
            f"no weights in {part}/"
            for part in NETWORKS
            if (folder / part).is_dir() and not _weight_files(folder / part)
        ]
    return faults + _broken_files(folder)


def find_checkpoint(folder: Path) -> Path | None:
    """The folder, or a folder in it, that is laid out as a diffusion checkpoint."""
    candidates = [folder, *sorted(f for f in folder.iterdir() if f.is_dir())]
    return next((f for f in candidates if all((f / p).is_dir() for p in CHECKPOINT_PARTS)), None)


def _weight_files(folder: Path) -> list[Path]:
    return [f for f in visible_files(folder) if f.suffix in WEIGHT_SUFFIXES and f.is_file()]


def visible_files(folder: Path) -> list[Path]:
    """Everything below a folder but hidden files: macOS puts `._NAME` beside each file."""
    return sorted(f for f in folder.rglob("*") if not f.name.startswith("."))


def _broken_files(folder: Path) -> list[str]:
    faults = []
    for file in visible_files(folder):
        name = file.relative_to(folder)
        if file.is_symlink() and not file.exists():
            faults.append(f"{name} is a link to a file that is gone")
        elif file.name.endswith(".index.json"):
            faults += [f"no {name.parent / shard}" for shard in _missing_shards(file)]
        elif file.suffix == ".safetensors" and (shortage := shortage_of(file)):
            faults.append(f"{name} is cut off: {shortage}")
    return faults


def _missing_shards(index: Path) -> list[str]:
    """Files that an index of split weights names and that are not beside it."""
    try:
        shards = set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        return []  # some other index
    return sorted(shard for shard in shards if not (index.parent / shard).is_file())


def shortage_of(file: Path) -> str | None:
    """How a safetensors file is shorter than its header says, None if it is not.

    The format is an eight-byte length, a JSON header of that length with each tensor's place, and
    the tensors (huggingface/safetensors, README, "Format").
    """
    try:
        _read_header(file)
    except ValueError as error:
        return str(error)
    return None


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor in a safetensors file, from its header.

    Raises:
        ValueError: the file is cut off or is none.
    """
    return {name: tuple(tensor["shape"]) for name, tensor in _read_header(file).items()}


def _read_header(file: Path) -> dict[str, dict]:
    """What the header says of each tensor."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise ValueError(f"{size} bytes, not even its header")
        (length,) = struct.unpack("<Q", prefix)
        if 8 + length > size:
            raise ValueError(f"{size} bytes, and its header alone would have {length}")
        if length > LONGEST_HEADER:
            raise ValueError(f"its header would have {length} bytes")
        try:
            header = json.loads(stream.read(length))
            tensors = {name: t for name, t in header.items() if "dtype" in t}
            ends = [t["data_offsets"][1] for t in tensors.values()]
            needed = 8 + length + max(ends, default=0)
            complete = all(math.prod(t["shape"]) >= 0 for t in tensors.values())
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            complete = False
    if not complete:
        raise ValueError("its header cannot be read")
    if needed > size:
        raise ValueError(f"{size} of {needed} bytes")
    return tensors
