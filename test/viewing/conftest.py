# SPDX-License-Identifier: Apache-2.0
"""A small scene whose depth is known: a board before a wall, sharp and blurred."""

import cv2
import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.viewing.frames import ViewFrame

WIDTH, HEIGHT = 64, 48
WALL, BOARD = 3.0, 1.5


def make_frame(name="frame", stamp=None, **fields):
    """A red board at 1.5 m before a blue wall at 3 m; the metric model blurs its edge."""
    depth = np.full((HEIGHT, WIDTH), WALL, np.float32)
    depth[14:34, 22:42] = BOARD
    rgb = np.where((depth == BOARD)[..., None], (220, 30, 30), (30, 30, 220)).astype(np.uint8)
    metric = cv2.GaussianBlur(depth, (0, 0), 2.0)
    return ViewFrame(
        name,
        depth,
        stamp,
        **{
            "rgb": rgb,
            "camera": CameraModel(WIDTH, HEIGHT, 60.0, 62.0, 31.0, 24.0),
            "metric_depth": metric,
            "discrepancy": np.clip(np.abs(metric - depth), 0, 1),
            "timings": {"metric": 12.0, "sharpen": 30.0},
            **fields,
        },
    )


@pytest.fixture
def frame():
    return make_frame()


@pytest.fixture(name="make_frame")
def _make_frame():
    return make_frame
