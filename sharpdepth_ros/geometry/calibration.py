# SPDX-License-Identifier: Apache-2.0
"""What a calibrated camera says about its images, and how CameraInfo's numbers say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.lens import Distortion

#: Half the step of remap's fixed-point maps, in pixels: what is nearer to a pixel is that pixel.
HALF_STEP = 0.5 / cv2.INTER_TAB_SIZE


@dataclass(frozen=True)
class Calibration:
    """What a calibrated camera publishes about its images.

    Attributes:
        raw: the camera of the image as it came from the sensor.
        lens: its distortion.
        rotation: nine numbers by rows, turns raw rays into rectified ones (CameraInfo's R).
        rectified: the pinhole camera of the rectified image, of the same size.
        has_projection: the calibration names that camera itself; otherwise it is the raw one.
    """

    raw: CameraModel
    lens: Distortion
    rotation: tuple[float, ...]
    rectified: CameraModel
    has_projection: bool

    @classmethod
    def pinhole(cls, camera: CameraModel) -> Calibration:
        """Of a camera without lens."""
        return cls(camera, Distortion("plumb_bob"), tuple(np.eye(3).ravel().tolist()), camera, True)

    def resized(self, width: int, height: int) -> Calibration:
        """Of the same images resampled to width x height."""
        return replace(
            self,
            raw=self.raw.resized(width, height),
            rectified=self.rectified.resized(width, height),
        )

    @property
    def is_rectified(self) -> bool:
        """Whether the raw image is the rectified one: no pixel moves by a step of the maps."""
        if not self.lens.is_pinhole:
            return False
        right, bottom = self.raw.width - 1, self.raw.height - 1
        corners = np.array([[0, right, 0, right], [0, 0, bottom, bottom], [1, 1, 1, 1]], float)
        x, y, z = self.raw.matrix @ self.rays_of(corners)
        moved = np.abs(np.stack([x, y]) - corners[:2] * z)
        return bool((moved <= 2 * HALF_STEP * z).all())

    def rays_of(self, pixels: np.ndarray) -> np.ndarray:
        """Raw rays, [3, ...], of homogeneous pixels [3, ...] of the rectified image."""
        rotation = np.asarray(self.rotation).reshape(3, 3)
        back = np.linalg.inv(self.rectified.matrix @ rotation)
        return np.tensordot(back, pixels, axes=1)


def calibration_of(info: Any, image_size: tuple[int, int] = (0, 0)) -> Calibration:
    """The calibration that a CameraInfo describes.

    The meaning of its fields is that of image_geometry's PinholeCameraModel. K, P, width and height
    are of the full sensor; region of interest and binning lead from there to the image. The
    rectified image has the raw one's region of interest, whatever do_rectify says. Where P is set
    it is the rectified camera, else that is the raw one.

    Unlike image_geometry, which takes an image for rectified where all coefficients are zero, this
    keeps to what the numbers say: an equidistant lens bends with zero coefficients, too, and R and
    P may turn and scale the image of a lens that does not.

    Args:
        info: a sensor_msgs/CameraInfo, or anything with its fields.
        image_size: width and height of the image. Several drivers leave both 0 in the message, and
            the image then tells the sensor's.

    Raises:
        ValueError: the camera is not calibrated, or its values mean nothing. The message has them.
    """
    k = np.asarray(info.k, np.float64).reshape(3, 3)
    p = np.asarray(info.p, np.float64).reshape(3, 4)
    if not k.any():
        raise ValueError("K is all zero: the camera is not calibrated")
    size = _sensor_size(info, image_size)
    raw = _to_image(CameraModel.from_matrix(k, *size), info)
    rectified = raw
    if p[0, 0] != 0:
        rectified = _to_image(CameraModel.from_matrix(p, *size), info)
    # Not from a generator: CPython makes that tuple with ten places and cuts it to its length,
    # and keeps what is freed, up to 2000 of each length, for tuples that are made whole.
    lens = Distortion(info.distortion_model, tuple(np.asarray(info.d, np.float64).tolist()))
    r = np.asarray(info.r, np.float64)
    rotation = np.eye(3) if not r.any() else r.reshape(3, 3)
    # A product of numbers that are no rotation's may overflow.
    small = np.abs(rotation).max() < 2  # false for NaN
    turns = small and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    if not turns or np.linalg.det(rotation) < 0:
        raise ValueError(f"R is no rotation: {r.tolist()}")
    return Calibration(raw, lens, tuple(rotation.ravel().tolist()), rectified, bool(p[0, 0]))


def _sensor_size(info: Any, image_size: tuple[int, int]) -> tuple[int, int]:
    """Width and height that K is of."""
    if info.width or info.height:
        return info.width, info.height
    roi, (width, height) = info.roi, image_size
    return (
        roi.x_offset + (roi.width or width * max(info.binning_x, 1)),
        roi.y_offset + (roi.height or height * max(info.binning_y, 1)),
    )


def _to_image(camera: CameraModel, info: Any) -> CameraModel:
    roi = info.roi
    if roi.x_offset or roi.y_offset or roi.width or roi.height:
        camera = camera.cropped(
            roi.x_offset,
            roi.y_offset,
            roi.width or camera.width - roi.x_offset,
            roi.height or camera.height - roi.y_offset,
        )
    return camera.binned(max(info.binning_x, 1), max(info.binning_y, 1))
