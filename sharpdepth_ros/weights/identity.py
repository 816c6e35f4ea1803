# SPDX-License-Identifier: Apache-2.0
"""Compares a folder of weights with the model of the catalogue that it is said to be."""

import json
import math
from pathlib import Path
from typing import Any

from sharpdepth_ros.weights.catalogue import ModelEntry
from sharpdepth_ros.weights.home import model_folder
from sharpdepth_ros.weights.hub import superfluous_files
from sharpdepth_ros.weights.layout import (
    WEIGHT_SUFFIXES,
    faults_of,
    tensor_shapes,
    visible_files,
)

LEAST_SHARE, LARGEST_SHARE = 0.85, 1.15
"""How far the number of weights may be from the catalogue's, which is rounded."""

NETWORKS = {"metric": (".",), "tiny-vae": (".",), "generator": ("unet", "vae")}
"""Folders whose weights the catalogue counts: the text encoder of a checkpoint runs once."""

NAMES = ("model", "diffusion_pytorch_model", "pytorch_model")
"""How the libraries begin the names of the files that they load."""

UNET_WITH_NOISE = (("unet/config.json", "in_channels", 8),)
UNET_WITHOUT_NOISE = (("unet/config.json", "in_channels", 4),)


def _anything(kind: str, max_depth: float | None = None) -> tuple[tuple[str, str, Any], ...]:
    said = (("config.json", "model_type", kind),)
    return said if max_depth is None else (*said, ("config.json", "max_depth", max_depth))


BY_FAMILY = {
    "unidepth-v1": (("config.json", "model.name", "UniDepthV1"),),
    "unidepth-v2": (("config.json", "model.name", "UniDepthV2"),),
}
BY_NAME = {
    "depth-anything-v2-indoor-small": _anything("depth_anything", 20),
    "depth-anything-v2-indoor-large": _anything("depth_anything", 20),
    "depth-anything-v2-outdoor-small": _anything("depth_anything", 80),
    "depth-anything-v2-outdoor-large": _anything("depth_anything", 80),
    "depth-pro": _anything("depth_pro"),
    "zoedepth-nyu-kitti": _anything("zoedepth"),
    "lotus-depth-g-v1-0": UNET_WITH_NOISE,
    "lotus-depth-g-v2-1-disparity": UNET_WITH_NOISE,
    "lotus-depth-d-v1-0": UNET_WITHOUT_NOISE,
    "lotus-depth-d-v2-0-disparity": UNET_WITHOUT_NOISE,
    "sharpdepth": UNET_WITH_NOISE,
}
"""What tells a model from its relatives: file, key and value of its configuration."""


def differences(entry: ModelEntry, folder: Path) -> list[str]:
    """How a folder differs from the model of the catalogue; empty where it does not.

    Compares the architecture that the configuration names, and the number of weights. Models that
    are alike in both (Lotus of depth and of disparity; other weights of one architecture) are told
    apart by checksums alone.
    """
    found = []
    for file, key, wanted in BY_NAME.get(entry.name, BY_FAMILY.get(entry.family, ())):
        got = _lookup(folder / file, key)
        if got != wanted:
            found.append(f"{file} has {key} {got!r}, {entry.name} has {wanted!r}")
    if entry.family == "metric3d" and not any(f.suffix == ".onnx" for f in visible_files(folder)):
        found.append(f"there is no .onnx graph, which {entry.name} is")
    least, most = _weights_in(folder, NETWORKS.get(entry.kind, NETWORKS["generator"]))
    millions = entry.parameters * 1e6
    if most < LEAST_SHARE * millions or least > LARGEST_SHARE * millions:
        number = f"{least / 1e6:.3g}" if least == most else f"{least / 1e6:.3g} to {most / 1e6:.3g}"
        found.append(f"it has {number} million weights, {entry.name} {entry.parameters:g}")
    return found


def is_another_model(entry: ModelEntry, folder: Path) -> bool:
    """Whether a folder holds a whole model, but not that of the catalogue."""
    return not faults_of(folder, entry.kind) and bool(differences(entry, folder))


def faults_here(entry: ModelEntry, folder: Path) -> list[str]:
    """What is wrong with a model's folder on this machine; empty for a good one.

    A copy that was put there may be of another model; the hub's cache says what it is of.
    """
    faults = faults_of(folder, entry.kind)
    if faults or folder != model_folder(entry.name):
        return faults
    return [f"another model: {text}" for text in differences(entry, folder)]


def _lookup(file: Path, key: str) -> Any:
    """A value in a JSON file; None where it is not there."""
    try:
        value = json.loads(file.read_bytes())
        for part in key.split("."):
            value = value[part]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value


def _weights_in(folder: Path, networks: tuple[str, ...]) -> tuple[float, float]:
    """Fewest and most weights that the files may have: only .safetensors say it."""
    least = most = 0.0
    for network in networks:
        for file in _loaded_files(folder / network):
            if file.suffix == ".safetensors":
                number = sum(math.prod(shape) for shape in tensor_shapes(file).values())
                least, most = least + number, most + number
            else:
                # Two or four bytes each; in a graph one byte too.
                size = file.stat().st_size
                least += size / 4
                most += size / (2 if file.suffix != ".onnx" and "onnx" not in file.name else 1)
    return least, most


def _loaded_files(folder: Path) -> list[Path]:
    """The files of weights that a library would load: not those in other precisions or formats."""
    files = {
        f.relative_to(folder).as_posix(): f
        for f in visible_files(folder)
        if f.suffix in WEIGHT_SUFFIXES or ".onnx_data" in f.name
    }
    for name in superfluous_files(files):
        del files[name]
    named = [f for f in files.values() if f.name.startswith(NAMES)]
    return named or list(files.values())
