# SPDX-License-Identifier: Apache-2.0
"""CameraInfo to a checked calibration, and the CameraInfo of the depth image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sharpdepth_ros.geometry.calibration import Calibration, calibration_of
from sharpdepth_ros.geometry.camera import CameraModel

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header


def calibration_from_info(info: CameraInfo, image_size: tuple[int, int] = (0, 0)) -> Calibration:
    """The calibration of the images that come with a CameraInfo; see `calibration_of`.

    Raises:
        ValueError: the camera is not calibrated, or its values mean nothing. The message has them.
    """
    try:
        return calibration_of(info, image_size)
    except ValueError as error:
        raise ValueError(f"camera_info: {error}") from None


def raw_camera_info(
    calibration: Calibration, header: Header, make_info: Callable[..., CameraInfo]
) -> CameraInfo:
    """The CameraInfo of raw images, as their driver publishes it; arguments as below."""
    raw, lens = calibration.raw, calibration.lens
    return make_info(
        header=header,
        height=raw.height,
        width=raw.width,
        distortion_model=lens.model,
        d=list(lens.coefficients or (0.0,) * (4 if lens.is_fisheye else 5)),
        k=raw.matrix.ravel(),
        r=np.array(calibration.rotation),
        p=np.hstack((calibration.rectified.matrix, np.zeros((3, 1)))).ravel(),
    )


def depth_camera_info(
    camera: CameraModel,
    header: Header,
    source: CameraInfo,
    make_info: Callable[..., CameraInfo],
) -> CameraInfo:
    """The CameraInfo of a depth image: a pinhole camera at the image's own size.

    Args:
        camera: the camera the depth was computed for.
        header: of the input frame.
        source: the CameraInfo that came with the frame; a stereo baseline in P is kept.
        make_info: the message class, or another maker (see `MessageTypes`).
    """
    matrix = camera.matrix
    p = np.zeros((3, 4))
    p[:, :3] = matrix
    binning = np.array([max(source.binning_x, 1), max(source.binning_y, 1)])
    p[:2, 3] = np.asarray(source.p, np.float64).reshape(3, 4)[:2, 3] / binning
    return make_info(
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=matrix.ravel(),
        r=np.eye(3).ravel(),
        p=p.ravel(),
    )
