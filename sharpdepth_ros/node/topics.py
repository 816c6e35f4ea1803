# SPDX-License-Identifier: Apache-2.0
"""The names of the node's topics, and the demo camera's, relative to the namespace."""

IMAGE = "image"
CAMERA_INFO = "camera_info"

DEPTH = "depth/image_rect"
DEPTH_CAMERA_INFO = "depth/camera_info"
POINTS = "points"
PREVIEW = "depth/preview"
DISCREPANCY = "depth/discrepancy"
METRIC = "depth/metric"

OUTPUTS = (DEPTH_CAMERA_INFO, DEPTH, POINTS, PREVIEW, DISCREPANCY, METRIC)

GROUND_TRUTH = "depth/ground_truth"
"""Of the synthetic camera, which knows the depth."""
