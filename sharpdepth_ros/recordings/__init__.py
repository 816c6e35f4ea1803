# SPDX-License-Identifier: Apache-2.0
"""Depth for what was recorded before: images and folders of images."""
