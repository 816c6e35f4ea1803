# SPDX-License-Identifier: Apache-2.0
"""Changes training maps in ways that do not change what is to be learnt from them."""

import torch

from sharpdepth_ros.refiners.discrepancy import DepthRange


def random_part_of_range(depth: torch.Tensor) -> torch.Tensor:
    """Depth [B, 1, h, w] in metres to [-1, 1], each map in a random part of that range: a window
    of a depth map does not reach from -1 to 1. Half of the maps keep the whole of it."""
    normalised = DepthRange.of(depth).normalise(depth)
    low, high = torch.rand(2, len(depth), 1, 1, 1, device=depth.device).sort(dim=0).values
    whole = torch.rand(len(depth), 1, 1, 1, device=depth.device) < 0.5
    within = (normalised + 1) * (high - low) + 2 * low - 1
    return torch.where(whole, normalised, within)
