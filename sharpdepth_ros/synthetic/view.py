# SPDX-License-Identifier: Apache-2.0
"""Views: how world points fall on an image, for cameras, the sun and lamps alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sharpdepth_ros.synthetic.camera import CameraModel


@dataclass(frozen=True)
class View:
    """How world points fall on an image, and which ray belongs to a pixel.

    to_pixel      [3, 4]: world point (x, y, z, 1) to homogeneous pixel coordinates
    to_depth      [4]: world point to depth along the viewing axis, metres
    origin, direction  [3, 3] each: the ray of pixel p is origin @ p + depth * (direction @ p)
    perspective   False for an orthographic view
    """

    width: int
    height: int
    to_pixel: np.ndarray
    to_depth: np.ndarray
    origin: np.ndarray
    direction: np.ndarray
    perspective: bool

    @classmethod
    def of_camera(cls, camera: CameraModel, pose: np.ndarray, corners: bool = False) -> View:
        """The camera's view. With ``corners`` the rays pass through the (width + 1) x (height + 1)
        pixel corners instead of the centres."""
        k = camera.matrix
        if corners:
            k[:2, 2] += 0.5
        rotation, position = pose[:3, :3], pose[:3, 3]
        world_to_camera = np.hstack([rotation.T, -(rotation.T @ position)[:, None]])
        origin = np.zeros((3, 3))
        origin[:, 2] = position
        extra = int(corners)
        return cls(
            width=camera.width + extra,
            height=camera.height + extra,
            to_pixel=k @ world_to_camera,
            to_depth=world_to_camera[2],
            origin=origin,
            direction=rotation @ np.linalg.inv(k),
            perspective=True,
        )

    @classmethod
    def orthographic(cls, direction: np.ndarray, points: np.ndarray, size: int) -> View:
        """A square view of ``size`` pixels along ``direction`` [3] that holds ``points`` [n, 3]."""
        forward = direction / np.linalg.norm(direction)
        side = np.cross(forward, (0.0, 0.0, 1.0) if abs(forward[2]) < 0.9 else (1.0, 0.0, 0.0))
        right = side / np.linalg.norm(side)
        axes = np.stack([right, np.cross(forward, right), forward])
        local = points @ axes.T
        low, high = local.min(axis=0), local.max(axis=0)
        scale = (size - 2) / np.maximum(high - low, 1e-3)[:2]
        to_pixel = np.zeros((3, 4))
        to_pixel[:2, :3] = scale[:, None] * axes[:2]
        to_pixel[:2, 3] = 0.5 - scale * low[:2]
        to_pixel[2, 3] = 1.0
        origin = np.zeros((3, 3))
        origin[:, :2] = axes[:2].T / scale
        origin[:, 2] = axes[:2].T @ (low[:2] - 0.5 / scale) + axes[2] * low[2]
        along = np.zeros((3, 3))
        along[:, 2] = forward
        to_depth = np.append(forward, -low[2])
        return cls(size, size, to_pixel, to_depth, origin, along, False)

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] to homogeneous pixel coordinates [..., 3]."""
        return points @ self.to_pixel[:, :3].T + self.to_pixel[:, 3]

    def depth(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] to depth [...], metres."""
        return points @ self.to_depth[:3] + self.to_depth[3]

    def key(self, depth: np.ndarray) -> np.ndarray:
        """A number that is affine over a plane's pixels and larger for nearer points."""
        return 1 / depth if self.perspective else -depth
