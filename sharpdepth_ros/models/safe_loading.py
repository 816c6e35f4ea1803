# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a model's folder as data: whoever made them, no code in them is run."""

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from packaging.version import Version
from safetensors import SafetensorError
from safetensors.torch import load_file

from sharpdepth_ros.weights.layout import shortage_of

SAFE_UNPICKLING = Version("2.6")
"""The first torch whose weights_only cannot be led to run code (CVE-2025-32434)."""

Network = TypeVar("Network")

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
CODE_KEYS = ("auto_map", "custom_pipelines", "custom_pipeline")
"""Keys of a config.json under which transformers and diffusers look for Python files."""

KERNEL_KEYS = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""Keys whose value transformers takes for a hub repository of compiled kernels if it has a /."""


class CheckpointError(ValueError):
    """A checkpoint folder that cannot be used; the message names the part and the remedy."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: it is missing, is not JSON, or holds something else than an object.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} has no {path.name}; give a model's folder as the Hugging Face hub has "
            "it, or fetch it again"
        )
    content = _parsed(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}; expected a JSON object")
    return content


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a .safetensors file, or in a pickle, of which only tensors are read.

    Raises:
        CheckpointError: it is damaged, carries code, or is no state dict.
    """
    if path.suffix in PICKLES:
        state = read_pickle(path)
    else:
        _require_whole(path)
        try:
            state = load_file(path)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} cannot be read: {first_line(error)}; fetch it again"
            ) from error
    named = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    )
    if not named:
        raise CheckpointError(
            f"{path} holds no state dict of named tensors; take the file that the publisher gives "
            "for inference"
        )
    return state


def read_pickle(path: Path) -> Any:
    """What torch.save wrote: tensors in containers, on the CPU. Anything else is refused.

    Raises:
        CheckpointError: the file is damaged or carries code, or this torch cannot tell.
    """
    require_safe_unpickling(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read as tensors: it is damaged or carries code, which is not run. "
            "Take the model's .safetensors, or fetch the file again from its publisher"
        ) from error
    # A damaged pickle raises whatever its instructions lead to.
    except Exception as error:
        raise CheckpointError(
            f"{path} cannot be read as tensors: {type(error).__name__}: {first_line(error)}. "
            "Fetch it again"
        ) from error


def require_safe_unpickling(path: Path) -> None:
    """Refuse pickles where torch may be led to run code by one.

    Raises:
        CheckpointError: this torch is older than 2.6.
    """
    if Version(torch.__version__) < SAFE_UNPICKLING:
        raise CheckpointError(
            f"{path} is a pickle, and torch {torch.__version__} may run code that one carries: "
            f"take the model's .safetensors, or torch {SAFE_UNPICKLING} or newer"
        )


def require_data_only(folder: Path) -> None:
    """Check a folder before a library is pointed at it, which would follow what it says.

    Looks at what decides where files are read from and whether code is: configurations, indices of
    split weights, the headers of .safetensors, and whether pickles can be read at all.

    Raises:
        CheckpointError: a configuration names code, an index leads out of the folder, or a file is
            damaged; the message says which and what to do.
    """
    for file in sorted(folder.iterdir()):
        if file.name.endswith(".index.json"):
            _require_inside(file)
        elif file.suffix == ".json" and file.name != "tokenizer.json":
            _require_no_code(file)
        elif file.suffix == ".safetensors":
            _require_whole(file)
        elif file.suffix in PICKLES:
            require_safe_unpickling(file)


def _require_inside(index: Path) -> None:
    """Every shard of split weights is a file of the folder itself."""
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict):
        raise CheckpointError(f"{index} has no weight_map; fetch it again")
    for shard in shards.values():
        plain = isinstance(shard, str) and Path(shard).name == shard and shard != ".."
        if not plain or "\0" in shard:
            raise CheckpointError(
                f"{index}: weight_map leads to {shard!r}; weights lie in the folder of their "
                "index. Do not use this checkpoint, or fetch it again from its publisher"
            )


def _require_no_code(config: Path) -> None:
    # Not every file is an object: the vocabulary of a tokenizer may be a list.
    for key, value in _entries(_parsed(config)):
        if key in CODE_KEYS and value:
            raise CheckpointError(
                f"{config} names Python code ({key}: {value!r}), which is never run. Take a "
                "checkpoint of a model that diffusers or transformers have themselves"
            )
        if key in KERNEL_KEYS and "/" in str(value):
            raise CheckpointError(
                f"{config} names compiled code ({key}: {value!r}), which is never fetched. Remove "
                "the line: the library's own attention gives the same numbers"
            )


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values of nested objects."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _require_whole(file: Path) -> None:
    if not os.path.exists(file):
        raise CheckpointError(f"{file} is a link to a file that is gone; fetch it again")
    if shortage := shortage_of(file):
        raise CheckpointError(f"{file} is damaged or cut off: {shortage}. Fetch it again")


def load_network(folder: Path, kind: type[Network], dtype: torch.dtype = torch.float32) -> Network:
    """A network of diffusers or transformers; every weight must come from its file.

    Args:
        folder: config.json beside the weights.
        kind: the class that it is loaded as, whatever the files say.
        dtype: of the weights.

    Raises:
        CheckpointError: the folder is incomplete, damaged, or of another network, or it names code.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} does not exist; give the folder of a {kind.__name__}")
    require_data_only(folder)
    try:
        network, report = kind.from_pretrained(
            folder, torch_dtype=dtype, output_loading_info=True, local_files_only=True
        )
    except Exception as error:  # of several libraries, with no other class in common
        raise CheckpointError(
            f"{folder} cannot be loaded as a {kind.__name__}: {explained(error)}"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights of a {kind.__name__}, the first is "
            f"{missing[0]}; the file is of another model or incomplete: fetch it again"
        )
    return network


def explained(error: Exception) -> str:
    """Why a library could not load a folder, in one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, pickle.UnpicklingError):
            return (
                "a pickle in it is damaged or carries code, which is not run. Take the model's "
                ".safetensors, or fetch it again from its publisher"
            )
        cause = cause.__cause__ or cause.__context__
    return first_line(error)


def first_line(error: Exception) -> str:
    """The first line of an error's message: libraries append pages of advice."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
