# SPDX-License-Identifier: Apache-2.0
"""The method gives the published numbers, and every schedule of the engine gives the method's."""

import numpy as np
import pytest
import torch

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.pipeline.engine import EngineOptions
from sharpdepth_ros.pipeline.resizing import to_processing_size
from sharpdepth_ros.refiners.sharpdepth import sharpdepth


@pytest.fixture(params=[0, 1, 2])
def golden(data, request):
    with np.load(data / "sharpdepth_tiny.npz") as arrays:
        prefix = f"{request.param}_"
        return {k.removeprefix(prefix): arrays[k] for k in arrays.files if k.startswith(prefix)}


@pytest.fixture
def by_the_method(data, golden):
    """d_s and e at the image's size, by the method alone."""
    model = load_depth_diffusion(data / "tiny_checkpoint")
    rgb = torch.from_numpy(golden["image"])[None]
    image = to_processing_size(rgb, None, int(golden["processing_resolution"]), model.stride)
    tensors = (
        torch.from_numpy(golden[name]).float()
        for name in ("metric_depth", "noise_generator", "noise_gate")
    )
    depth, *noise = tensors
    with torch.inference_mode():
        maps = sharpdepth(model, image.rgb * 2 - 1, depth[None, None], *noise)
    return [image.restore(values)[0, 0].numpy() for values in maps]


def test_the_method_gives_the_published_depth(golden, by_the_method):
    d_s, e = by_the_method
    np.testing.assert_allclose(d_s, golden["affine_depth_full"], atol=2e-5)
    np.testing.assert_array_equal((1 - e) > 0.5, golden["valid_mask"])


@pytest.mark.parametrize("schedule", ["parallel", "batched", "sequential"])
def test_every_schedule_gives_the_methods_depth(
    data, golden, by_the_method, given_metric_model, schedule
):
    pipe = SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint",
        metric_model=given_metric_model(golden["metric_depth"]),
        device="cpu",
        precision="fp32",
        engine=EngineOptions(schedule=schedule),
    )
    out = pipe(
        golden["image"].transpose(1, 2, 0),
        processing_resolution=int(golden["processing_resolution"]),
        noise=(golden["noise_generator"], golden["noise_gate"]),
    )
    d_s, e = by_the_method
    np.testing.assert_allclose(out.affine_depth, d_s, atol=2e-5)
    np.testing.assert_allclose(out.discrepancy, e, atol=2e-5)
