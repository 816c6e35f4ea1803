# SPDX-License-Identifier: Apache-2.0
"""Cameras and poses of the synthetic world: which are drawn, and where the camera stands.

Conventions, everywhere in this package:
- World: x forward, y left, z up, metres (REP 103).
- Camera: ROS optical frame, x right, y down, z forward (REP 103).
- A pose is the 4x4 camera-to-world matrix.
- Pixel centres have integer coordinates: column u of row v is seen along
  ``((u - cx) / fx, (v - cy) / fy, 1)``, as in image_geometry and depth_image_proc.
"""

from __future__ import annotations

import math

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel

MAX_SIDE = 8192
"""Pixels; a larger image would be a mistake in the arguments rather than a wish."""


def random_camera(
    width: int,
    height: int,
    rng: np.random.Generator,
    fov_range: tuple[float, float] = (50.0, 90.0),
) -> CameraModel:
    """A camera whose horizontal field of view is drawn from ``fov_range``, degrees."""
    low, high = fov_range
    if low > high:
        raise ValueError(f"fov_range is {fov_range!r}; give (smallest, largest) in degrees")
    return CameraModel.from_fov(width, height, float(rng.uniform(low, high)))


def check_size(camera: CameraModel) -> None:
    """ValueError if the camera's image is too large to be meant."""
    if max(camera.width, camera.height) > MAX_SIDE:
        raise ValueError(
            f"the camera's image is {camera.width}x{camera.height}; give at most {MAX_SIDE} pixels "
            "a side"
        )


def look_pose(
    position: np.ndarray, yaw: float, pitch: float = 0.0, roll: float = 0.0
) -> np.ndarray:
    """Camera-to-world pose [4, 4] at ``position`` [3]; angles in radians.

    Yaw turns left about the world's z axis from its x axis; positive pitch looks up; positive
    roll turns the camera clockwise about its viewing axis.
    """
    cos_p = math.cos(pitch)
    forward = np.array([math.cos(yaw) * cos_p, math.sin(yaw) * cos_p, math.sin(pitch)])
    level_right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
    level_down = np.cross(forward, level_right)
    right = math.cos(roll) * level_right + math.sin(roll) * level_down
    pose = np.eye(4)
    pose[:3, 0] = right
    pose[:3, 1] = np.cross(forward, right)
    pose[:3, 2] = forward
    pose[:3, 3] = position
    return pose


def check_pose(pose: np.ndarray) -> np.ndarray:
    """The pose as float64 [4, 4]; ValueError unless it is a rigid transform."""
    pose = np.asarray(pose, dtype=np.float64)
    if pose.shape != (4, 4):
        raise ValueError(f"pose has shape {pose.shape}; give a 4x4 camera-to-world matrix")
    rotation = pose[:3, :3]
    rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4)
    if not rigid or np.linalg.det(rotation) < 0 or not np.allclose(pose[3], (0, 0, 0, 1)):
        raise ValueError(
            f"pose {pose.tolist()} is not rigid; its upper 3x3 must be a rotation and its last "
            "row 0 0 0 1"
        )
    return pose
