# SPDX-License-Identifier: Apache-2.0
"""The names of the node's topics, relative to its namespace."""

IMAGE = "image"
CAMERA_INFO = "camera_info"

DEPTH = "depth/image_rect"
DEPTH_CAMERA_INFO = "depth/camera_info"
POINTS = "points"
PREVIEW = "depth/preview"
DISCREPANCY = "depth/discrepancy"
METRIC = "depth/metric"

OUTPUTS = (DEPTH_CAMERA_INFO, DEPTH, POINTS, PREVIEW, DISCREPANCY, METRIC)
