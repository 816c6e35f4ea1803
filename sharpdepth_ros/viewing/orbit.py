# SPDX-License-Identifier: Apache-2.0
"""Camera paths around what a cloud shows: a swing in front of it, or all the way around."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.viewing.clouds import Cloud
from sharpdepth_ros.viewing.splatting import Eye

PULL_BACK = 1.12
"""The eye is this many times as far from the centre as the camera was: what the camera saw then
stays in the picture when the eye moves."""

EXTENT_QUANTILES = (0.01, 0.99)
"""Share of the points, per axis, that the picture is made to hold."""

FAR_MEDIANS = 4.0
"""Points beyond this many median depths are left out: from the side, a far wall or sky, spread
over tens of metres, is all that there would be."""


@dataclass(frozen=True)
class Framing:
    """How a scene is seen: shared by the clouds that are to be compared.

    Attributes:
        camera: the pinhole camera of each picture.
        centre: float64 [3], metres: the point that the eye turns around.
        distance: metres from the eye to the centre.
        far: metres of depth beyond which points are left out; infinite: none.
    """

    camera: CameraModel
    centre: np.ndarray
    distance: float
    far: float = float("inf")

    @classmethod
    def of(cls, cloud: Cloud, width: int, height: int, far: float | None = None) -> Framing:
        """The framing that shows a cloud whole.

        Args:
            cloud: what is to be seen.
            width: of the picture, pixels.
            height: of the picture, pixels.
            far: metres of depth beyond which points are left out; None chooses.
        """
        points = cloud.points
        if not cloud.seen_from_origin:
            low, high = np.quantile(points, EXTENT_QUANTILES, axis=0)
            radius = max(float(np.linalg.norm(high - low)) / 2, 1e-3)
            focal = 1.1 * min(width, height)
            camera = _centred(focal, width, height)
            return cls(camera, (low + high) / 2, 2 * focal * radius / min(width, height))
        if far is None:
            far = FAR_MEDIANS * float(np.median(points[:, 2]))
        near_points = points[points[:, 2] <= far]
        if not len(near_points):
            raise ValueError(
                f"no point is nearer than {far:g} m: the nearest is at {points[:, 2].min():.2f} m"
            )
        slopes = near_points[:, :2] / near_points[:, 2:]
        low, high = np.quantile(slopes, EXTENT_QUANTILES, axis=0)
        middle, extent = (low + high) / 2, np.maximum(high - low, 1e-3)
        depth = float(np.median(near_points[:, 2]))
        centre = np.array([*(middle * depth), depth])
        focal = min(width / extent[0], height / extent[1])
        return cls(
            _centred(focal, width, height), centre, PULL_BACK * float(np.linalg.norm(centre)), far
        )

    def keep(self, cloud: Cloud) -> Cloud:
        """The cloud without what is beyond `far`."""
        if not (cloud.seen_from_origin and np.isfinite(self.far)):
            return cloud
        kept = cloud.points[:, 2] <= self.far
        return Cloud(cloud.points[kept], cloud.colours[kept], cloud.spacing)

    def eye(self, yaw: float, pitch: float) -> Eye:
        """The eye turned around the centre.

        Args:
            yaw: radians; positive looks from the right.
            pitch: radians; positive looks from above.
        """
        # The camera itself looks from the origin at the centre: yaw and pitch are added to that.
        x, y, z = self.centre if np.linalg.norm(self.centre) > 0 else (0.0, 0.0, 1.0)
        heading = np.arctan2(x, z) - yaw
        fall = np.arctan2(y, np.hypot(x, z)) + pitch
        forward = np.array(
            [sin(heading) * cos(fall), sin(fall), cos(heading) * cos(fall)], np.float64
        )
        right = np.array([cos(heading), 0.0, -sin(heading)])
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=-1)
        pose[:3, 3] = self.centre - self.distance * forward
        return Eye(self.camera, pose)


def swing(frames: int, yaw: float, pitch: float) -> list[tuple[float, float]]:
    """Yaws and pitches, radians, of an ellipse in front of the scene, without end."""
    turns = [2 * pi * i / frames for i in range(frames)]
    return [(yaw * sin(t), pitch * cos(t)) for t in turns]


def full_turn(frames: int, pitch: float) -> list[tuple[float, float]]:
    """Yaws and pitches, radians, of one turn around the scene, without end."""
    return [(2 * pi * i / frames, pitch) for i in range(frames)]


def _centred(focal: float, width: int, height: int) -> CameraModel:
    return CameraModel(width, height, float(focal), float(focal), (width - 1) / 2, (height - 1) / 2)
