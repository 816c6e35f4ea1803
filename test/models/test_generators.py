# SPDX-License-Identifier: Apache-2.0
"""Generators besides the sharpener's own UNet: Lotus-D, disparity checkpoints, Marigold."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, MarigoldDepthPipeline, UNet2DConditionModel

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.models.marigold import MarigoldGenerator, load_marigold
from sharpdepth_ros.models.random_checkpoint import write_random_checkpoint
from sharpdepth_ros.models.safe_loading import CheckpointError

CPU, FP32 = torch.device("cpu"), torch.float32
HEIGHT, WIDTH = 48, 64
IMAGE = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A sharpener, a Lotus-D, a disparity Lotus and a Marigold with random weights."""
    root = tmp_path_factory.mktemp("generators")
    write_random_checkpoint(root / "sharpener")
    write_random_checkpoint(root / "lotus-d", takes_noise=False)
    shutil.copytree(root / "sharpener", root / "lotus-g-disparity")
    lotus = load_depth_diffusion(root / "sharpener")
    config = {k: v for k, v in lotus.unet.config.items() if not k.startswith("_")}
    torch.manual_seed(4)
    for kind in ("depth", "disparity", "normals"):
        MarigoldDepthPipeline(
            # Marigold has no task switcher.
            unet=UNet2DConditionModel(**{**config, "class_embed_type": None}),
            vae=lotus.vae,
            scheduler=DDIMScheduler(
                beta_schedule="scaled_linear", clip_sample=False, timestep_spacing="trailing"
            ),
            text_encoder=_text_encoder(root / "sharpener"),
            tokenizer=_tokenizer(root / "sharpener"),
            prediction_type=kind,
            default_denoising_steps=1,
        ).save_pretrained(root / f"marigold-{kind}")
    return root


def _text_encoder(folder):
    from transformers import CLIPTextModel

    return CLIPTextModel.from_pretrained(folder / "text_encoder")


def _tokenizer(folder):
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder / "tokenizer")


