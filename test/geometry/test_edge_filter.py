# SPDX-License-Identifier: Apache-2.0
"""The edge filter on scenes whose flying points are known."""

import math

import cv2
import numpy as np
import pytest
import torch

from sharpdepth_ros.geometry import edge_filter
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.edge_filter import flying_points

CAMERA = CameraModel(61, 41, 60.0, 60.0, 30.0, 20.0)


def _profile(values, camera=CAMERA):
    """A scene whose depth changes along the columns only."""
    row = torch.full((camera.width,), float(values[-1]))
    row[: len(values)] = torch.tensor(values, dtype=torch.float32)
    return row.repeat(camera.height, 1)


def test_the_points_between_two_surfaces_go_and_the_surfaces_stay():
    depth = _profile([1.0] * 20 + [1.4, 1.9, 2.5] + [3.0])
    flying = flying_points(depth, CAMERA, 6.0)
    expected = torch.zeros_like(flying)
    expected[:, 20:23] = True
    assert torch.equal(flying, expected)


def test_the_same_holds_along_the_rows():
    camera = CameraModel(41, 61, 60.0, 60.0, 20.0, 30.0)
    depth = _profile([1.0] * 20 + [1.4, 1.9, 2.5] + [3.0]).T.contiguous()
    assert flying_points(depth, camera, 6.0)[20:23].all()
    assert flying_points(depth, camera, 6.0).sum() == 3 * 41


@pytest.mark.parametrize(
    "values",
    [[1.0] * 20 + [5.0], [5.0] * 20 + [1.0] + [5.0], [5.0] * 20 + [1.0]],
    ids=["a sharp edge", "a thin pole", "a near surface on the right"],
)
def test_what_is_sharp_loses_nothing(values):
    assert not flying_points(_profile(values), CAMERA, 5.0).any()


@pytest.mark.parametrize("angle", [2.0, 5.0, 20.0])
def test_a_plane_is_kept_or_not_by_its_angle_to_the_viewing_ray(angle):
    """The camera looks along a floor 1 m below; row v meets it at atan((v - cy) / fy)."""
    rows = (torch.arange(CAMERA.height) - CAMERA.cy) / CAMERA.fy
    ground = torch.where(rows > 0, 1 / rows, torch.nan)
    depth = ground[:, None].repeat(1, CAMERA.width)
    flying = flying_points(depth, CAMERA, angle)[:, int(CAMERA.cx)]
    seen_at = torch.rad2deg(torch.atan(rows))
    # The discrete slope differs from the true one by a pixel's worth.
    pixel = math.degrees(1 / CAMERA.fy)
    inner = torch.isfinite(ground) & torch.isfinite(ground.roll(1)) & (rows < rows[-1])
    assert flying[inner & (seen_at < angle - pixel)].all()
    assert not flying[inner & (seen_at > angle + pixel)].any()


def test_invalid_pixels_do_not_spread():
    depth = _profile([2.0] * 61)
    depth[10, 10] = torch.nan
    assert not flying_points(depth, CAMERA, 5.0).any()


def test_bands_of_rows_are_seamless():
    rng = np.random.default_rng(0)
    camera = CameraModel(50, 200, 100.0, 100.0, 25.0, 100.0)
    depth = torch.from_numpy(rng.uniform(1, 2, (200, 50)).astype(np.float32))
    whole = flying_points(depth, camera, 10.0)
    shifted = CameraModel(50, 193, 100.0, 100.0, 25.0, 93.0)
    part = flying_points(depth[7:], shifted, 10.0)
    assert torch.equal(whole[9:-1], part[2:-1])
    assert whole.any()


@pytest.mark.parametrize("angle", [1.0, 2.0, 3.0, 20.0, 45.0])
@pytest.mark.parametrize("invalid", [0.0, 0.02])
def test_the_search_for_candidates_misses_none(angle, invalid, monkeypatch):
    """Against the formula in each pixel, on slanted surfaces with blurred edges between them."""
    monkeypatch.setattr(edge_filter, "_MANY", 1.0)
    rng = np.random.default_rng(0)
    camera = CameraModel(160, 120, 150.0, 130.0, 70.0, 65.0)
    near = np.kron(rng.uniform(1, 5, (6, 8)), np.ones((20, 20)))
    depth = cv2.GaussianBlur(near + np.linspace(0, 2, 160), (0, 0), 1.5).astype(np.float32)
    depth[rng.random(depth.shape) < invalid] = np.nan
    depth = torch.from_numpy(depth)
    x, y = (torch.from_numpy(slopes) for slopes in camera.ray_slopes())
    limit = 1 / math.sin(math.radians(angle)) ** 2
    everywhere = edge_filter._in_all_pixels(depth, camera, x, y, limit, 24)
    assert torch.equal(flying_points(depth, camera, angle), everywhere)
    candidates = edge_filter._candidates(depth.numpy(), camera, x, y, limit)
    assert everywhere.sum() <= len(candidates) < depth.numel()
    assert everywhere.any() == (angle > 1)
