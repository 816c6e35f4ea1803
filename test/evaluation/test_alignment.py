# SPDX-License-Identifier: Apache-2.0
"""Alignment of predictions to the ground truth: what each option undoes."""

import numpy as np
import pytest

from sharpdepth_ros.evaluation.alignment import align_prediction


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    target = rng.uniform(1, 8, (20, 30)).astype(np.float32)
    valid = rng.random((20, 30)) > 0.3
    target[~valid] = 0
    return target, valid


def test_none_leaves_the_prediction_alone(scene):
    target, valid = scene
    assert np.array_equal(align_prediction(target + 1, target, valid, "none"), target + 1)


@pytest.mark.parametrize(
    ("method", "space", "distort"),
    [
        ("median", "depth", lambda d: 3 * d),
        ("least-squares", "depth", lambda d: 3 * d - 2),
        ("least-squares-disparity", "disparity", lambda d: 5 / d + 0.3),
        ("least-squares-disparity", "depth", lambda d: 1 / (5 / d + 0.3)),
        ("median", "disparity", lambda d: 0.2 / d),
    ],
)
def test_each_method_undoes_what_it_fits(scene, method, space, distort):
    target, valid = scene
    depth = np.where(valid, target, 4.0).astype(np.float32)
    aligned = align_prediction(distort(depth).astype(np.float32), target, valid, method, space)
    assert aligned.dtype == np.float32
    np.testing.assert_allclose(aligned[valid], target[valid], rtol=1e-4)


def test_invalid_pixels_take_no_part(scene):
    target, valid = scene
    depth = np.where(valid, target * 2, 1e6).astype(np.float32)
    for method in ("median", "least-squares"):
        aligned = align_prediction(depth, target, valid, method)
        np.testing.assert_allclose(aligned[valid], target[valid], rtol=1e-4)


def test_a_fitted_disparity_below_zero_is_a_kilometre(scene):
    """As published: disparity is bounded from below, so that depth stays positive and finite."""
    target, valid = scene
    disparity = np.where(valid, 1 / np.maximum(target, 0.1), -3).astype(np.float32)
    aligned = align_prediction(disparity, target, valid, "least-squares-disparity", "disparity")
    np.testing.assert_allclose(aligned[~valid], 1000, rtol=1e-6)


def test_without_a_valid_pixel_nothing_is_fitted(scene):
    target, valid = scene
    aligned = align_prediction(target + 1, target, np.zeros_like(valid), "least-squares")
    assert np.array_equal(aligned, target + 1)


def test_an_unknown_method_is_refused_with_the_known_ones(scene):
    with pytest.raises(ValueError, match=r"'lsq'.*least-squares-disparity"):
        align_prediction(*scene, scene[1], "lsq")
