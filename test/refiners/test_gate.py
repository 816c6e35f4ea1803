# SPDX-License-Identifier: Apache-2.0
"""What the student is shown, for every variant that the paper ablates."""

import pytest
import torch

from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.refiners.discrepancy import discrepancy_map, gate_strength
from sharpdepth_ros.refiners.sharpdepth import gate


@pytest.fixture(scope="module")
def model(data):
    return load_depth_diffusion(data / "tiny_checkpoint")


@pytest.fixture
def depth():
    """z_d and n."""
    torch.manual_seed(0)
    return torch.randn(2, 4, 2, 3), torch.rand(2, 1, 16, 24) * 2 - 1


@pytest.fixture
def generated(depth):
    """z_g, d_g and noise; d_g differs from n by up to one, and by one at the pixel 0, 0."""
    z_g, noise = torch.randn(2, 2, 4, 2, 3)
    error = torch.rand(2, 1, 16, 24)
    error[..., 0, 0] = 1
    return z_g, depth[1] + error, noise


def test_uniform_gate_puts_the_same_amount_of_noise_everywhere():
    discrepancy = torch.rand(3, 1, 8, 8)
    strength = gate_strength("uniform", discrepancy)
    torch.testing.assert_close(strength.mean(dim=(1, 2, 3)), discrepancy.mean(dim=(1, 2, 3)))
    assert (strength.flatten(1).std(dim=1) < 1e-6).all()


def test_without_a_gate_the_metric_depth_is_not_shown(model, depth, generated):
    z_gated, _ = gate(model, *depth, *generated, "none", "pure")
    torch.testing.assert_close(z_gated, generated[-1])


def test_the_noise_aware_gate_mixes_by_the_discrepancy_at_the_latent_cells(model, depth, generated):
    (z_d, n), (_, d_g, noise) = depth, generated
    z_gated, e = gate(model, *depth, *generated, "noise-aware", "pure")
    torch.testing.assert_close(e, discrepancy_map(d_g, n))
    m = e[:, :, ::8, ::8]
    torch.testing.assert_close(z_gated, m * noise + (1 - m) * z_d)


def test_the_released_gate_keeps_a_trace_of_the_generated_latent(model, depth, generated):
    z_g, _, noise = generated
    z_gated, _ = gate(model, *depth, *generated, "none", "released")
    signal = float(model.scheduler.alphas_cumprod[999])
    assert signal**0.5 == pytest.approx(0.068, abs=1e-3)
    torch.testing.assert_close(z_gated, signal**0.5 * z_g + (1 - signal) ** 0.5 * noise)
