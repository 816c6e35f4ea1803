# SPDX-License-Identifier: Apache-2.0
"""The pipeline's numbers are those of the published SharpDepth and Lotus code."""

import numpy as np
import pytest
import torch

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.refiners.discrepancy import gate_latent


def golden(data, name, case):
    prefix = f"{case}_"
    with np.load(data / f"{name}.npz") as arrays:
        return {k.removeprefix(prefix): arrays[k] for k in arrays.files if k.startswith(prefix)}


@pytest.fixture
def run(data, given_metric_model):
    """Run a golden case: the output, and the metric model that saw its input."""

    def run_case(want, **options):
        metric = given_metric_model(want["metric_depth"])
        return _pipeline(data, metric)(
            want["image"].transpose(1, 2, 0),
            processing_resolution=int(want["processing_resolution"]),
            noise=(want["noise_generator"], want["noise_gate"]),
            **options,
        ), metric

    return run_case


def _pipeline(data, metric):
    return SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint", metric_model=metric, device="cpu", precision="fp32"
    )


@pytest.mark.parametrize("case", [0, 1, 2])
def test_sharpdepth_equals_the_published_pipeline(data, run, case):
    want = golden(data, "sharpdepth_tiny", case)
    out, metric = run(want, fallback=False)

    np.testing.assert_array_equal(metric.rgb[0].numpy(), want["metric_input_rgb"])
    np.testing.assert_allclose(out.metric_depth, want["metric_depth_full"], rtol=1e-6)
    np.testing.assert_allclose(out.affine_depth, want["affine_depth_full"], atol=2e-5)
    np.testing.assert_array_equal((1 - out.discrepancy) > 0.5, want["valid_mask"])
    assert out.scale == pytest.approx(float(want["scale"]), rel=1e-4)
    assert out.shift == pytest.approx(float(want["shift"]), rel=1e-4)
    np.testing.assert_allclose(out.depth, want["sharp_depth"], rtol=1e-4)


def test_a_negative_scale_falls_back_to_the_metric_depth_by_default(data, run):
    want = golden(data, "sharpdepth_tiny", 1)
    out, _ = run(want)
    assert out.scale < 0
    assert not out.aligned
    np.testing.assert_array_equal(out.depth, out.metric_depth)


@pytest.mark.parametrize(("case", "steps"), [(0, 1), (1, 4)])
def test_the_generator_equals_the_published_lotus_pipeline(data, given_metric_model, case, steps):
    want = golden(data, "lotus_tiny", case)
    image = want["image"].transpose(1, 2, 0)
    metric = given_metric_model(np.tile(np.linspace(1, 4, 128), (96, 1)))
    out = _pipeline(data, metric)(
        image,
        mode="aligned",
        processing_resolution=int(want["processing_resolution"]),
        lotus_steps=steps,
        noise=(want["latents"], None),
    )
    assert len(want["timesteps"]) == steps
    np.testing.assert_allclose(out.affine_depth, want["output"], atol=1e-5)
    # The aligned baseline is the least-squares fit over all pixels.
    a = np.stack([want["output"].ravel(), np.ones(want["output"].size)], axis=1)
    scale, shift = np.linalg.lstsq(a, out.metric_depth.ravel(), rcond=None)[0]
    assert (out.scale, out.shift) == pytest.approx((scale, shift), rel=1e-3)


def test_the_gate_is_the_discrepancy_at_every_eighth_pixel():
    discrepancy = torch.rand(1, 1, 48, 64)
    renoised, metric = torch.ones(1, 4, 6, 8), torch.zeros(1, 4, 6, 8)
    gated = gate_latent(discrepancy, renoised, metric, 8)
    torch.testing.assert_close(gated, discrepancy[..., ::8, ::8].expand(-1, 4, -1, -1))
