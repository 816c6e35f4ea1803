# SPDX-License-Identifier: Apache-2.0
"""Files in and out: images, depth, point clouds, intrinsics."""
