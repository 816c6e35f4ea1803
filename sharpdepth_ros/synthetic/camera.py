# SPDX-License-Identifier: Apache-2.0
"""Pinhole camera and poses: which ray belongs to a pixel, and where the camera stands.

Conventions, everywhere in this package:
- World: x forward, y left, z up, metres (REP 103).
- Camera: ROS optical frame, x right, y down, z forward (REP 103).
- A pose is the 4x4 camera-to-world matrix.
- Pixel centres have integer coordinates: column u of row v is seen along
  ``((u - cx) / fx, (v - cy) / fy, 1)``, as in image_geometry and depth_image_proc.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MAX_SIDE = 8192


@dataclass(frozen=True)
class PinholeCamera:
    """An undistorted camera: ``width`` x ``height`` pixels, intrinsics in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if side != int(side) or not 1 <= side <= MAX_SIDE:
                raise ValueError(
                    f"camera {name} is {side!r}; give a whole number of pixels in 1..{MAX_SIDE}"
                )
        for name in ("fx", "fy"):
            focal = getattr(self, name)
            if not (math.isfinite(focal) and focal > 0):
                raise ValueError(
                    f"camera {name} is {focal!r}; give a positive focal length, pixels"
                )
        for name in ("cx", "cy"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"camera {name} is {getattr(self, name)!r}; give finite pixels")

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov: float = 70.0) -> PinholeCamera:
        """Square pixels, principal point in the middle; ``horizontal_fov`` in degrees."""
        if not 1.0 <= horizontal_fov <= 170.0:
            raise ValueError(f"horizontal_fov is {horizontal_fov!r} degrees; give 1 to 170")
        focal = 0.5 * width / math.tan(math.radians(horizontal_fov) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_intrinsics(cls, width: int, height: int, intrinsics: np.ndarray) -> PinholeCamera:
        """From a [3, 3] matrix in pixels; skew is refused."""
        k = np.asarray(intrinsics, dtype=np.float64)
        if k.shape != (3, 3):
            raise ValueError(f"intrinsics have shape {k.shape}; give a [3, 3] matrix")
        if k[0, 1] != 0 or k[1, 0] != 0 or tuple(k[2]) != (0, 0, 1):
            raise ValueError(
                f"intrinsics {k.tolist()} are not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; "
                "skew is not supported"
            )
        return cls(width, height, *(float(v) for v in (k[0, 0], k[1, 1], k[0, 2], k[1, 2])))

    @classmethod
    def random(
        cls,
        width: int,
        height: int,
        rng: np.random.Generator,
        fov_range: tuple[float, float] = (50.0, 90.0),
    ) -> PinholeCamera:
        """A horizontal field of view drawn from ``fov_range``, degrees."""
        low, high = fov_range
        if low > high:
            raise ValueError(f"fov_range is {fov_range!r}; give (smallest, largest) in degrees")
        return cls.from_fov(width, height, float(rng.uniform(low, high)))

    @property
    def intrinsics(self) -> np.ndarray:
        """[3, 3] float64, pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])


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
