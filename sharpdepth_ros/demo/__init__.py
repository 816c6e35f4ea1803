# SPDX-License-Identifier: Apache-2.0
"""ROS programs around the node: the demo, and a camera without hardware."""
