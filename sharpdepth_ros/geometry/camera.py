# SPDX-License-Identifier: Apache-2.0
"""The pinhole camera, as a value object that is valid once it exists.

Pixel coordinates are those of ROS: integer coordinates are pixel centres, (0, 0) is the centre of
the top left pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

#: Greatest distance of a ray from the optical axis one metre ahead, in metres: 89.99 degrees.
_GREATEST_SLOPE = 1e4


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera for images of one size.

    Attributes:
        width: image width in pixels.
        height: image height in pixels.
        fx: horizontal focal length in pixels.
        fy: vertical focal length in pixels.
        cx: column of the principal point in pixels.
        cy: row of the principal point in pixels.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"camera image size {self.width}x{self.height} is empty")
        intrinsics = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(value) for value in intrinsics):
            raise ValueError(
                "camera intrinsics are not finite: fx {}, fy {}, cx {}, cy {}".format(*intrinsics)
            )
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(
                f"focal lengths must be positive, got fx {self.fx}, fy {self.fy}: "
                "the camera is not calibrated"
            )
        across = max(abs(self.cx), abs(self.width - self.cx)) / self.fx
        down = max(abs(self.cy), abs(self.height - self.cy)) / self.fy
        if max(across, down) > _GREATEST_SLOPE:
            raise ValueError(
                "camera intrinsics fx {}, fy {}, cx {}, cy {} ".format(*intrinsics)
                + f"are not those of a {self.width}x{self.height} image: its rays would be all but "
                "parallel to it"
            )

    @classmethod
    def from_matrix(cls, matrix: np.ndarray, width: int, height: int) -> CameraModel:
        """The camera of an intrinsic matrix.

        Args:
            matrix: [3, 3] or the left part of [3, 4], in pixels of a width x height image.
            width: image width in pixels.
            height: image height in pixels.

        Raises:
            ValueError: the matrix is not that of a pinhole camera; the message has its values.
        """
        k = np.asarray(matrix, dtype=np.float64)
        if k.shape not in ((3, 3), (3, 4)):
            raise ValueError(f"intrinsics must be [3, 3] or [3, 4], got {list(k.shape)}")
        return cls(
            int(width), int(height), float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])
        )

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov: float) -> CameraModel:
        """The camera with square pixels and a centred principal point.

        Args:
            width: image width in pixels.
            height: image height in pixels.
            horizontal_fov: field of view across the width, degrees, over 0 and under 180.
        """
        if not 0 < horizontal_fov < 180:
            raise ValueError(f"horizontal_fov is {horizontal_fov} degrees; give 0 to 180")
        focal = 0.5 * width / math.tan(math.radians(horizontal_fov) / 2)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> np.ndarray:
        """The intrinsic matrix, float64 [3, 3], in pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """The camera of the window that starts at pixel (x, y)."""
        if x < 0 or y < 0 or x + width > self.width or y + height > self.height:
            raise ValueError(
                f"region {width}x{height} at ({x}, {y}) leaves the {self.width}x{self.height} image"
            )
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)

    def binned(self, x: int, y: int) -> CameraModel:
        """The camera after x by y pixels became one.

        The principal point is divided as image_geometry divides it, so that a depth image and the
        CameraInfo it came with mean the same thing here and there.
        """
        if x < 1 or y < 1:
            raise ValueError(f"binning must be at least 1x1, got {x}x{y}")
        return CameraModel(
            self.width // x,
            self.height // y,
            self.fx / x,
            self.fy / y,
            self.cx / x,
            self.cy / y,
        )

    def resized(self, width: int, height: int) -> CameraModel:
        """The camera of the image resampled to width x height (pixel areas are kept)."""
        sx, sy = width / self.width, height / self.height
        return CameraModel(
            width,
            height,
            self.fx * sx,
            self.fy * sy,
            (self.cx + 0.5) * sx - 0.5,
            (self.cy + 0.5) * sy - 0.5,
        )

    def ray_slopes(self, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Where the rays of every stride-th pixel cross the plane one metre ahead.

        Returns:
            (u - cx) / fx for the columns, float32 [W], and (v - cy) / fy for the rows, float32 [H].
        """
        columns = (np.arange(0, self.width, stride) - self.cx) / self.fx
        rows = (np.arange(0, self.height, stride) - self.cy) / self.fy
        return columns.astype(np.float32), rows.astype(np.float32)
