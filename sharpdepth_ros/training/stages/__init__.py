# SPDX-License-Identifier: Apache-2.0
"""The trainings: metric model, VAE, tiny VAE, Lotus, sharpener."""
