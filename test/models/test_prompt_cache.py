# SPDX-License-Identifier: Apache-2.0
"""The empty prompt's embedding is computed once for each text encoder, and never a stale one."""

import os
import shutil

import pytest
import torch

from sharpdepth_ros.models import diffusion
from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.weights.home import weights_home


@pytest.fixture
def checkpoint(data, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(data / "tiny_checkpoint", folder)
    return folder


@pytest.fixture
def embedded(monkeypatch):
    """The folders whose text encoder was read."""
    seen = []
    original = diffusion._embed_empty_prompt
    monkeypatch.setattr(
        diffusion, "_embed_empty_prompt", lambda folder: seen.append(folder) or original(folder)
    )
    return seen


def test_the_text_encoder_is_read_at_the_first_loading_only(checkpoint, embedded):
    first, second = (load_depth_diffusion(checkpoint).prompt_embedding for _ in range(2))
    assert embedded == [checkpoint]
    assert torch.equal(first, second)


def test_another_text_encoder_in_the_same_place_is_read(checkpoint, embedded):
    load_depth_diffusion(checkpoint)
    weights = checkpoint / "text_encoder/model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))
    load_depth_diffusion(checkpoint)
    assert len(embedded) == 2


def test_a_damaged_copy_is_made_again(checkpoint, embedded):
    want = load_depth_diffusion(checkpoint).prompt_embedding
    for kept in (weights_home() / "prompts").iterdir():
        kept.write_bytes(kept.read_bytes()[:20])
    assert torch.equal(load_depth_diffusion(checkpoint).prompt_embedding, want)
    assert len(embedded) == 2


def test_a_home_that_cannot_be_written_to_does_not_matter(checkpoint, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SHARPDEPTH_HOME", str(tmp_path / "file"))
    assert load_depth_diffusion(checkpoint).prompt_embedding.shape == (1, 2, 16)
