# SPDX-License-Identifier: Apache-2.0
"""The metric alignment: the closed form, and what it answers when there is nothing to fit."""

import numpy as np
import pytest
import torch

from sharpdepth_ros.pipeline.alignment import align_least_squares


@pytest.fixture
def affine():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 1, 60, 80, generator=generator) * 2 - 1


def test_the_closed_form_is_the_least_squares_solution(affine):
    metric = 3 * affine + 7 + 0.1 * torch.randn(affine.shape)
    mask = torch.rand(affine.shape) > 0.3
    fit = align_least_squares(affine, metric, mask)
    for i in range(2):
        a = affine[i][mask[i]].double().numpy()
        d = metric[i][mask[i]].double().numpy()
        want = np.linalg.lstsq(np.stack([a, np.ones_like(a)], 1), d, rcond=None)[0]
        np.testing.assert_allclose([fit.scale[i], fit.shift[i]], want, rtol=1e-6)
    assert fit.sound.all()
    assert (fit.apply(affine) - metric).abs().mean() < 0.1


def test_a_large_offset_costs_no_precision(affine):
    fit = align_least_squares(affine + 1000, 0.5 * affine + 80)
    np.testing.assert_allclose(fit.scale, 0.5, rtol=1e-3)
    assert fit.sound.all()


def test_images_of_a_batch_are_fitted_apart(affine):
    metric = torch.stack([2 * affine[0] + 5, 4 * affine[1] + 9])
    fit = align_least_squares(affine, metric)
    np.testing.assert_allclose(fit.scale, [2, 4], rtol=1e-5)
    np.testing.assert_allclose(fit.shift, [5, 9], rtol=1e-5)


def test_a_constant_affine_map_is_not_sound(affine):
    fit = align_least_squares(torch.full_like(affine, 0.25), affine + 5)
    assert not fit.sound.any()


def test_a_fit_without_pixels_is_not_sound(affine):
    fit = align_least_squares(affine, affine + 5, torch.zeros_like(affine, dtype=torch.bool))
    assert not fit.sound.any()


def test_a_fit_on_a_handful_of_pixels_is_not_sound(affine):
    mask = torch.zeros_like(affine, dtype=torch.bool)
    mask[..., :2, :2] = True
    assert not align_least_squares(affine, affine + 5, mask).sound.any()


def test_a_negative_scale_is_reported_and_not_sound(affine):
    fit = align_least_squares(affine, 5 - 2 * affine)
    np.testing.assert_allclose(fit.scale, -2, rtol=1e-5)
    assert not fit.sound.any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["affine", "metric"])
def test_pixels_that_are_not_finite_do_not_reach_the_fit(affine, bad, where):
    metric = 2 * affine + 5
    (affine if where == "affine" else metric)[:, :, 10:20, 5:50] = bad
    fit = align_least_squares(affine, metric)
    np.testing.assert_allclose(fit.scale, 2, rtol=1e-5)
    np.testing.assert_allclose(fit.shift, 5, rtol=1e-5)
    assert fit.sound.all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_map_with_no_finite_pixel_is_not_sound(affine, bad):
    assert not align_least_squares(affine, torch.full_like(affine, bad)).sound.any()
    assert not align_least_squares(torch.full_like(affine, bad), affine).sound.any()
