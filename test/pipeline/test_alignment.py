# SPDX-License-Identifier: Apache-2.0
"""The metric alignment: the closed form, and what it answers when there is nothing to fit."""

import numpy as np
import pytest
import torch

from sharpdepth_ros.pipeline.alignment import align, align_least_squares, align_relative


@pytest.fixture
def affine():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 1, 60, 80, generator=generator) * 2 - 1


@pytest.fixture(params=[align_least_squares, align_relative])
def fitted(request):
    """Either fit: what both must keep."""
    return request.param


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


def test_images_of_a_batch_are_fitted_apart(fitted, affine):
    metric = torch.stack([2 * affine[0] + 5, 4 * affine[1] + 9])
    fit = fitted(affine, metric)
    np.testing.assert_allclose(fit.scale, [2, 4], rtol=1e-5)
    np.testing.assert_allclose(fit.shift, [5, 9], rtol=1e-5)


def test_a_constant_affine_map_is_not_sound(fitted, affine):
    fit = fitted(torch.full_like(affine, 0.25), affine + 5)
    assert not fit.sound.any()


def test_a_fit_without_pixels_is_not_sound(fitted, affine):
    fit = fitted(affine, affine + 5, torch.zeros_like(affine, dtype=torch.bool))
    assert not fit.sound.any()


def test_a_fit_on_a_handful_of_pixels_is_not_sound(fitted, affine):
    mask = torch.zeros_like(affine, dtype=torch.bool)
    mask[..., :2, :2] = True
    assert not fitted(affine, affine + 5, mask).sound.any()


def test_a_negative_scale_is_reported_and_not_sound(fitted, affine):
    fit = fitted(affine, 5 - 2 * affine)
    np.testing.assert_allclose(fit.scale, -2, rtol=1e-5)
    assert not fit.sound.any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["affine", "metric"])
def test_pixels_that_are_not_finite_do_not_reach_the_fit(fitted, affine, bad, where):
    metric = 2 * affine + 5
    (affine if where == "affine" else metric)[:, :, 10:20, 5:50] = bad
    fit = fitted(affine, metric)
    np.testing.assert_allclose(fit.scale, 2, rtol=1e-5)
    np.testing.assert_allclose(fit.shift, 5, rtol=1e-5)
    assert fit.sound.all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_map_with_no_finite_pixel_is_not_sound(fitted, affine, bad):
    assert not fitted(affine, torch.full_like(affine, bad)).sound.any()
    assert not fitted(torch.full_like(affine, bad), affine).sound.any()


def test_half_of_the_pixels_may_be_anywhere_for_the_relative_fit(affine):
    metric = 3 * affine + 7
    metric[..., 24:48, :] += (
        torch.rand(2, 1, 24, 80, generator=torch.Generator().manual_seed(2)) * 9
    )
    np.testing.assert_allclose(align_relative(affine, metric).scale, 3, rtol=0.02)
    np.testing.assert_allclose(align_relative(affine, metric).shift, 7, rtol=0.02)
    assert (align_least_squares(affine, metric).shift > 8).all()


def test_what_is_far_decides_the_squares_and_not_the_relative_fit():
    # A floor from 1 to 4 m that the affine map has right, and a far wall that it puts 20 m off.
    affine = torch.linspace(0, 1, 60).view(1, 1, 60, 1).repeat(1, 1, 1, 80)
    metric = 1 + 3 * affine
    affine[:, :, 50:], metric[:, :, 50:] = 5.0, 36.0
    near = slice(0, 50)

    def worst_share(alignment):
        error = (alignment.apply(affine) - metric).abs() / metric
        return float(error[:, :, near].max())

    assert worst_share(align_relative(affine, metric)) < 0.1
    assert worst_share(align_least_squares(affine, metric)) > 0.4


def test_the_relative_fit_has_the_unit_of_the_depth(affine):
    metric = (2 * affine + 4) * (1 + 0.1 * torch.randn(affine.shape))
    metres, millimetres = (align_relative(affine, metric * unit) for unit in (1, 1000))
    np.testing.assert_allclose(millimetres.scale, 1000 * metres.scale, rtol=1e-5)
    np.testing.assert_allclose(millimetres.shift, 1000 * metres.shift, rtol=1e-5)


def test_the_relative_fit_looks_at_a_grid_of_a_large_image():
    v, u = torch.meshgrid(torch.arange(720.0), torch.arange(1280.0), indexing="ij")
    affine = (u / 1280 + (v / 90).sin())[None, None]
    metric = (2 * affine + 5) * (1 + 0.05 * (u / 31).cos())
    large, small = (
        align_relative(affine, metric),
        align_relative(affine[..., ::3, ::3], metric[..., ::3, ::3]),
    )
    np.testing.assert_allclose(large.scale, small.scale, rtol=2e-3)
    np.testing.assert_allclose(large.shift, small.shift, rtol=2e-3)
    narrow = align_relative(
        affine[..., :1, :].repeat(1, 1, 1, 40), metric[..., :1, :].repeat(1, 1, 1, 40)
    )
    assert narrow.sound.all()


def test_depth_that_is_not_positive_takes_no_part_in_the_relative_fit(affine):
    metric = 2 * affine + 5
    metric[..., :10, :], metric[..., 10:20, :] = 0, -3
    fit = align_relative(affine, metric)
    np.testing.assert_allclose(fit.scale, 2, rtol=1e-5)
    np.testing.assert_allclose(fit.shift, 5, rtol=1e-5)
    assert not align_relative(affine, -metric.abs()).sound.any()


def test_a_few_pixels_at_the_lens_do_not_decide_the_relative_fit(affine):
    metric = 2 * affine + 5
    metric[..., :2, :4] = 1e-6
    fit = align_relative(affine, metric)
    np.testing.assert_allclose(fit.scale, 2, rtol=0.02)
    np.testing.assert_allclose(fit.shift, 5, rtol=0.02)


@pytest.mark.parametrize("name", ["least-squares", "relative"])
def test_a_disparity_is_fitted_to_one_over_the_depth(affine, name):
    metric = 1 / (0.2 * affine + 0.5)
    alignment = align(affine, metric, space="disparity", fit=name)
    np.testing.assert_allclose(alignment.scale, 0.2, rtol=1e-5)
    np.testing.assert_allclose(alignment.shift, 0.5, rtol=1e-5)
    np.testing.assert_allclose(alignment.apply(affine), metric, rtol=1e-4)
