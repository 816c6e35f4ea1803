# SPDX-License-Identifier: Apache-2.0
"""Camera geometry without ROS: camera model, rectification, unprojection, edge filter."""
