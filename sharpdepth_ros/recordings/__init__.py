# SPDX-License-Identifier: Apache-2.0
"""Depth for what was recorded before: bags, images, videos. No ROS is needed."""
