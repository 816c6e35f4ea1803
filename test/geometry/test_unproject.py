# SPDX-License-Identifier: Apache-2.0
"""Unprojection against the pinhole equation, pixel by pixel."""

import numpy as np
import pytest
import torch

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject

CAMERA = CameraModel(7, 5, 3.0, 4.0, 2.7, 1.9)


def _depth():
    return np.random.default_rng(0).uniform(1, 9, (5, 7)).astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_each_point_projects_back_to_its_pixel_at_its_depth(kind):
    depth = _depth()
    points = unproject(kind(depth), CAMERA)
    assert type(points) is type(kind(depth))
    points = np.asarray(points)
    for v in range(5):
        for u in range(7):
            projected = CAMERA.matrix @ points[v, u]
            assert projected[2] == depth[v, u]
            np.testing.assert_allclose(projected[:2] / projected[2], (u, v), atol=1e-5)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("invalid", [np.nan, np.inf, -np.inf])
def test_an_invalid_depth_becomes_a_point_of_nan(kind, invalid):
    depth = _depth()
    depth[2, 3] = invalid
    points = np.asarray(unproject(kind(depth), CAMERA))
    assert np.isnan(points[2, 3]).all()
    assert np.isfinite(points).all(axis=-1).sum() == depth.size - 1


def test_a_stride_takes_every_nth_point_of_the_full_cloud():
    depth = _depth()
    strided = unproject(depth, CAMERA, stride=3)
    np.testing.assert_array_equal(strided, unproject(depth, CAMERA)[::3, ::3])


def test_a_depth_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"depth is \[4, 4\]"):
        unproject(np.ones((4, 4), np.float32), CAMERA)
