# SPDX-License-Identifier: Apache-2.0
"""CameraInfo to a checked calibration, and the CameraInfo of the depth image.

The meaning of binning, region of interest, K and P is that of image_geometry's PinholeCameraModel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel, Distortion
from sharpdepth_ros.geometry.rectification import Calibration

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header


def calibration_from_info(info: CameraInfo) -> Calibration:
    """The calibration of the images that come with a CameraInfo.

    K, P, width and height of the message are of the full sensor; region of interest and binning
    lead from there to the image. Where P is set it is the rectified camera, also without
    distortion: that is what image_proc and depth_image_proc take.

    Raises:
        ValueError: the camera is not calibrated, or its values mean nothing. The message has them.
    """
    k = np.asarray(info.k, np.float64).reshape(3, 3)
    p = np.asarray(info.p, np.float64).reshape(3, 4)
    if not k.any():
        raise ValueError("camera_info K is all zero: the camera is not calibrated")
    try:
        raw = _to_image(CameraModel.from_matrix(k, info.width, info.height), info)
        rectified = raw
        if p[0, 0] != 0:
            rectified = _to_image(CameraModel.from_matrix(p, info.width, info.height), info)
        # Not from a generator: CPython makes that tuple with ten places and cuts it to its length,
        # and keeps what is freed, up to 2000 of each length, for tuples that are made whole.
        lens = Distortion(info.distortion_model, tuple(np.asarray(info.d, np.float64).tolist()))
    except ValueError as error:
        raise ValueError(f"camera_info: {error}") from None
    r = np.asarray(info.r, np.float64)
    rotation = np.eye(3) if not r.any() else r.reshape(3, 3)
    # A product of numbers that are no rotation's may overflow.
    small = np.abs(rotation).max() < 2  # false for NaN
    if not small or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise ValueError(f"camera_info R is no rotation: {r.tolist()}")
    return Calibration(raw, lens, tuple(rotation.ravel().tolist()), rectified, bool(p[0, 0]))


def _to_image(camera: CameraModel, info: CameraInfo) -> CameraModel:
    roi = info.roi
    if roi.width or roi.height:
        camera = camera.cropped(
            roi.x_offset,
            roi.y_offset,
            roi.width or info.width - roi.x_offset,
            roi.height or info.height - roi.y_offset,
        )
    return camera.binned(max(info.binning_x, 1), max(info.binning_y, 1))


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
