# SPDX-License-Identifier: Apache-2.0
"""ROS 2 bags without ROS: read (damaged ones too), chosen from, given depth, taken apart."""
