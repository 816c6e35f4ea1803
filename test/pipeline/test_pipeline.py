# SPDX-License-Identifier: Apache-2.0
"""The pipeline as a caller sees it: modes, sizes, kinds of arrays, steadiness, bad arguments."""

import numpy as np
import pytest
import torch

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.pipeline.alignment import AGREEMENT, align

K = np.array([[60.0, 0, 40], [0, 62.0, 30], [0, 0, 1]])


def scene(height=60, width=80, seed=5):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pipe(data):
    return SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint", metric_model="demo", device="cpu", precision="fp32"
    )


def with_depth(pipe, metric):
    """The same sharpener on another metric model."""
    return SharpDepthPipeline(pipe.sharpener, metric)


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (33, 200), (200, 33)])
@pytest.mark.parametrize("resolution", [0, 64])
def test_maps_have_the_size_of_the_image(pipe, size, resolution):
    out = pipe(scene(*size), processing_resolution=resolution)
    for name in ("depth", "metric_depth", "discrepancy", "affine_depth"):
        maps = getattr(out, name)
        assert maps.shape == size, name
        assert maps.dtype == np.float32, name
    assert 0 <= out.discrepancy.min() <= out.discrepancy.max() <= 1


def test_numpy_gives_numpy_and_torch_gives_torch(pipe):
    image = scene()
    out_numpy = pipe(image, processing_resolution=64)
    out_torch = pipe(torch.from_numpy(image), processing_resolution=64)
    assert isinstance(out_numpy.depth, np.ndarray)
    assert isinstance(out_torch.depth, torch.Tensor)
    np.testing.assert_array_equal(out_numpy.depth, out_torch.depth.numpy())


@pytest.mark.filterwarnings("error")
def test_views_that_torch_cannot_share_give_the_same(pipe):
    image = scene()
    expected = pipe(image, processing_resolution=64).depth
    read_only = image.view()
    read_only.flags.writeable = False
    swapped = image[..., ::-1].copy()[..., ::-1]  # as after OpenCV: BGR, looked at as RGB
    for view in (read_only, swapped, np.asfortranarray(image)):
        np.testing.assert_array_equal(pipe(view, processing_resolution=64).depth, expected)


def test_mode_metric_is_the_metric_model_alone(pipe):
    out = pipe(scene(), mode="metric", processing_resolution=64)
    np.testing.assert_array_equal(out.depth, out.metric_depth)
    assert out.affine_depth is None
    assert out.discrepancy is None
    assert not out.aligned
    assert "sharpen" not in out.timings


def test_every_stage_of_the_method_is_timed_in_order(pipe):
    timings = pipe(scene(), processing_resolution=64).timings
    stages = ["preprocess", "metric", "encode", "generate", "gate", "sharpen", "align", "download"]
    assert list(timings) == stages
    assert all(milliseconds > 0 for milliseconds in timings.values())


def test_a_still_scene_gives_the_same_map_twice_and_another_seed_another(pipe):
    first = pipe(scene(), processing_resolution=64)
    pipe(scene(seed=6), processing_resolution=64)
    again = pipe(scene(), processing_resolution=64)
    other = pipe(scene(), processing_resolution=64, seed=1)
    np.testing.assert_array_equal(first.affine_depth, again.affine_depth)
    assert not np.array_equal(first.affine_depth, other.affine_depth)


def test_the_aligned_answer_is_the_scaled_affine_depth(pipe, given_metric_model):
    # A metric model that agrees in trend with what this sharpener draws: a positive scale.
    image = scene()
    trend = pipe(image, processing_resolution=0).affine_depth[:60, :80]
    metric = given_metric_model(np.pad(5 + 2 * trend, ((0, 4), (0, 0)), mode="edge"))
    out = with_depth(pipe, metric)(image, processing_resolution=0)
    if not out.aligned:
        pytest.fail(f"expected a sound fit, got scale {out.scale}")
    np.testing.assert_allclose(out.depth, out.scale * out.affine_depth + out.shift, rtol=1e-5)


def test_the_camera_reaches_the_metric_model_at_processing_size(pipe, given_metric_model):
    metric = given_metric_model(np.tile(np.linspace(1, 4, 40), (32, 1)))
    out = with_depth(pipe, metric)(scene(), K, processing_resolution=40)
    want = K / 2
    want[2, 2] = 1
    np.testing.assert_allclose(metric.intrinsics[0], want)
    np.testing.assert_allclose(out.intrinsics, K)


