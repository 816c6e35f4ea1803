# SPDX-License-Identifier: Apache-2.0
"""What decides a result: facts that are recorded beside it, and compared before it is kept."""

import glob
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sharpdepth_ros
from sharpdepth_ros.pipeline.presets import Preset, find_preset
from sharpdepth_ros.weights.checksums import files_in
from sharpdepth_ros.weights.locate import WeightsNotFound, locate

_HASHED = 64 * 1024**2
"""Bytes; files up to this size are told apart by their content, larger ones by size and time."""

_SHOWN = 100
"""Characters of a value in a message."""


def changes(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """The facts that differ, each with a sentence that has both values.

    Args:
        recorded: by the earlier run; JSON values.
        wanted: of this one. A fact that one of both lacks differs.
    """
    return {
        name: f"{name} was {_shown(recorded, name)} and is {_shown(wanted, name)}"
        for name in sorted(recorded.keys() | wanted.keys())
        if name not in recorded or name not in wanted or recorded[name] != wanted[name]
    }


def file_facts(path: Path) -> list:
    """Which file an input is: its resolved path, size in bytes and time of change in ns."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def camera_facts(given: str | None, name: Path | None = None) -> list[str] | None:
    """A camera as a command line gives it, and the content of its files.

    Args:
        given: numbers, a file, or a folder with a file for each image; None for none.
        name: of the image below its folder, without suffix.
    """
    if given is None:
        return None
    path = Path(given)
    files = [path] if path.is_file() else []
    if path.is_dir() and name is not None:
        files = sorted((path / name).parent.glob(f"{glob.escape(name.name)}.*"))
    return [given, *(f"{file.name} {_digest(file)}" for file in files if os.access(file, os.R_OK))]


def model_facts(
    model: str | Path,
    metric_model: str | Path,
    *,
    generator: str | Path | None = None,
    tiny_vae: str | Path | None = None,
    preset: str | Preset = "accurate",
    precision: str = "auto",
    device: str = "auto",
) -> dict[str, str]:
    """What the networks compute that these arguments of `SharpDepthPipeline` stand for.

    Returns:
        Digests of their weights, the arithmetic that the device gives the precision, and the
        version of this package.

    Raises:
        WeightsNotFound: a name's weights are not on this machine and cannot be fetched.
        ValueError: an unknown device, precision or preset.
    """
    from sharpdepth_ros.models.device import resolve_device, resolve_precision

    kinds = ("sharpener", "generator")
    folders = {"model": locate(model, *kinds), "metric_model": locate(metric_model, "metric")}
    if generator:
        folders["generator"] = locate(generator, *kinds)
    if find_preset(preset).tiny_vae != "never":
        try:
            folders["tiny_vae"] = _tiny_vae_folder(tiny_vae, folders["model"])
        except WeightsNotFound:
            if tiny_vae:
                raise  # else the pipeline says it, if it needs one
    dtype = resolve_precision(precision, resolve_device(device), tolerant=True)
    return {
        **{f"{role}_weights": folder_digest(folder) for role, folder in folders.items()},
        "arithmetic": str(dtype).removeprefix("torch."),
        "version": sharpdepth_ros.__version__,
    }


def folder_digest(folder: Path) -> str:
    """Of the names of a folder's files and of what is in them; cheap for large files."""
    digest = hashlib.sha256()
    for file in files_in(folder):
        digest.update(f"{file.relative_to(folder).as_posix()}\n{_digest(file)}\n".encode())
    return digest.hexdigest()[:16]


def _tiny_vae_folder(given: str | Path | None, model_folder: Path) -> Path:
    """As `models.registry.find_tiny_vae` finds it, without loading the model."""
    beside = model_folder / "tiny_vae"
    return locate(given or "taesd", "tiny-vae") if given or not beside.is_dir() else beside


def _digest(file: Path) -> str:
    stored = file.resolve()
    if stored.parent.name == "blobs":  # the hub's cache names a file after its content
        return stored.name
    status = stored.stat()
    if status.st_size > _HASHED:
        return f"{status.st_size} bytes of {status.st_mtime_ns}"
    return hashlib.sha256(stored.read_bytes()).hexdigest()[:16]


def _shown(facts: Mapping[str, Any], name: str) -> str:
    if name not in facts:
        return "not recorded"
    text = repr(facts[name])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
