# SPDX-License-Identifier: Apache-2.0
"""One frame, from messages to messages: what the node and recordings have in common. No ROS."""
