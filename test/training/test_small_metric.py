# SPDX-License-Identifier: Apache-2.0
"""The small metric model: its camera, its range, and its folder."""

import math

import pytest
import torch

from sharpdepth_ros import MetricDepthModel, load_metric_model
from sharpdepth_ros.models.small_metric import DEFAULT_FOV, LEAST_DEPTH, NAME, SmallMetric

CONFIG = {
    "model": {
        "name": NAME,
        "image_shape": [24, 32],
        "channels": [16, 32],
        "blocks": 1,
        "output_stride": 8,
        "max_depth": 15.0,
    }
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = SmallMetric(CONFIG).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)  # it begins at zero
    torch.nn.init.normal_(model.level[-1].weight, std=0.1)
    return model


@pytest.fixture
def image():
    return torch.randint(0, 255, (2, 3, 48, 64), dtype=torch.uint8)


def camera(focal, width=64, height=48):
    k = [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    return torch.tensor(k).expand(2, 3, 3)


@torch.inference_mode()
def test_it_answers_any_size_in_metres_within_its_range(model, image):
    assert isinstance(model, MetricDepthModel)
    for size in ((48, 64), (37, 91), (240, 320)):
        out = model.infer(image[..., :1, :1].expand(-1, -1, *size))
        assert out.depth.shape == (2, 1, *size)
        assert out.depth.dtype == torch.float32
        assert (out.depth >= LEAST_DEPTH).all() and (out.depth <= 15).all()


@torch.inference_mode()
def test_an_unknown_camera_has_the_default_field_of_view(model, image):
    out = model.infer(image)
    torch.testing.assert_close(out.intrinsics, camera(32 / math.tan(math.radians(DEFAULT_FOV) / 2)))
    torch.testing.assert_close(out.depth, model.infer(image, out.intrinsics).depth)


@torch.inference_mode()
def test_a_longer_lens_means_farther(model, image):
    near, far = (model.infer(image, camera(focal)).depth for focal in (60.0, 120.0))
    assert (far / near).median() > 1.5


@torch.inference_mode()
def test_the_same_picture_at_twice_the_size_has_the_same_depth(model):
    small = torch.full((2, 3, 48, 64), 90, dtype=torch.uint8)
    large = torch.full((2, 3, 96, 128), 90, dtype=torch.uint8)
    k = camera(60.0)
    twice = k.clone()
    twice[:, :2] *= 2
    twice[:, :2, 2] += 0.5  # pixel centres are whole numbers
    first = model.infer(small, k).depth.mean()
    assert first == pytest.approx(model.infer(large, twice).depth.mean().item(), rel=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_saved_model_loads_by_its_folder(model, image, tmp_path, dtype):
    model.save_pretrained(tmp_path, dtype)
    loaded = load_metric_model(tmp_path, device="cpu")
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(
        loaded.infer(image).depth, model.infer(image).depth, rtol=tolerance, atol=tolerance
    )


def test_an_output_stride_that_no_level_has_is_refused():
    with pytest.raises(ValueError, match="output_stride is 5"):
        SmallMetric({"model": {**CONFIG["model"], "output_stride": 5}})


def test_the_default_field_of_view_is_seventy_degrees_across(model):
    out = model.infer(torch.zeros(1, 3, 30, 40, dtype=torch.uint8))
    across = 2 * math.degrees(math.atan(40 / 2 / out.intrinsics[0, 0, 0]))
    assert across == pytest.approx(70.0, abs=1e-3)
