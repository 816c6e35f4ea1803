# SPDX-License-Identifier: Apache-2.0
"""Loads models by name or from a folder: metric depth models, and diffusion depth models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sharpdepth_ros.models.device import resolve_device, resolve_precision
from sharpdepth_ros.models.diffusion import DepthDiffusion, load_depth_diffusion
from sharpdepth_ros.models.generator import DepthGenerator
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.safe_loading import CheckpointError, read_json, read_tensors
from sharpdepth_ros.models.small_metric import SmallMetric
from sharpdepth_ros.models.unidepth import UniDepthV1, UniDepthV2
from sharpdepth_ros.weights.catalogue import names_of
from sharpdepth_ros.weights.locate import locate

NATIVE = {"UniDepthV1": UniDepthV1, "UniDepthV2": UniDepthV2, "SmallMetric": SmallMetric}


def load_metric_model(
    model: str | Path, *, device: str | torch.device = "auto", precision: str = "auto"
) -> MetricDepthModel:
    """Load a metric depth model f_D.

    Args:
        model: a name of the catalogue, a hub repository as `owner/name`, or a folder as the hub
            stores it: config.json beside model.safetensors or pytorch_model.bin (UniDepth,
            transformers), or an .onnx graph (Metric3D).
        device: auto, cpu, cuda or cuda:N.
        precision: auto, fp32, tf32, bf16 or fp16; geometry stays in float32.

    Raises:
        WeightsNotFound: the weights are not on this machine and cannot be fetched.
        CheckpointError: the folder is not a metric model's, or its weights do not fit.
        ValueError: an unknown device or precision.
    """
    device = resolve_device(device)
    dtype = resolve_precision(precision, device)
    folder = locate(model, "metric")
    graphs = any(folder.rglob("*.onnx"))
    config = {} if graphs and not (folder / "config.json").is_file() else _read_config(folder)
    if not graphs and "model_type" not in config:
        return _place(_load_native(folder, config), device, dtype)
    # Here, as with Marigold below: these take long to import, and most do without them.
    from sharpdepth_ros.models.metric3d import load_metric3d
    from sharpdepth_ros.models.transformers_depth import ADAPTERS, load_transformers_depth

    # transformers names a network's class model_type; its folders may hold an .onnx export as well.
    if config.get("model_type") in ADAPTERS or ("model_type" in config and not graphs):
        return load_transformers_depth(folder, device, dtype)
    return load_metric3d(folder, device, dtype)


def load_generator(
    model: str | Path, device: torch.device, dtype: torch.dtype, **options: int
) -> DepthGenerator:
    """Load a sharpener or a generator by name, by hub repository or from its folder.

    Args:
        model: its name says "disparity" where it draws disparity (as published names do); the
            files of Lotus do not.
        device: where it runs.
        dtype: of its networks.
        **options: for Marigold, `steps` and `ensemble_size`.

    Raises:
        WeightsNotFound: the weights are not on this machine and cannot be fetched.
        CheckpointError: the folder is not a checkpoint in a known layout.
        ValueError: options that the model does not have.
    """
    kinds = ("sharpener", "generator")
    folder = locate(model, *kinds)
    if _is_marigold(folder):
        if unknown := options.keys() - {"steps", "ensemble_size"}:
            raise ValueError(
                f"generator options {', '.join(unknown)}: Marigold has steps and ensemble_size"
            )
        from sharpdepth_ros.models.marigold import load_marigold

        return load_marigold(folder, device, dtype, **options)
    if options:
        raise ValueError(
            f"generator options {', '.join(options)} are Marigold's; {str(model)!r} is a Lotus"
        )
    space = "disparity" if "disparity" in Path(model).name else "depth"
    return load_depth_diffusion(folder, device, dtype, space)


def find_tiny_vae(
    tiny_vae: str | Path | None, model: str | Path, sharpener: DepthDiffusion
) -> Path:
    """Folder of the tiny VAE for a checkpoint.

    Args:
        tiny_vae: a folder or a name; None looks for tiny_vae/ in the checkpoint's folder, then
            takes the published one if the checkpoint's VAE is the released one.
        model: the checkpoint's name or folder.
        sharpener: the checkpoint, loaded.

    Raises:
        WeightsNotFound: the weights are not on this machine and cannot be fetched.
        CheckpointError: there is none for this checkpoint.
    """
    if tiny_vae is not None:
        return locate(tiny_vae, "tiny-vae")
    beside = locate(model, "sharpener", "generator") / "tiny_vae"
    if beside.is_dir():
        return beside
    if _has_released_vae(sharpener):
        return locate("taesd", "tiny-vae")
    raise CheckpointError(
        f"{str(model)!r} has no tiny_vae/ and its VAE is not the released one, for which `taesd` "
        "was made. Give tiny_vae a folder that `sharpdepth train tiny-vae` wrote for it, or take "
        "the preset accurate"
    )


def _has_released_vae(model: DepthDiffusion) -> bool:
    """Whether the VAE has the shape of Stable Diffusion's, on which Lotus and SharpDepth stand."""
    config = model.vae.config
    return tuple(config.block_out_channels) == (128, 256, 512, 512) and config.latent_channels == 4


def _is_marigold(folder: Path) -> bool:
    index = folder / "model_index.json"
    return index.is_file() and "Marigold" in str(read_json(index).get("_class_name"))


def _place(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    return network.to(device=device, dtype=dtype).eval().requires_grad_(False)


def _read_config(folder: Path) -> Mapping[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise CheckpointError(
            f"{folder} is not a metric model: it has neither a config.json nor an .onnx graph. "
            f"Give a folder in the published layout or one of {', '.join(names_of('metric'))}"
        )
    return read_json(file)


def _load_native(folder: Path, config: Mapping[str, Any]) -> nn.Module:
    model = config.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    if not isinstance(name, str) or name not in NATIVE:
        raise CheckpointError(
            f"{folder / 'config.json'}: model.name is {name!r}; known are {', '.join(NATIVE)} "
            "and transformers' depth models, which have a model_type"
        )
    # Built without memory or initial values: every one of them comes from the file.
    with torch.device("meta"):
        network = NATIVE[name](config)
    try:
        network.load_state_dict(_read_state_dict(folder), strict=True, assign=True)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise CheckpointError(
            f"the weights in {folder} do not fit {name}: {' '.join(lines[:2])[:300]}"
        ) from error
    return network


def _read_state_dict(folder: Path) -> dict[str, torch.Tensor]:
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    for file in files:
        if file.is_file():
            return read_tensors(file)
    raise CheckpointError(f"{folder} has neither {files[0].name} nor {files[1].name}")
