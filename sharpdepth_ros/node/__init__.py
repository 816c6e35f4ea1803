# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side: the lifecycle node, its parameters, message conversion and the frame worker.

What turns camera messages into depth messages takes any classes that have sensor_msgs' fields and
imports no ROS, so that recordings go through the very same code on a machine that has none:
parameters, topics, images, camera_info, point_cloud, processing, synchronisation, depth_messages.
"""