def test_a_camera_says_the_same_as_its_matrix(pipe):
    camera = CameraModel.from_matrix(K, 80, 60)
    one, other = (pipe(scene(), given, processing_resolution=0) for given in (camera, K))
    np.testing.assert_array_equal(one.depth, other.depth)
    np.testing.assert_array_equal(one.intrinsics, other.intrinsics)
    (stacked,) = pipe.batch([scene()], K[None], processing_resolution=0)
    np.testing.assert_array_equal(stacked.intrinsics, one.intrinsics)


def test_an_estimated_camera_comes_back_for_the_image_as_given(pipe, given_metric_model):
    estimate = np.array([[30.0, 0, 20], [0, 31.0, 15], [0, 0, 1]])
    metric = given_metric_model(np.tile(np.linspace(1, 4, 40), (32, 1)), estimate)
    out = with_depth(pipe, metric)(scene(), processing_resolution=40)
    assert metric.intrinsics is None
    np.testing.assert_allclose(out.intrinsics, [[60, 0, 40], [0, 62, 30], [0, 0, 1]])


@pytest.mark.parametrize("value", [2.0, np.nan, np.inf])
def test_a_constant_map_falls_back_to_the_metric_depth(pipe, given_metric_model, value):
    metric = given_metric_model(np.full((64, 80), value))
    for mode in ("sharpdepth", "aligned"):
        out = with_depth(pipe, metric)(scene(), processing_resolution=0, mode=mode)
        assert not out.aligned
        np.testing.assert_array_equal(out.depth, out.metric_depth)


def test_holes_in_the_metric_map_do_not_spread(pipe, given_metric_model):
    depth = np.tile(np.linspace(1, 6, 80, dtype=np.float32), (64, 1))
    depth[10:14, 10:14] = np.nan
    out = with_depth(pipe, given_metric_model(depth))(scene(), processing_resolution=0)
    assert np.isfinite(out.affine_depth).all()
    assert np.isfinite(out.discrepancy).all()
    assert np.isfinite(out.scale)


def test_a_separate_generator_with_equal_vae_hands_over_its_latent(pipe, data, given_metric_model):
    metric = given_metric_model(np.tile(np.linspace(1, 6, 80), (64, 1)))
    alone = with_depth(pipe, metric)
    twin = SharpDepthPipeline(
        pipe.sharpener, metric, load_depth_diffusion(data / "tiny_checkpoint")
    )
    image = scene()
    np.testing.assert_allclose(
        twin(image, processing_resolution=0).affine_depth,
        alone(image, processing_resolution=0).affine_depth,
        atol=1e-6,
    )


def test_a_generator_with_another_vae_crosses_over_as_an_image(pipe, given_metric_model):
    metric = given_metric_model(np.tile(np.linspace(1, 6, 80), (64, 1)))
    other = SharpDepthPipeline.from_pretrained("demo", metric_model=metric, device="cpu").sharpener
    out = SharpDepthPipeline(pipe.sharpener, metric, other)(scene(), processing_resolution=0)
    assert np.isfinite(out.affine_depth).all()
    assert out.affine_depth.std() > 0


