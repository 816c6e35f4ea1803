# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs to arrays and back, for any class that has their fields. No ROS is imported."""
