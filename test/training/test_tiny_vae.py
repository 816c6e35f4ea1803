# SPDX-License-Identifier: Apache-2.0
"""A tiny VAE is distilled from a checkpoint's own and takes its place in the pipeline."""

import json

import pytest
import torch
from diffusers import AutoencoderKL

from sharpdepth_ros.models.tiny_vae import load_tiny_vae
from sharpdepth_ros.training import train
from sharpdepth_ros.training.diffusers_folder import last_checkpoint, load_for_training


def test_its_latents_come_nearer_to_the_teachers_and_it_fits_the_checkpoint(stack, tmp_path):
    more = ("optimizer.steps=40", "optimizer.learning_rate=0.003", "optimizer.batch_size=4")
    assert train("tiny-vae", None, stack.arguments("tiny-vae", tmp_path / "run", *more)) == 0
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    latent = [entry["latent"] for entry in log if "latent" in entry]
    assert sum(latent[-5:]) < 0.8 * sum(latent[:5])
    tiny = load_tiny_vae(last_checkpoint(tmp_path / "run"))
    tiny.require_fit(load_for_training(last_checkpoint(stack.lotus)))
    image = torch.rand(1, 3, 24, 32) * 2 - 1
    with torch.inference_mode():
        assert tiny.decode(tiny.encode(image)).shape == image.shape
        teacher = AutoencoderKL.from_pretrained(last_checkpoint(stack.vae) / "vae")
        assert tiny.encode(image).shape == teacher.encode(image).latent_dist.mode().shape


def test_levels_that_are_not_the_teachers_are_named(stack, tmp_path):
    arguments = stack.arguments("tiny-vae", tmp_path, "stage.encoder_blocks=[1,1]")
    with pytest.raises(
        ValueError, match=r"stage\.encoder_blocks has 2 levels, the teacher's VAE 3"
    ):
        train("tiny-vae", None, arguments)
