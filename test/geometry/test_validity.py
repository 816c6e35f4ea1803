# SPDX-License-Identifier: Apache-2.0
"""Which depth is valid, and that the two ways of working it out agree."""

import numpy as np
import pytest
import torch

from sharpdepth_ros.geometry import validity
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.validity import only_valid

CAMERA = CameraModel(6, 1, 60.0, 60.0, 3.0, 0.0)
NAN, INF = float("nan"), float("inf")


def test_what_is_not_positive_not_finite_or_out_of_range_is_nan():
    depth = torch.tensor([[-1.0, 0.0, 1.0, 2.0, NAN, INF]])
    kept = only_valid(depth, CAMERA, max_depth=100.0)
    np.testing.assert_array_equal(kept, [[NAN, NAN, 1.0, 2.0, NAN, NAN]])
    kept = only_valid(depth, CAMERA, min_depth=1.5, max_depth=2.0)
    np.testing.assert_array_equal(kept, [[NAN, NAN, NAN, 2.0, NAN, NAN]])
    assert depth[0, 0] == -1.0


def test_what_is_uncertain_is_nan_and_the_limit_itself_is_kept():
    depth = torch.ones(1, 6)
    discrepancy = torch.tensor([[0.0, 0.25, 0.3, 1.0, NAN, -0.0]])
    kept = only_valid(depth, CAMERA, discrepancy=discrepancy, max_discrepancy=0.25)
    np.testing.assert_array_equal(kept, [[1.0, 1.0, NAN, NAN, NAN, 1.0]])
    assert torch.equal(only_valid(depth, CAMERA, discrepancy=None, max_discrepancy=0.25), depth)


@pytest.mark.parametrize("min_angle", [0.0, 2.0])
def test_the_cpu_and_other_devices_agree(min_angle, monkeypatch):
    rng = np.random.default_rng(0)
    camera = CameraModel(150, 100, 140.0, 150.0, 70.0, 52.0)
    depth = torch.from_numpy(rng.uniform(-1, 9, (100, 150)).astype(np.float32))
    depth[rng.random(depth.shape) < 0.05] = NAN
    discrepancy = torch.from_numpy(rng.random(depth.shape, np.float32))
    arguments = (depth, camera, 0.5, 8.0, discrepancy, 0.7, min_angle)
    here = only_valid(*arguments)
    monkeypatch.setattr(validity, "_on_cpu", validity._on_device)
    assert torch.equal(here.nan_to_num(-1), only_valid(*arguments).nan_to_num(-1))
    assert 0 < here.isnan().sum() < here.numel()
