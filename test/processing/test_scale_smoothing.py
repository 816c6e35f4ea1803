# SPDX-License-Identifier: Apache-2.0
"""Steadiness: a still scene's scale trembles less, and motion leaves no trace of older frames."""

import numpy as np
import pytest
import torch

from sharpdepth_ros.processing.scale_smoothing import ScaleSmoother

from ..node.conftest import picture

W, H = 320, 240


def _scene():
    return torch.linspace(1, 5, W).repeat(H, 1)


def _tremble(strength, noise=0.0, frames=40):
    """Standard deviation of the scale over frames of one scene, whose model errs by 5 %."""
    rng = np.random.default_rng(0)
    smooth, scene, rgb = ScaleSmoother(), _scene(), picture(W, H)
    scales = []
    for _ in range(frames):
        seen = np.clip(rgb + rng.normal(0, noise, rgb.shape), 0, 255).astype(np.uint8)
        depth = smooth(scene * (1 + 0.05 * rng.standard_normal()), seen, strength)
        scales.append((depth / scene).mean().item())
        assert (depth / scene).std() < 1e-5  # one factor for the whole map
    return np.std(scales[10:])


@pytest.mark.parametrize("noise", [0.0, 4.0], ids=["clean", "a noisy sensor"])
def test_the_scale_of_a_still_scene_trembles_less(noise):
    assert _tremble(0.9, noise) < 0.35 * _tremble(0.0, noise)


def test_off_changes_nothing():
    depth = _scene()
    assert ScaleSmoother()(depth, picture(W, H), 0.0) is depth


@pytest.mark.parametrize("shift", [1, 2, 10])
def test_a_pan_leaves_each_frames_depth_as_it_is(shift):
    smooth, wide = ScaleSmoother(), picture(W * 3, H)
    for i in range(20):
        depth = _scene() * (1 + 0.1 * i)
        window = np.ascontiguousarray(wide[:, i * shift : i * shift + W])
        assert torch.equal(smooth(depth, window, 0.9), depth)


def test_an_approach_to_a_blank_wall_is_not_held_back():
    smooth, blank = ScaleSmoother(), np.full((H, W, 3), 200, np.uint8)
    for distance in (3.0, 2.5, 2.0):
        depth = torch.full((H, W), distance)
        assert torch.equal(smooth(depth, blank, 0.9), depth)


def test_invalid_depth_and_a_change_of_size_are_no_trouble():
    smooth, rgb = ScaleSmoother(), picture(W, H)
    nothing = torch.full((H, W), torch.nan)
    smooth(nothing, rgb, 0.9)
    assert torch.equal(smooth(_scene(), rgb, 0.9), _scene())
    small = torch.ones(48, 64)
    assert torch.equal(smooth(small, picture(64, 48), 0.9), small)
