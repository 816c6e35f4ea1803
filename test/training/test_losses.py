# SPDX-License-Identifier: Apache-2.0
"""The losses against closed forms."""

import math

import pytest
import torch

from sharpdepth_ros.training.losses import (
    edge_l1,
    kl_divergence,
    log_l1,
    noise_aware_reconstruction,
    sds_distillation,
)


def test_sds_has_the_gradient_of_score_distillation():
    student = torch.randn(2, 4, 3, 5, requires_grad=True)
    teacher = torch.randn(2, 4, 3, 5)
    sds_distillation(student, teacher, signal=0.0047).backward()
    expected = (1 - 0.0047) * (student - teacher).detach() / student.numel()
    torch.testing.assert_close(student.grad, expected)


def test_sds_is_half_the_mean_square_of_that_gradient():
    student, teacher = torch.randn(2, 1, 4, 3, 5)
    expected = 0.5 * (0.9 * (student - teacher)).square().mean()
    torch.testing.assert_close(sds_distillation(student, teacher, 0.1), expected)


def test_a_teacher_that_is_not_finite_pulls_nowhere():
    student = torch.randn(1, 1, 2, 2, requires_grad=True)
    teacher = torch.zeros(1, 1, 2, 2)
    teacher[0, 0, 0, 0] = math.nan
    sds_distillation(student, teacher, 0.0).backward()
    assert student.grad[0, 0, 0, 0] == 0
    assert student.grad.isfinite().all()


def test_reconstruction_is_the_weighted_mean_error_on_the_scale_zero_to_one():
    prediction = torch.tensor([[[[1.0, -1.0, 0.0]]]])
    metric = torch.tensor([[[[0.0, 1.0, 0.0]]]])
    discrepancy = torch.tensor([[[[1.0, 0.5, 0.25]]]])
    loss = noise_aware_reconstruction(prediction, metric, discrepancy)
    assert loss.item() == pytest.approx((1 * 0.5 + 0.5 * 1.0) / 1.75)


def test_reconstruction_is_zero_where_the_models_agree_everywhere():
    shape = (1, 1, 4, 4)
    loss = noise_aware_reconstruction(torch.ones(shape), -torch.ones(shape), torch.zeros(shape))
    assert loss.item() == 0


def test_log_l1_counts_valid_pixels_alone():
    target = torch.tensor([[[[2.0, math.inf, 4.0]]]])
    prediction = torch.tensor([[[[4.0, 9.0, 4.0]]]])
    loss = log_l1(prediction, target, target.isfinite())
    assert loss.item() == pytest.approx(math.log(2) / 2)


def test_edge_l1_does_not_see_an_offset():
    target = torch.randn(1, 1, 5, 6)
    torch.testing.assert_close(edge_l1(target + 3, target), torch.tensor(0.0), atol=1e-5, rtol=0)
    assert edge_l1(target * 2, target) > 0.5


def test_kl_of_the_standard_normal_is_zero_and_of_a_shifted_one_half_its_square():
    zero = torch.zeros(1, 2, 3, 3)
    assert kl_divergence(zero, zero).item() == 0
    assert kl_divergence(zero + 2, zero).item() == pytest.approx(2.0)
