# SPDX-License-Identifier: Apache-2.0
"""What the student is shown, for every variant that the paper ablates."""

import pytest
import torch

from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.training.gating import gate_strength, gated_input


@pytest.fixture(scope="module")
def model(data):
    return load_depth_diffusion(data / "tiny_checkpoint")


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    discrepancy = torch.rand(2, 1, 16, 24)
    latents = torch.randn(3, 2, 4, 2, 3)
    return discrepancy, *latents


def test_uniform_gate_puts_the_same_amount_of_noise_everywhere():
    discrepancy = torch.rand(3, 1, 8, 8)
    strength = gate_strength("uniform", discrepancy)
    torch.testing.assert_close(strength.mean(dim=(1, 2, 3)), discrepancy.mean(dim=(1, 2, 3)))
    assert (strength.flatten(1).std(dim=1) < 1e-6).all()


def test_without_a_gate_the_metric_depth_is_not_shown(model, tensors):
    discrepancy, generated, metric_latent, noise = tensors
    given = gated_input(model, "none", "pure", discrepancy, generated, metric_latent, noise)
    torch.testing.assert_close(given, noise)


def test_the_noise_aware_gate_mixes_by_the_discrepancy_at_the_latent_cells(model, tensors):
    discrepancy, generated, metric_latent, noise = tensors
    given = gated_input(model, "noise-aware", "pure", discrepancy, generated, metric_latent, noise)
    gate = discrepancy[:, :, ::8, ::8]
    torch.testing.assert_close(given, gate * noise + (1 - gate) * metric_latent)


def test_the_released_gate_keeps_a_trace_of_the_generated_latent(model, tensors):
    discrepancy, generated, metric_latent, noise = tensors
    ones = torch.ones_like(discrepancy)
    given = gated_input(model, "noise-aware", "released", ones, generated, metric_latent, noise)
    signal = float(model.scheduler.alphas_cumprod[999])
    assert signal**0.5 == pytest.approx(0.068, abs=1e-3)
    torch.testing.assert_close(given, signal**0.5 * generated + (1 - signal) ** 0.5 * noise)
