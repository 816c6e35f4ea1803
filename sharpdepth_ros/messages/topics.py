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

_TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "zstd")


def camera_info_beside(image: str) -> str:
    """The camera_info topic that belongs to an image topic by image_transport's convention.

    It is in the same namespace (getCameraInfoTopic in image_transport's camera_common.cpp); a
    transport at the end of the name is no part of it.
    """
    base, slash, last = image.rpartition("/")
    if last in _TRANSPORTS:
        base, slash, last = base.rpartition("/")
    return f"{base}{slash}{CAMERA_INFO}"
