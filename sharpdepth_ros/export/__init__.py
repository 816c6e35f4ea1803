# SPDX-License-Identifier: Apache-2.0
"""Depth in the forms that people and other programs read: pictures, arrays and point clouds."""
