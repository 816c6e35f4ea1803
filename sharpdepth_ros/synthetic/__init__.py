# SPDX-License-Identifier: Apache-2.0
"""Procedural scenes with exact metric depth: training data and the demo camera."""

from .camera import PinholeCamera, look_pose
from .path import camera_path, viewpoint
from .renderer import Frame, render
from .scene import Scene
from .scenes import KINDS, make_scene
from .sensor import SensorModel
from .stream import SyntheticCamera

__all__ = [
    "KINDS",
    "Frame",
    "PinholeCamera",
    "Scene",
    "SensorModel",
    "SyntheticCamera",
    "camera_path",
    "look_pose",
    "make_scene",
    "render",
    "viewpoint",
]
