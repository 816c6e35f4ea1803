# SPDX-License-Identifier: Apache-2.0
"""Reads a PointCloud2: with sensor_msgs_py where ROS brings it, else with our own equivalent."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

try:
    from sensor_msgs_py.point_cloud2 import read_points
except ImportError:  # ROS brings it; PyPI has no wheel

    def read_points(
        cloud: PointCloud2, field_names: list[str] | None = None, skip_nans: bool = False
    ) -> np.ndarray:
        """The points of a cloud of float32 fields, as sensor_msgs_py reads them.

        Args:
            cloud: little-endian, any layout of fields.
            field_names: the fields wanted; None for all.
            skip_nans: leave out points with a NaN in a wanted field.

        Returns:
            A structured array [points].
        """
        kind = np.dtype(
            {
                "names": [field.name for field in cloud.fields],
                "formats": ["<f4"] * len(cloud.fields),
                "offsets": [field.offset for field in cloud.fields],
                "itemsize": cloud.point_step,
            }
        )
        points = np.frombuffer(cloud.data, kind)
        if field_names is not None:
            points = points[field_names]
        if skip_nans:
            points = points[~np.any([np.isnan(points[n]) for n in points.dtype.names], axis=0)]
        return points
