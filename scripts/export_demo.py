# SPDX-License-Identifier: Apache-2.0
"""Writes trained checkpoints as the package's demo weights: half precision, nothing for resuming.

python scripts/export_demo.py --sharpener RUN --metric-model RUN --tiny-vae RUN [--output FOLDER]
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel

from sharpdepth_ros.models.diffusion import ABOUT, write_about
from sharpdepth_ros.models.small_metric import SmallMetric
from sharpdepth_ros.models.tiny_vae import save_tiny_vae
from sharpdepth_ros.training.diffusers_folder import last_checkpoint

NETWORKS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
MOST_BYTES = 24_000_000


def main() -> None:
    """Write the folders `sharpener` and `metric`, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sharpener", type=Path, required=True)
    parser.add_argument("--metric-model", type=Path, required=True)
    parser.add_argument("--tiny-vae", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("sharpdepth_ros/weights/demo"))
    options = parser.parse_args()

    target = options.output / "sharpener"
    shutil.rmtree(target, ignore_errors=True)
    source = last_checkpoint(options.sharpener)
    for part, network in NETWORKS.items():
        network.from_pretrained(source / part).half().save_pretrained(target / part)
    for part in ("scheduler", "tokenizer"):
        shutil.copytree(source / part, target / part)
    trained_at = json.loads((source / ABOUT).read_text())["processing_resolution"]
    write_about(target, trained_at, fit="relative")  # measured: see MODEL_CARD.md
    tiny = AutoencoderTiny.from_pretrained(last_checkpoint(options.tiny_vae) / "tiny_vae")
    save_tiny_vae(tiny.half(), target / "tiny_vae")

    for config in target.glob("*/config.json"):
        facts = json.loads(config.read_text())
        facts.pop("_name_or_path", None)  # where diffusers loaded it from, on this machine
        config.write_text(json.dumps(facts, indent=2) + "\n")

    source = last_checkpoint(options.metric_model)
    metric = SmallMetric(json.loads((source / "config.json").read_text()))
    metric.load_state_dict(load_file(source / "model.safetensors"))
    metric.save_pretrained(options.output / "metric", torch.float16)

    size = sum(file.stat().st_size for file in options.output.rglob("*") if file.is_file())
    print(f"{options.output}: {size / 1e6:.1f} MB")
    if size > MOST_BYTES:
        raise SystemExit(f"more than the {MOST_BYTES / 1e6:g} MB that the package may hold")


if __name__ == "__main__":
    main()
