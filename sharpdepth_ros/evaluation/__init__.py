# SPDX-License-Identifier: Apache-2.0
"""Evaluation: accuracy in metres and sharpness of edges, as published."""
