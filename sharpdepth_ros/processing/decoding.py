# SPDX-License-Identifier: Apache-2.0
"""Decodes and rectifies the images of a camera."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from sharpdepth_ros.geometry.calibration import Calibration
from sharpdepth_ros.geometry.rectification import RectifiedImage, Rectifier
from sharpdepth_ros.io.intensity_range import IntensityRange
from sharpdepth_ros.messages.camera_info import calibration_from_info
from sharpdepth_ros.messages.images import message_to_rgb
from sharpdepth_ros.processing.frame import BadInput, Frame

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image


class CameraPictures:
    """Decodes and rectifies the frames of one camera.

    Attributes:
        intensity: how its 16-bit pictures become 8 bits.
    """

    def __init__(self) -> None:
        self.intensity = IntensityRange()
        self._intensity_setting = "auto"
        self._info_key: object = None
        self._calibration: Calibration
        self._rectifier: Rectifier | None = None

    def __call__(self, frame: Frame, rectify: bool, timings: dict[str, float]) -> RectifiedImage:
        """The rectified picture of a frame and its camera.

        Args:
            frame: image and camera_info.
            rectify: the parameter of this name.
            timings: gets the milliseconds of both steps.

        Raises:
            BadInput: the messages cannot be used.
        """
        with stage(timings, "convert"):
            rgb = _picture(frame.image, self.intensity)
        with stage(timings, "rectify"):
            height, width = rgb.shape[:2]
            calibration = self._calibration_of(frame.info, (width, height))
            _check_size(rgb, calibration, frame.info)
            return self._rectified(rgb, calibration, rectify)

    def set_intensity(self, setting: str) -> None:
        """Applies the parameter intensity_range; the same value again changes nothing."""
        if setting != self._intensity_setting:
            self.intensity, self._intensity_setting = IntensityRange(setting), setting

    def _calibration_of(self, info: CameraInfo, image_size: tuple[int, int]) -> Calibration:
        """Reads a CameraInfo; a stream repeats the same one, so the last is kept."""
        roi = info.roi
        key = (
            image_size,
            (info.width, info.height, info.distortion_model, info.binning_x, info.binning_y),
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
            np.concatenate((info.k, info.r, info.p, info.d)).tobytes(),
        )
        if key != self._info_key:
            try:
                self._calibration = calibration_from_info(info, image_size)
            except ValueError as error:
                raise BadInput("bad_camera_info", str(error)) from None
            self._info_key, self._rectifier = key, None
        return self._calibration

    def _rectified(
        self, rgb: np.ndarray, calibration: Calibration, rectify: bool
    ) -> RectifiedImage:
        if not rectify:
            if not (calibration.has_projection or calibration.lens.is_pinhole):
                raise BadInput(
                    "bad_camera_info",
                    "camera_info has distortion and no P: with rectify false P is the camera of "
                    "the rectified image; set rectify true, or send P",
                )
            return RectifiedImage(rgb, calibration.rectified)
        if self._rectifier is None:
            try:
                self._rectifier = Rectifier(calibration)
            except ValueError as error:
                raise BadInput("bad_camera_info", f"camera_info: {error}") from None
        return self._rectifier(rgb)


def _picture(image: Image | CompressedImage, intensity: IntensityRange) -> np.ndarray:
    try:
        return message_to_rgb(image, intensity)
    except ValueError as error:
        raise BadInput("bad_image", str(error)) from None


def _check_size(rgb: np.ndarray, calibration: Calibration, info: CameraInfo) -> None:
    height, width = rgb.shape[:2]
    raw = calibration.raw
    if (width, height) != (raw.width, raw.height):
        raise BadInput(
            "size_mismatch",
            f"the image is {width}x{height}, but camera_info ({info.width}x{info.height} before "
            f"region of interest and binning) describes {raw.width}x{raw.height}: the camera was "
            "calibrated at another resolution",
        )


@contextmanager
def stage(timings: dict[str, float], name: str) -> Iterator[None]:
    """Puts the milliseconds of a block into `timings`."""
    begun = time.perf_counter()
    yield
    timings[name] = (time.perf_counter() - begun) * 1e3
