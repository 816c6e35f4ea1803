# SPDX-License-Identifier: Apache-2.0
"""A camera in a process of its own: RATE images per second, WIDTH HEIGHT pixels, until it ends."""

import sys
import time

import numpy as np
import rclpy
from sensor_msgs.msg import CameraInfo, Image

rate, width, height = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rclpy.init()
node = rclpy.create_node("camera")
images = node.create_publisher(Image, "image", 5)
infos = node.create_publisher(CameraInfo, "camera_info", 5)
frame = Image(width=width, height=height, step=3 * width, encoding="rgb8")
frame.data.frombytes(np.full(3 * width * height, 90, np.uint8).tobytes())
info = CameraInfo(width=width, height=height)
info.k = np.array([width, 0, width / 2, 0, width, height / 2, 0, 0, 1], np.float64)
begun, sent = time.monotonic(), 0
while rclpy.ok():
    info.header.stamp = frame.header.stamp = node.get_clock().now().to_msg()
    infos.publish(info)
    images.publish(frame)
    sent += 1
    time.sleep(max(begun + sent / rate - time.monotonic(), 0))
