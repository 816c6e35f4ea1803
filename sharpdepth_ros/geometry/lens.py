# SPDX-License-Identifier: Apache-2.0
"""The lens models of sensor_msgs/CameraInfo: what their coefficients mean, and where they end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

#: OpenCV's order; a model takes a beginning of it.
_PINHOLE = (
    *("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    *("s1", "s2", "s3", "s4", "tau_x", "tau_y"),
)
_FISHEYE = ("k1", "k2", "k3", "k4")

#: Lens models of sensor_msgs/distortion_models and how many coefficients each may have. With 12 the
#: rational model has a thin prism, with 14 a tilted sensor, too.
DISTORTION_MODELS: dict[str, tuple[int, ...]] = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (4, 5, 8, 12, 14),
    "equidistant": (4,),
}


@dataclass(frozen=True)
class Distortion:
    """A lens.

    Attributes:
        model: a name of `DISTORTION_MODELS`; any name for a lens that bends nothing.
        coefficients: in the order of sensor_msgs/CameraInfo. Zeros beyond what the model takes are
            dropped; none at all are as many zeros.
    """

    model: str
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in self.coefficients):
            raise ValueError(f"distortion coefficients are not finite: {list(self.coefficients)}")
        object.__setattr__(self, "coefficients", self._fitting())

    def _fitting(self) -> tuple[float, ...]:
        given = self.coefficients
        if not any(given):
            return ()
        lengths = DISTORTION_MODELS.get(self.model)
        if lengths is None:
            raise ValueError(
                f"distortion model {self.model!r} is not known (known: "
                f"{', '.join(DISTORTION_MODELS)}): rectify the image first"
            )
        for length in reversed(lengths):
            if length <= len(given) and not any(given[length:]):
                return given[:length]
        names = (_FISHEYE if self.is_fisheye else _PINHOLE)[: lengths[-1]]
        told = (
            f"{self.model} takes {' or '.join(map(str, lengths))} distortion coefficients, got "
            f"{len(given)}: {list(given)}. They are {', '.join(names)}"
        )
        if len(given) <= len(names):
            raise ValueError(f"{told}; give the others too, 0 where the lens has none")
        surplus, value = next((i, v) for i, v in enumerate(given) if i >= len(names) and v)
        raise ValueError(
            f"{told}, and number {surplus + 1} is {value}: correct the distortion model "
            "(rational_polynomial takes the most), or set what is beyond the model to 0"
        )

    @property
    def is_fisheye(self) -> bool:
        """Whether the coefficients are of the angle to the optical axis, not of its tangent."""
        return self.model == "equidistant"

    @property
    def is_pinhole(self) -> bool:
        """Whether the lens bends nothing. An equidistant lens bends with zero coefficients, too."""
        return not self.coefficients and not self.is_fisheye

    @property
    def is_radial(self) -> bool:
        """Whether the lens moves points to and from the optical axis only."""
        return self.is_fisheye or not (any(self.coefficients[2:4]) or any(self.coefficients[8:]))

    def greatest_slope(self) -> float:
        """Tangent of the greatest angle to the optical axis that the model is good for.

        Up to there what is farther from the axis is farther from it in the image, too. Beyond, the
        polynomial folds the image over, and a pixel would be seen twice.
        """
        d = [*self.coefficients, *[0.0] * (len(_PINHOLE) - len(self.coefficients))]
        if self.is_fisheye:
            # theta (1 + k1 theta^2 + ... + k4 theta^8) ends to rise where its derivative is zero.
            derivative = np.poly1d([9 * d[3], 7 * d[2], 5 * d[1], 3 * d[0], 1.0])
            angle = math.sqrt(_least_positive_root(derivative))
            return math.tan(angle) if angle < math.pi / 2 else math.inf
        # r N / D, with both polynomials in s = r^2: its derivative has the numerator below. Where D
        # is zero the image is infinitely large.
        numerator = np.poly1d([d[4], d[1], d[0], 1.0])
        denominator = np.poly1d([d[7], d[6], d[5], 1.0])
        twice_s = np.poly1d([2.0, 0.0])
        derivative = (numerator + twice_s * numerator.deriv()) * denominator - (
            twice_s * numerator * denominator.deriv()
        )
        ends = _least_positive_root(derivative), _least_positive_root(denominator)
        return math.sqrt(min(ends))

    def undistort_maps(
        self,
        raw: np.ndarray,
        rotation: np.ndarray,
        rectified: np.ndarray,
        size: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the pixels of a rectified image are in the image that the lens made.

        They are OpenCV's initUndistortRectifyMap, hence image_proc's.

        Args:
            raw: [3, 3] pixels, the camera behind the lens.
            rotation: [3, 3], turns raw rays into rectified ones.
            rectified: [3, 3] pixels, the pinhole camera of the rectified image.
            size: (width, height) of the rectified image.

        Returns:
            Columns and rows, each float32 [H, W]. Not finite for rays that the camera cannot see.
        """
        build = cv2.fisheye if self.is_fisheye else cv2
        coefficients = np.array(self.coefficients or [0.0] * 4)
        return build.initUndistortRectifyMap(
            raw, coefficients, rotation, rectified, size, cv2.CV_32FC1
        )


def _least_positive_root(polynomial: np.poly1d) -> float:
    """Of a polynomial that is 1 at zero; infinity where there is none. Where it only touches zero
    it does not end."""
    if not np.isfinite(polynomial.coefficients).all():  # of absurd coefficients
        return 0.0
    # Reversed, its roots are one over these, and the first coefficient is never near zero.
    roots = np.roots(polynomial.coefficients[::-1])
    positive = roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)]
    return float(1 / positive.max()) if positive.size else math.inf
