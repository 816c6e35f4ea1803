# SPDX-License-Identifier: Apache-2.0
"""The losses, as pure functions of tensors; the equation of each is in its docstring."""

import torch
import torch.nn.functional as F


def sds_distillation(
    student: torch.Tensor, teacher: torch.Tensor, signal: float | torch.Tensor
) -> torch.Tensor:
    """Score distillation in its x0 form (SharpDepth, diffusion-prior loss).

    With z the student's latent, z_t = sqrt(a) z + sqrt(1 - a) noise, and z0 = f_G(z_t) the frozen
    generator's prediction, the gradient on z is sigma^2 (z - z0), sigma^2 = 1 - a. As a loss:

        0.5 * mean((z - stop_grad(z - sigma^2 (z - z0)))^2)

    Args:
        student: [B, C, h, w], z.
        teacher: [B, C, h, w], z0; a number that is not finite pulls nowhere.
        signal: a = alphas_cumprod[t].
    """
    student = student.float()
    gradient = torch.nan_to_num((1 - signal) * (student - teacher.float()), 0.0, 0.0, 0.0)
    return 0.5 * F.mse_loss(student, (student - gradient).detach())


def noise_aware_reconstruction(
    prediction: torch.Tensor, metric: torch.Tensor, discrepancy: torch.Tensor
) -> torch.Tensor:
    """L1 to the metric depth, weighted by the discrepancy (SharpDepth, reconstruction loss).

        sum(e |d_hat - n|) / sum(e),  d_hat and n mapped from [-1, 1] to [0, 1]

    Args:
        prediction: [B, 1, h, w], about [-1, 1].
        metric: [B, 1, h, w], the normalised metric depth.
        discrepancy: [B, 1, h, w], e in [0, 1].
    """
    error = (prediction.float() - metric.float()).abs() / 2
    return (discrepancy * error).sum() / (discrepancy.sum() + 1e-8)


def log_l1(prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """mean over the valid pixels of |log(prediction) - log(target)|.

    Args:
        prediction: [B, 1, h, w] metres, positive.
        target: [B, 1, h, w] metres.
        valid: bool [B, 1, h, w].
    """
    error = (prediction.float().log() - target.where(valid, 1.0).log()).abs()
    return error.where(valid, 0.0).sum() / valid.sum().clamp_min(1)


def edge_l1(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """mean |dx(prediction) - dx(target)| + mean |dy(prediction) - dy(target)|, neighbours."""
    error = prediction.float() - target.float()
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def kl_divergence(mean: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)), averaged: 0.5 mean(m^2 + exp(v) - 1 - v)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
