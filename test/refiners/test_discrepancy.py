# SPDX-License-Identifier: Apache-2.0
"""Normalisation and discrepancy stay finite and mean what they say on maps that models return."""

import pytest
import torch

from sharpdepth_ros.refiners.discrepancy import DepthRange, discrepancy_map


def normalise_metric(depth):
    extent = DepthRange.of(depth)
    return extent.normalise(depth), extent.flat


def test_near_becomes_minus_one_and_far_becomes_one_in_each_image():
    depth = torch.stack([torch.linspace(1, 5, 12), torch.linspace(20, 80, 12)]).view(2, 1, 3, 4)
    normalised, flat = normalise_metric(depth)
    torch.testing.assert_close(normalised.amin((1, 2, 3)), torch.tensor([-1.0, -1.0]))
    torch.testing.assert_close(normalised.amax((1, 2, 3)), torch.tensor([1.0, 1.0]))
    assert not flat.any()


@pytest.mark.parametrize("ripple", [0.0, 1e-4])
def test_a_wall_that_fills_the_view_is_flat_and_its_ripple_stays_small(ripple):
    depth = 2 + ripple * torch.rand(1, 1, 8, 8)
    normalised, flat = normalise_metric(depth)
    assert flat.all()
    assert normalised.isfinite().all()
    assert normalised.max() - normalised.min() <= 0.2


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_pixels_that_are_not_finite_count_as_far_and_leave_the_others_alone(bad):
    depth = torch.linspace(1, 5, 16).view(1, 1, 4, 4)
    want, _ = normalise_metric(depth[..., 1:, :])
    depth[..., 0, :] = bad
    normalised, flat = normalise_metric(depth)
    torch.testing.assert_close(normalised[..., 1:, :], want)
    assert (normalised[..., 0, :] == 1).all()
    assert not flat.any()


def test_a_map_without_a_valid_pixel_is_flat_and_finite():
    normalised, flat = normalise_metric(torch.full((1, 1, 4, 4), torch.nan))
    assert flat.all()
    assert normalised.isfinite().all()


def test_the_discrepancy_is_the_error_over_its_maximum():
    generated = torch.zeros(2, 1, 2, 2)
    generated[0, 0, 0, 1], generated[0, 0, 1, 1], generated[1, 0, 0, 0] = 0.5, -1.0, 0.25
    e = discrepancy_map(generated, torch.zeros(2, 1, 2, 2))
    torch.testing.assert_close(e[0, 0], torch.tensor([[0.0, 0.5], [0.0, 1.0]]))
    assert e[1, 0, 0, 0] == 1


def test_models_that_agree_everywhere_have_no_discrepancy():
    same = torch.rand(1, 1, 4, 4)
    assert discrepancy_map(same, same).max() == 0
    assert discrepancy_map(same + 1e-6, same).max() < 0.01


def test_a_generator_that_overflows_disagrees_there_and_only_there():
    generated = torch.zeros(1, 1, 2, 2)
    generated[..., 0, 0], generated[..., 1, 1] = torch.nan, 0.5
    e = discrepancy_map(generated, torch.zeros(1, 1, 2, 2))
    torch.testing.assert_close(e[0, 0], torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
