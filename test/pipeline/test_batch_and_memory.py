# SPDX-License-Identifier: Apache-2.0
"""Several images at once, presets, and the generator pass that serves several frames."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.models.safe_loading import CheckpointError
from sharpdepth_ros.models.tiny_vae import TinyVae, load_tiny_vae
from sharpdepth_ros.pipeline.generator_cache import DraftMemory
from sharpdepth_ros.pipeline.presets import PRESETS, Preset
from sharpdepth_ros.refiners.discrepancy import DepthRange

K = np.array([[60.0, 0, 40], [0, 62.0, 30], [0, 0, 1]])


def scene(height=60, width=80, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    """The tiny checkpoint with a tiny VAE beside its parts."""
    folder = tmp_path_factory.mktemp("with_tiny_vae") / "checkpoint"
    shutil.copytree(data / "tiny_checkpoint", folder)
    torch.manual_seed(0)
    AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
    ).save_pretrained(folder / "tiny_vae")
    return folder


@pytest.fixture(scope="module")
def load(checkpoint):
    def load_pipeline(**options):
        return SharpDepthPipeline.from_pretrained(
            checkpoint, metric_model="demo", device="cpu", precision="fp32", **options
        )

    return load_pipeline


@pytest.fixture(scope="module")
def pipe(load):
    return load()


@pytest.mark.parametrize("mode", ["sharpdepth", "aligned", "metric"])
def test_a_batch_answers_as_one_call_for_each_image(pipe, mode):
    images = [scene(seed=1), scene(48, 64, seed=2), scene(seed=3), scene(seed=4)]
    cameras = [K, None, K * [[0.9], [0.9], [1]], None]
    together = pipe.batch(images, cameras, mode=mode, processing_resolution=64)
    for image, camera, out in zip(images, cameras, together, strict=True):
        alone = pipe(image, camera, mode=mode, processing_resolution=64)
        assert out.depth.shape == image.shape[:2]
        np.testing.assert_allclose(out.depth, alone.depth, rtol=1e-4)
        np.testing.assert_allclose(out.intrinsics, alone.intrinsics, rtol=1e-4)
        assert out.aligned == alone.aligned
        if mode != "metric":
            assert (out.scale, out.shift) == pytest.approx((alone.scale, alone.shift), rel=1e-3)


def test_a_batch_of_nothing_is_nothing_and_cameras_must_match(pipe):
    assert pipe.batch([]) == []
    with pytest.raises(ValueError, match="1 intrinsics for 2 images"):
        pipe.batch([scene(), scene()], [K])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_answers_maps_of_the_images_size(load, preset):
    out = load(preset=preset)(scene(), processing_resolution=64)
    assert out.depth.shape == (60, 80)
    assert np.isfinite(out.affine_depth).all()


def test_the_preset_accurate_is_the_method_as_published():
    assert PRESETS["accurate"] == Preset(tiny_vae="never", resolution_scale=1.0, generator_every=1)


def test_where_the_tiny_vae_works_is_what_the_preset_says(load, monkeypatch):
    used = []
    for half in ("encode", "decode"):
        original = getattr(TinyVae, half)

        def watched(self, values, half=half, original=original):
            used.append(half)
            return original(self, values)

        monkeypatch.setattr(TinyVae, half, watched)
    want = {
        "never": [],
        "discrepancy": ["decode"],
        "decoders": ["decode", "decode"],
        "always": ["encode", "decode", "decode"],
    }
    for use, calls in want.items():
        used.clear()
        load(preset=Preset(tiny_vae=use))(scene(), processing_resolution=64)
        assert used == calls, use


def test_a_preset_scales_the_processing_resolution(load, given_metric_model):
    metric = given_metric_model(np.tile(np.linspace(1, 4, 40), (32, 1)))
    pipe = SharpDepthPipeline(load().sharpener, metric, preset=Preset(resolution_scale=0.5))
    for resolution in (80, 0):
        pipe(scene(), processing_resolution=resolution)
        assert metric.rgb.shape[-1] == 40


def test_an_unknown_preset_and_a_missing_tiny_vae_are_named(data, given_metric_model, tmp_path):
    def load(**options):
        metric = given_metric_model(np.ones((8, 8)))
        SharpDepthPipeline.from_pretrained(
            data / "tiny_checkpoint", metric_model=metric, device="cpu", **options
        )

    with pytest.raises(ValueError, match="preset 'quick' is not one of accurate, balanced"):
        load(preset="quick")
    with pytest.raises(CheckpointError, match=r"no tiny_vae/ and its VAE is not the released"):
        load(preset="fast")
    AutoencoderTiny(latent_channels=8).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="8 channels and stride 8, the checkpoint's 4"):
        load(preset="fast", tiny_vae=tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded as a AutoencoderTiny"):
        load_tiny_vae(tmp_path)


def test_the_first_frame_of_a_memory_is_the_frame_without_one(pipe):
    alone = pipe(scene(), processing_resolution=64)
    remembered = pipe(scene(), processing_resolution=64, memory=pipe.new_memory(3))
    np.testing.assert_array_equal(alone.depth, remembered.depth)


def test_the_generator_pass_serves_as_many_frames_as_it_is_told_to(pipe):
    memory = pipe.new_memory(3)
    generated = []
    for _ in range(7):
        out = pipe(scene(), processing_resolution=64, memory=memory)
        generated.append("generate" in out.timings)
    assert generated == [True, False, False] * 2 + [True]


def test_a_still_scene_keeps_its_depth_over_frames_without_a_generator_pass(pipe):
    memory = pipe.new_memory(5)
    first, second = (pipe(scene(), processing_resolution=64, memory=memory) for _ in range(2))
    assert "generate" not in second.timings
    np.testing.assert_allclose(second.affine_depth, first.affine_depth, atol=1e-4)
    np.testing.assert_allclose(second.discrepancy, first.discrepancy, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"rgb": 255 - scene()},
        {"rgb": scene(48, 64)},
        {"seed": 1},
        {"processing_resolution": 48},
        {"lotus_steps": 2},
    ],
)
def test_another_scene_or_another_argument_makes_a_new_draft(pipe, change):
    memory = pipe.new_memory(5)
    arguments = {"rgb": scene(), "processing_resolution": 64}
    pipe(**arguments, memory=memory)
    assert "generate" in pipe(**{**arguments, **change}, memory=memory).timings


def test_a_draft_is_carried_to_another_range_in_metres():
    near, far = (
        DepthRange.of(torch.tensor(ends).view(1, 1, 1, 2)) for ends in ([1.0, 3.0], [2.0, 10.0])
    )
    # -1 and 1 of the first range are 1 m and 3 m: one metre before and one after 2 m.
    carried = far.carry(torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2), near)
    assert carried.flatten().tolist() == pytest.approx([-1.25, -0.75])


def test_an_image_on_the_device_is_not_compared_and_only_its_age_counts():
    memory = DraftMemory(2)
    image = torch.zeros(8, 8, 3, device="meta")  # a look at its values would raise
    assert memory.recall("key", image) is None
    memory.keep("draft")
    assert memory.recall("key", image) == "draft"
    assert memory.recall("key", image) is None


def test_a_memory_of_less_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="generator_every is 0"):
        DraftMemory(0)
