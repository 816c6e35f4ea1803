# SPDX-License-Identifier: Apache-2.0
"""The four trainings: metric model, VAE, Lotus, sharpener."""
