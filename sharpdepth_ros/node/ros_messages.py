# SPDX-License-Identifier: Apache-2.0
"""The message classes of the ROS installation."""

from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from sharpdepth_ros.messages.message_types import MessageTypes

ROS_MESSAGES = MessageTypes(Image, CameraInfo, PointCloud2, PointField)