@pytest.fixture
def metric(given_metric_model):
    """A metric map with structure, at the size of the image."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return given_metric_model(2 + 0.05 * columns + 0.5 * (rows > 20))


def load(folders, metric, model, **options):
    return SharpDepthPipeline.from_pretrained(
        folders / model, metric_model=metric, device="cpu", precision="fp32", **options
    )


def fit(affine, target):
    a = np.stack([affine.ravel(), np.ones(affine.size)], axis=1).astype(np.float64)
    return np.linalg.lstsq(a, target.ravel(), rcond=None)[0]


@pytest.mark.parametrize("model", ["lotus-d", "lotus-g-disparity", "marigold-depth"])
def test_a_generator_alone_gives_aligned_depth_and_refuses_to_sharpen(folders, metric, model):
    pipe = load(folders, metric, model)
    out = pipe(IMAGE, mode="aligned", processing_resolution=0, fallback=False)
    assert out.depth.shape == (HEIGHT, WIDTH)
    assert 0 <= out.affine_depth.min() < out.affine_depth.max() <= 1
    assert 0 <= out.discrepancy.min() <= out.discrepancy.max() <= 1
    with pytest.raises(ValueError, match="needs a sharpener"):
        pipe(IMAGE, processing_resolution=0)


@pytest.mark.parametrize(
    "generator", ["lotus-d", "lotus-g-disparity", "marigold-depth", "marigold-disparity"]
)
def test_a_separate_generator_steers_the_sharpener(folders, metric, generator):
    alone = load(folders, metric, "sharpener")(IMAGE, processing_resolution=0)
    pipe = load(folders, metric, "sharpener", generator=folders / generator)
    out = pipe(IMAGE, processing_resolution=0)
    assert np.isfinite(out.affine_depth).all()
    assert not np.allclose(out.discrepancy, alone.discrepancy, atol=1e-3)


def test_lotus_d_starts_from_no_noise_and_takes_one_step(folders, metric):
    pipe = load(folders, metric, "lotus-d")
    one, two = (
        pipe(IMAGE, mode="aligned", processing_resolution=0, seed=seed).affine_depth
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match="lotus_steps is 2; this generator takes 1 to 1"):
        pipe(IMAGE, mode="aligned", lotus_steps=2)


def test_lotus_d_is_the_decoded_prediction_of_the_image_latent(folders, metric):
    out = load(folders, metric, "lotus-d")(IMAGE, mode="aligned", processing_resolution=0)
    model = load_depth_diffusion(folders / "lotus-d")
    with torch.inference_mode():
        rgb = torch.from_numpy(IMAGE).permute(2, 0, 1)[None] / 127.5 - 1
        x0 = model.unet(
            model.encode(rgb),
            999,
            encoder_hidden_states=model.prompt_embedding,
            class_labels=model.task_embedding,
        ).sample
        want = (model.decode(x0) / 2 + 0.5).clamp(0, 1).mean(1)[0]
    np.testing.assert_allclose(out.affine_depth, want.numpy(), atol=1e-5)


def test_disparity_is_aligned_in_disparity_space(folders, metric):
    pipe = load(folders, metric, "lotus-g-disparity")
    out = pipe(IMAGE, mode="aligned", processing_resolution=0, fallback=False)
    scale, shift = fit(out.affine_depth, 1 / out.metric_depth)
    assert (out.scale, out.shift) == pytest.approx((scale, shift), rel=1e-3)
    want = 1 / np.clip(scale * out.affine_depth + shift, 1e-3, None)
    np.testing.assert_allclose(out.depth, want, rtol=1e-3)


def test_marigold_equals_diffusers_own_pipeline(folders):
    ours = load_marigold(folders / "marigold-depth", CPU, FP32, steps=3)
    theirs = MarigoldDepthPipeline.from_pretrained(folders / "marigold-depth")
    theirs.set_progress_bar_config(disable=True)
    rgb = torch.from_numpy(IMAGE).permute(2, 0, 1)[None] / 255
    noise = torch.randn(ours.noise_shape(HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1))
    want = theirs(
        rgb, num_inference_steps=3, latents=noise, processing_resolution=0, output_type="pt"
    )
    with torch.inference_mode():
        got = ours.draw(rgb, noise, steps=1)  # its own step count wins
    torch.testing.assert_close(got, want.prediction)


def test_marigold_merges_an_ensemble_of_its_own_noises(folders, metric):
    pipe = load(
        folders, metric, "marigold-depth", generator_options={"steps": 1, "ensemble_size": 3}
    )
    assert pipe.generator.noise_shape(48, 64) == (3, 4, 6, 8)
    out = pipe(IMAGE, mode="aligned", processing_resolution=0, fallback=False)
    single = load(folders, metric, "marigold-depth")
    one = single(IMAGE, mode="aligned", processing_resolution=0, fallback=False)
    assert np.isfinite(out.depth).all()
    assert not np.allclose(out.affine_depth, one.affine_depth, atol=1e-3)


def test_a_marigold_that_predicts_normals_is_refused(folders, metric):
    with pytest.raises(ValueError, match="predicts 'normals'"):
        load(folders, metric, "marigold-normals")


def test_an_incomplete_marigold_is_refused_by_name(folders, metric, tmp_path):
    broken = shutil.copytree(folders / "marigold-depth", tmp_path / "marigold")
    shutil.rmtree(broken / "vae")
    with pytest.raises(CheckpointError, match="Marigold checkpoint: vae/ missing"):
        load(folders, metric, broken)


def test_options_of_another_generator_are_refused(folders, metric):
    with pytest.raises(ValueError, match="generator options ensemble_size are Marigold's"):
        load(folders, metric, "sharpener", generator_options={"ensemble_size": 3})
    pipeline = MarigoldDepthPipeline.from_pretrained(folders / "marigold-depth")
    with pytest.raises(ValueError, match="ensemble_size 0 must be 1 or more"):
        MarigoldGenerator(pipeline, ensemble_size=0)


def test_a_generator_given_as_sharpener_is_refused_with_the_reason(folders, metric):
    lotus_d = load_depth_diffusion(folders / "lotus-d")
    with pytest.raises(ValueError, match="takes the image latent alone"):
        SharpDepthPipeline(lotus_d, metric)
    with pytest.raises(ValueError, match="neither a sharpener nor a generator"):
        SharpDepthPipeline(None, metric)
