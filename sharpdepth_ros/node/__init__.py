# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: the lifecycle node, its parameters, message conversion and the frame worker."""