@pytest.mark.parametrize("mode", ["sharpdepth", "aligned"])
def test_the_fit_of_a_call_is_the_one_that_is_made(pipe, given_metric_model, mode):
    pipe = with_depth(pipe, given_metric_model(np.tile(np.geomspace(1, 30, 80), (64, 1))))
    outs = {
        fit: pipe(scene(), mode=mode, processing_resolution=0, fallback=False, fit=fit)
        for fit in (None, "least-squares", "relative")
    }
    assert outs[None].scale == outs["least-squares"].scale  # the released fit, unless a folder says
    for fit, out in outs.items():
        affine, metric, e = (
            torch.from_numpy(m)[None, None]
            for m in (out.affine_depth, out.metric_depth, out.discrepancy)
        )
        mask = 1 - e > AGREEMENT if mode == "sharpdepth" else None
        wanted = align(affine, metric, mask, fit=fit or "least-squares")
        assert (out.scale, out.shift) == pytest.approx((wanted.scale.item(), wanted.shift.item()))
        np.testing.assert_allclose(out.depth, wanted.apply(affine)[0, 0], rtol=1e-6)
    assert outs["relative"].scale != outs["least-squares"].scale
    (batched,) = pipe.batch([scene()], mode=mode, processing_resolution=0, fit="relative")
    assert batched.scale == pytest.approx(outs["relative"].scale, rel=1e-5)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((8, 8, 2), np.uint8), {}, r"rgb is uint8 \[8, 8, 2\]"),
        (np.zeros((0, 8, 3), np.uint8), {}, "not empty"),
        (scene(), {"mode": "sharp"}, "mode 'sharp' is not one of sharpdepth, aligned, metric"),
        (scene(), {"fit": "squares"}, "fit 'squares' is not one of least-squares, relative"),
        (scene(), {"lotus_steps": 0}, "lotus_steps is 0; this generator takes 1 to 1000"),
        (scene(), {"processing_resolution": -1}, "processing_resolution is -1"),
        (scene(), {"intrinsics": np.eye(4)}, r"intrinsics are \[4, 4\]"),
        (scene(), {"intrinsics": np.diag([0.0, 50, 1])}, "fx 0.0, fy 50.0: the camera is not cal"),
        (scene(), {"intrinsics": np.full((3, 3), np.nan)}, "not finite: fx nan"),
        (
            scene(60, 80),
            {"intrinsics": CameraModel.from_fov(640, 480, 70)},
            r"of a 640x480 image, and this one is 80x60; give camera.resized\(80, 60\)",
        ),
        (scene(4, 2000), {"processing_resolution": 64}, "Extreme aspect ratio"),
        (
            scene(64, 64),
            {"noise": (np.zeros((1, 4, 2, 2)), np.zeros((1, 4, 8, 8)))},
            r"noise_generator is \[1, 4, 2, 2\]; this image needs \[1, 4, 8, 8\]",
        ),
        (scene(64, 64), {"noise": (np.zeros((1, 4, 8, 8)), None)}, "noise_gate is None"),
    ],
)
def test_a_bad_argument_is_named_with_its_value(pipe, image, options, message):
    with pytest.raises(ValueError, match=message):
        pipe(image, **{"processing_resolution": 0, **options})


@pytest.mark.parametrize("mode", ["sharpdepth", "aligned", "metric"])
def test_what_the_camera_never_saw_is_in_no_map(pipe, mode):
    seen = np.ones((60, 80), bool)
    seen[:20, :30] = False
    out = pipe(scene(), mode=mode, seen=seen, processing_resolution=64)
    whole = pipe(scene(), mode=mode, processing_resolution=64)
    for name in ("depth", "metric_depth", "discrepancy", "affine_depth"):
        values = getattr(out, name)
        if values is not None:
            np.testing.assert_array_equal(np.isnan(values), ~seen, err_msg=name)
    np.testing.assert_array_equal(out.metric_depth[seen], whole.metric_depth[seen])


def test_what_the_camera_never_saw_takes_no_part_in_the_alignment(pipe):
    seen = np.ones((60, 80), bool)
    seen[:, :50] = False
    out = pipe(scene(), seen=seen, processing_resolution=64)
    whole = pipe(scene(), processing_resolution=64)
    affine, metric = (
        torch.from_numpy(m)[None, None] for m in (whole.affine_depth, whole.metric_depth)
    )
    agree = torch.from_numpy((1 - whole.discrepancy > AGREEMENT) & seen)[None, None]
    expected = align(affine, metric, mask=agree, fit=pipe.fit)
    assert out.scale == pytest.approx(expected.scale.item(), rel=1e-5)
    assert out.scale != pytest.approx(whole.scale, rel=1e-3)


def test_images_of_a_batch_have_their_own_masks(pipe):
    seen = np.zeros((60, 80), bool)
    seen[10:] = True
    first, second = pipe.batch(
        [scene(), scene()], seen=[None, seen], mode="metric", processing_resolution=64
    )
    assert np.isfinite(first.depth).all()
    np.testing.assert_array_equal(np.isfinite(second.depth), seen)


def test_a_mask_of_another_size_is_refused_with_both(pipe):
    with pytest.raises(ValueError, match=r"seen is torch.bool \[60, 81\].*\[60, 80\]"):
        pipe(scene(), seen=np.ones((60, 81), bool))
