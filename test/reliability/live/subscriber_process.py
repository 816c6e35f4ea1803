# SPDX-License-Identifier: Apache-2.0
"""A reliable subscriber to depth and points in a process of its own; says how much has come."""

import rclpy
from sensor_msgs.msg import Image, PointCloud2

rclpy.init()
node = rclpy.create_node("listener")
count = 0


def arrived(_):
    global count
    count += 1
    print(f"message {count}", flush=True)


node.create_subscription(Image, "depth/image_rect", arrived, 10)
node.create_subscription(PointCloud2, "points", arrived, 10)
rclpy.spin(node)
