# SPDX-License-Identifier: Apache-2.0
"""Metrics: the published numbers, and what happens without pixels, with zeros, nan and infinity."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpdepth_ros.evaluation import metrics

PUBLISHED = np.load(Path(__file__).parents[1] / "data" / "metrics.npz")
NAMES = [
    "abs_relative_difference",
    "squared_relative_difference",
    "rmse_linear",
    "rmse_log",
    "log10",
    "delta1_acc",
    "delta2_acc",
    "delta3_acc",
    "i_rmse",
    "silog_rmse",
    "dbe_acc",
    "dbe_compl",
    "boundary_f1",
]
PIXEL_METRICS = [name for name in metrics.ACCURACY if name != "coverage"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prediction", ["blur", "shift", "noisy", "flat"])
@pytest.mark.parametrize("case", [0, 1])
def test_values_equal_the_published_functions(case, prediction, name):
    predicted, target = PUBLISHED[f"{case}_{prediction}"], PUBLISHED[f"{case}_gt"]
    value = getattr(metrics, name)(predicted, target, PUBLISHED[f"{case}_valid"])
    assert isinstance(value, float)
    assert value == pytest.approx(float(PUBLISHED[f"{case}_{prediction}_{name}"]), rel=1e-6)


@pytest.mark.parametrize("name", PIXEL_METRICS)
def test_a_perfect_prediction_has_no_error(name):
    depth = np.linspace(1, 9, 63, dtype=np.float32).reshape(7, 9)
    best = 1.0 if metrics.METRICS[name].higher_is_better else 0.0
    assert metrics.METRICS[name].function(depth, depth, None) == best


@pytest.mark.parametrize("name", list(metrics.ACCURACY))
def test_an_empty_mask_gives_nan(name):
    depth = np.ones((4, 5), np.float32)
    assert math.isnan(metrics.METRICS[name].function(depth, depth, np.zeros((4, 5), bool)))


@pytest.mark.parametrize("name", list(metrics.ACCURACY))
@pytest.mark.parametrize("hole", [0.0, -1.0, np.nan, np.inf])
def test_pixels_without_ground_truth_do_not_count(name, hole):
    rng = np.random.default_rng(0)
    target, predicted = rng.uniform(1, 5, (2, 6, 8)).astype(np.float32)
    known = np.ones((6, 8), bool)
    known[1:3, 2:5] = False
    function = metrics.METRICS[name].function
    expected = function(predicted, target, known)
    assert function(predicted, np.where(known, target, np.float32(hole)), None) == expected


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_a_missing_prediction_is_wrong_for_delta_and_left_out_of_errors(missing):
    target = np.full((2, 4), 2.0, np.float32)
    predicted = np.full((2, 4), 2.2, np.float32)
    predicted[0, :2] = missing
    assert metrics.delta1_acc(predicted, target) == 0.75
    assert metrics.coverage(predicted, target) == 0.75
    assert metrics.abs_relative_difference(predicted, target) == pytest.approx(0.1, rel=1e-6)
    assert metrics.rmse_log(predicted, target) == pytest.approx(math.log(1.1), rel=1e-6)


@pytest.mark.parametrize("name", PIXEL_METRICS)
@pytest.mark.parametrize("wrong", [0.0, -2.0])
def test_a_prediction_of_zero_or_less_is_wrong_and_keeps_every_metric_finite(name, wrong):
    target = np.full((2, 2), 2.0, np.float32)
    predicted = np.array([[2, 2], [2, wrong]], np.float32)
    value = metrics.METRICS[name].function(predicted, target, None)
    assert math.isfinite(value)
    if metrics.METRICS[name].higher_is_better:
        assert value == 0.75
    else:
        assert value > 0


def test_silog_does_not_change_with_scale():
    rng = np.random.default_rng(1)
    target, predicted = rng.uniform(1, 5, (2, 6, 8)).astype(np.float32)
    assert metrics.silog_rmse(7 * predicted, target) == pytest.approx(
        metrics.silog_rmse(predicted, target), rel=1e-5
    )


def test_torch_and_numpy_give_the_same():
    rng = np.random.default_rng(2)
    target, predicted = rng.uniform(1, 5, (2, 12, 16)).astype(np.float32)
    valid = rng.random((12, 16)) > 0.3
    for name, metric in metrics.METRICS.items():
        actual = target > 3 if name == "boundary_recall" else target
        as_torch = (torch.from_numpy(a)[None] for a in (predicted, actual, valid))
        assert metric.function(*as_torch) == metric.function(predicted, actual, valid), name


def test_a_prediction_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(4, 4\)"):
        metrics.delta1_acc(np.ones((3, 4)), np.ones((4, 4)))
