# SPDX-License-Identifier: Apache-2.0
"""Parameters, time and peak memory per frame of each metric model, random weights, released sizes.

    python benchmarks/metric_models.py --device cuda --precision fp16
    python benchmarks/metric_models.py --models unidepth-v2-vits14,depth-anything-v2-indoor-small

Each model runs in a process of its own, so that one's memory is not counted for the next; on the
CPU it is the whole process's. Metric3D exists as an ONNX file only: give --metric3d FILE to have it
in the table.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from machine import describe
from torch import nn

from sharpdepth_ros.models.device import resolve_device, resolve_precision
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.metric3d import load_metric3d
from sharpdepth_ros.models.transformers_depth import load_transformers_depth
from sharpdepth_ros.models.unidepth import UniDepthV1, UniDepthV2

CAMERA = torch.tensor([[[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]]])
IMAGE_SIZE = (480, 640)


def unidepth_v1(encoder: str) -> nn.Module:
    """UniDepth V1 as published."""
    model = {
        "name": "UniDepthV1",
        "num_heads": 8,
        "expansion": 4,
        "pixel_decoder": {"hidden_dim": 512, "depths": [3, 2, 1], "dropout": 0.0},
        "pixel_encoder": {"name": encoder, "pretrained": None},
    }
    return UniDepthV1({"training": {}, "data": {"image_shape": [462, 616]}, "model": model})


def unidepth_v2(encoder: str, hidden: int, out: int, levels: list[int]) -> nn.Module:
    """UniDepth V2 as published, at its smallest resolution level."""
    decoder = {
        "name": "Decoder",
        "hidden_dim": hidden,
        "dropout": 0.0,
        "depths": [2, 2, 2],
        "out_dim": out,
        "kernel_size": 3,
    }
    pixel_encoder = {
        "name": encoder,
        "num_register_tokens": 0,
        "use_norm": True,
        "pretrained": None,
        "stacking_fn": "last",
        "output_idx": levels,
    }
    shapes = {"ratio_bounds": [0.5, 2.5], "pixels_max": 600000, "pixels_min": 200000}
    return UniDepthV2(
        {
            "training": {"losses": {}},
            "data": {"augmentations": {"shape_constraints": {**shapes, "shape_mult": 14}}},
            "model": {
                "name": "UniDepthV2",
                "num_heads": 8,
                "expansion": 4,
                "layer_scale": 1.0,
                "pixel_decoder": decoder,
                "pixel_encoder": pixel_encoder,
            },
        },
        resolution_level=0,
    )


def depth_anything_v2_small(folder: Path) -> None:
    """Depth Anything V2 Metric Small, written as the hub stores it."""
    from transformers import DepthAnythingConfig, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        image_size=518,
        patch_size=14,
        out_indices=[3, 6, 9, 12],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone, depth_estimation_type="metric", max_depth=20
    )
    size = {"size": {"height": 518, "width": 518}, "ensure_multiple_of": 14, "resample": 3}
    _write(folder, config, {**size, "keep_aspect_ratio": True})


def depth_pro(folder: Path) -> None:
    """Depth Pro with its field-of-view head."""
    from transformers import DepthProConfig

    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    _write(
        folder,
        DepthProConfig(use_fov_model=True),
        {"size": {"height": 1536, "width": 1536}, **half},
    )


def _write(folder: Path, config, processor: dict) -> None:
    from transformers import AutoModelForDepthEstimation

    AutoModelForDepthEstimation.from_config(config).save_pretrained(folder)
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    settings = {"do_resize": True, "do_rescale": True, "do_normalize": True, **imagenet}
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **processor}))


NATIVE: dict[str, Callable[[], nn.Module]] = {
    "unidepth-v1-vitl14": lambda: unidepth_v1("dinov2_vitl14"),
    "unidepth-v1-cnvnxtl": lambda: unidepth_v1("convnext_large"),
    "unidepth-v2-vits14": lambda: unidepth_v2("dinov2_vits14", 256, 32, [3, 6, 9, 12]),
    "unidepth-v2-vitb14": lambda: unidepth_v2("dinov2_vitb14", 384, 48, [3, 6, 9, 12]),
    "unidepth-v2-vitl14": lambda: unidepth_v2("dinov2_vitl14", 512, 64, [6, 12, 18, 24]),
}
TRANSFORMERS: dict[str, Callable[[Path], None]] = {
    "depth-anything-v2-small": depth_anything_v2_small,
    "depth-pro": depth_pro,
}


def build(name: str, device: torch.device, dtype: torch.dtype) -> MetricDepthModel:
    """The model with random weights; `name` may be the path of a Metric3D graph."""
    if name in NATIVE:
        return NATIVE[name]().to(device, dtype).eval()
    if name in TRANSFORMERS:
        with tempfile.TemporaryDirectory() as folder:
            TRANSFORMERS[name](Path(folder))
            return load_transformers_depth(Path(folder), device, dtype)
    return load_metric3d(Path(name), device, dtype)


def measure(name: str, device: str, precision: str, frames: int) -> tuple[float, float, float]:
    """Millions of parameters, median milliseconds a frame, peak memory in GiB."""
    place = resolve_device(device)
    model = build(name, place, resolve_precision(precision, place))
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (1, 3, *IMAGE_SIZE), dtype=torch.uint8, generator=generator)
    times = []
    for _ in range(frames + 1):
        begun = time.perf_counter()
        model.infer(rgb, CAMERA).depth.cpu()
        times.append((time.perf_counter() - begun) * 1e3)
    if place.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    count = sum(p.numel() for p in model.parameters()) if isinstance(model, nn.Module) else 0
    return count / 1e6, statistics.median(times[1:]), peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*NATIVE, *TRANSFORMERS]
    parser.add_argument("--models", default=",".join(known), help="names, separated by commas")
    parser.add_argument("--metric3d", type=Path, help="an ONNX graph of Metric3D v2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--frames", type=int, default=5)
    options = parser.parse_args()
    names = options.models.split(",")
    if unknown := set(names) - set(known):
        parser.error(f"unknown models {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    if options.metric3d:
        names.append(str(options.metric3d))
    height, width = IMAGE_SIZE
    print(f"{describe()}; device {options.device}, precision {options.precision}\n")
    print(f"| model, {width}x{height} with its camera | parameters | ms a frame | peak memory |")
    print("| --- | --- | --- | --- |")
    context = multiprocessing.get_context("spawn")
    for name in names:
        with ProcessPoolExecutor(1, mp_context=context) as process:
            arguments = (name, options.device, options.precision, options.frames)
            count, milliseconds, peak = process.submit(measure, *arguments).result()
        size = f"{count:.1f} M" if count else "in the graph"
        print(f"| {name} | {size} | {milliseconds:.0f} | {peak:.2f} GiB |", flush=True)


if __name__ == "__main__":
    main()
