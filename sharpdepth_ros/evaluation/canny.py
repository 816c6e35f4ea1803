# SPDX-License-Identifier: Apache-2.0
"""Canny edges that agree pixel by pixel with scikit-image's, without depending on it.

The published evaluations (iBims-1's toolbox, SharpDepth's PDBE) find edges with
skimage.feature.canny. OpenCV's Canny works on 8 bits and with another suppression, and gives other
edges, so the same numbers need the same steps: a normalised Gaussian, Sobel, suppression by linear
interpolation between neighbours, and hysteresis. Filters from elsewhere round differently, and
beside a step the last bit decides which side is the edge: every order of summation below matters.
"""

import cv2
import numpy as np

SIGMA = np.sqrt(2)
LOW, HIGH = 0.1, 0.2
"""Gaussian's standard deviation in pixels and thresholds on the gradient of a map in [0, 1]
(published: canny(map, sigma=sqrt(2), low_threshold=0.1, high_threshold=0.2))."""


def canny(image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Canny edges of a map.

    Args:
        image: float [H, W], about [0, 1].
        mask: bool [H, W], None for all: pixels that take part. Others are ignored in smoothing,
            and pixels beside them are not edges.

    Returns:
        bool [H, W].
    """
    smoothed = _smooth(image, mask)
    down, right = _sobel(smoothed)
    magnitude = np.sqrt(down * down + right * right)
    inside = np.ones(image.shape, np.uint8) if mask is None else mask.astype(np.uint8)
    block = np.ones((3, 3), np.uint8)
    inside = cv2.erode(inside, block, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    thin = _suppress(down, right, magnitude, inside.astype(bool) & (magnitude >= LOW))
    return _keep_strong(thin, magnitude >= HIGH)


def _smooth(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Gaussian of the pixels in the mask over the Gaussian of the mask."""
    present = np.ones_like(image) if mask is None else mask.astype(image.dtype)
    known = image if mask is None else np.where(mask, image, 0).astype(image.dtype)
    return _gaussian(known) / (_gaussian(present) + np.finfo(image.dtype).eps)


def _gaussian(image: np.ndarray) -> np.ndarray:
    """Zeros outside, 4 sigma wide. Rounded to the map's type after each axis, as SciPy does."""
    radius = int(4 * SIGMA + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 / (SIGMA * SIGMA) * offsets**2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        size = image.shape[axis]
        margin = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(image, margin).astype(np.float64)
        slices = [
            np.s_[k : k + size] if axis == 0 else np.s_[:, k : k + size] for k in offsets + radius
        ]
        total = padded[slices[radius]] * kernel[radius]
        for k in range(radius):  # from the outside in: SciPy's order of rounding
            total += (padded[slices[k]] + padded[slices[2 * radius - k]]) * kernel[k]
        image = total.astype(image.dtype)
    return image


def _sobel(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives down the rows and along the columns; the border repeats."""

    def difference(a: np.ndarray) -> np.ndarray:
        p = np.pad(a, [(1, 1), (0, 0)], mode="edge").astype(np.float64)
        return (p[2:] - p[:-2]).astype(a.dtype)

    def smooth(a: np.ndarray) -> np.ndarray:
        p = np.pad(a, [(0, 0), (1, 1)], mode="edge").astype(np.float64)
        return (2 * p[:, 1:-1] + (p[:, :-2] + p[:, 2:])).astype(a.dtype)

    return smooth(difference(image)), smooth(difference(image.T)).T


def _suppress(
    down: np.ndarray, right: np.ndarray, magnitude: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """Candidates whose gradient is the largest along its own direction; bool [H, W].

    The magnitude one step ahead and one step back is interpolated between the straight and the
    diagonal neighbour.
    """
    rows, columns = np.nonzero(candidates)
    dy, dx = down[rows, columns], right[rows, columns]
    same_sign = ((dy >= 0) & (dx >= 0)) | ((dy <= 0) & (dx <= 0))
    steep = np.where(same_sign, abs(dy) > abs(dx), abs(dy) >= abs(dx))
    # The step is taken towards +x, or for a steep gradient of equal signs towards +y.
    diagonal_y = np.where(same_sign, 1, -1)
    straight_y = np.where(steep, diagonal_y, 0)
    straight_x = np.where(steep, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(steep, abs(dx) / abs(dy), abs(dy) / abs(dx))
    rest = 1 - weight.astype(np.float64)

    here = magnitude[rows, columns]

    def falls_off(direction: int) -> np.ndarray:
        straight = magnitude[rows + direction * straight_y, columns + direction * straight_x]
        diagonal = magnitude[rows + direction * diagonal_y, columns + direction]
        # The first product keeps the map's precision, the rest is double, as in scikit-image.
        return diagonal * weight + straight * rest <= here

    largest = falls_off(1) & falls_off(-1)
    thin = np.zeros_like(candidates)
    thin[rows[largest], columns[largest]] = True
    return thin


def _keep_strong(thin: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """The 8-connected lines that have a strong pixel (hysteresis)."""
    count, labels = cv2.connectedComponents(thin.astype(np.uint8), connectivity=8)
    keep = np.zeros(count, bool)
    keep[labels[thin & strong]] = True
    return keep[labels]
