# SPDX-License-Identifier: Apache-2.0
"""Depth and discrepancy as colours, for people."""

import cv2
import numpy as np

NEAR_FAR_QUANTILES = (0.02, 0.98)
"""Colours span these quantiles of the valid depths, so that one far pixel does not darken all."""


def near_far(depths: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Metres at the brightest and the darkest colour for valid depths [N]; None without any."""
    if not depths.size:
        return None, None
    near, far = np.quantile(depths, NEAR_FAR_QUANTILES)
    return float(near), float(far)


def colorize_depth(
    depth: np.ndarray, near: float | None = None, far: float | None = None
) -> np.ndarray:
    """Colour a depth map: near is bright, far is dark, invalid is black.

    Colours follow inverse depth, which gives the near field, where edges matter, most of them.

    Args:
        depth: [H, W] metres; not finite or <= 0 is invalid.
        near: metres at the brightest colour; None takes it from the map.
        far: metres at the darkest colour; None takes it from the map.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    valid = np.isfinite(depth) & (depth > 0)
    if not valid.any():
        return np.zeros((*depth.shape, 3), np.uint8)
    if near is None or far is None:
        # A 64th of the pixels gives the same quantiles in a 64th of the time.
        sample = depth[::8, ::8][valid[::8, ::8]]
        quantiles = np.quantile(sample if sample.size else depth[valid], NEAR_FAR_QUANTILES)
        near = quantiles[0] if near is None else near
        far = quantiles[1] if far is None else far
    inverse = 1.0 / np.where(valid, depth, far)
    extent = max(1.0 / near - 1.0 / far, 1e-9)
    colours = _apply((inverse - 1.0 / far) / extent, cv2.COLORMAP_INFERNO)
    colours[~valid] = 0
    return colours


def colorize_discrepancy(discrepancy: np.ndarray) -> np.ndarray:
    """Colour a discrepancy map [H, W] in [0, 1]: blue agrees, red disagrees, black is NaN; uint8
    RGB."""
    colours = _apply(discrepancy, cv2.COLORMAP_TURBO)
    colours[np.isnan(discrepancy)] = 0
    return colours


def _apply(values: np.ndarray, colormap: int) -> np.ndarray:
    levels = np.clip(np.nan_to_num(values) * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, colormap), cv2.COLOR_BGR2RGB)
