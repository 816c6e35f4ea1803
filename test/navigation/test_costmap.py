# SPDX-License-Identifier: Apache-2.0
"""The presets for Nav2: they name parameters that it has, and what goes away leaves the map."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.geometry.validity import only_valid
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.synthetic import look_pose

from .voxel_layer import VoxelLayer

CONFIG = Path(__file__).parents[2] / "config"

#: What the layers declare in Humble, Jazzy, Kilted and Lyrical alike.
LAYERS = {
    "nav2_costmap_2d::VoxelLayer": {
        *("enabled", "footprint_clearing_enabled", "max_obstacle_height", "z_voxels"),
        *("origin_z", "z_resolution", "unknown_threshold", "mark_threshold"),
        *("combination_method", "publish_voxel_map", "observation_sources"),
    },
    "nav2_costmap_2d::InflationLayer": {
        *("enabled", "inflation_radius", "cost_scaling_factor", "inflate_unknown"),
        "inflate_around_unknown",
    },
}
SOURCE = {
    *("topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type"),
    *("min_obstacle_height", "max_obstacle_height", "inf_is_valid", "marking", "clearing"),
    *("obstacle_max_range", "obstacle_min_range", "raytrace_max_range", "raytrace_min_range"),
}

CAMERA = CameraModel.from_fov(640, 480, horizontal_fov=75)
PLACE = np.array([1.0, 3.0, 1.0])
"""Where the camera stands in the map, metres: 1 m above the floor."""
POSE = look_pose(PLACE, yaw=0.0, pitch=np.deg2rad(-15))


@pytest.fixture
def layers():
    costmap = yaml.safe_load((CONFIG / "nav2_voxel.yaml").read_text())
    return costmap["local_costmap"]["local_costmap"]["ros__parameters"]


@pytest.fixture
def node():
    """The node's parameters with config/navigation.yaml."""
    given = yaml.safe_load((CONFIG / "navigation.yaml").read_text())
    return Parameters().changed(given["/**"]["ros__parameters"])


def depth_of(box_height: float, background: float) -> torch.Tensor:
    """Exact depth of a floor, a wall at `background` metres and a box 2 m before the camera."""
    x, y = CAMERA.ray_slopes()
    rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), -1) @ POSE[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(rays[..., 2] < 0, -PLACE[2] / rays[..., 2], np.inf)
        depth = np.minimum(floor, background / rays[..., 0])
        if box_height:
            low = np.array([3.0, 2.75, 0.0]) - PLACE
            high = np.array([3.5, 3.25, box_height]) - PLACE
            sides = np.sort(np.stack((low / rays, high / rays)), axis=0)
            enters, leaves = sides[0].max(axis=-1), sides[1].min(axis=-1)
            depth = np.where((enters <= leaves) & (enters > 0), np.minimum(depth, enters), depth)
    return torch.from_numpy(depth.astype(np.float32))


def cloud(box_height: float, background: float, node: Parameters) -> np.ndarray:
    """The points [N, 3] that the node publishes of it, in the map's frame."""
    depth = only_valid(depth_of(box_height, background), CAMERA, node.min_depth, node.max_depth)
    points = unproject(depth.numpy(), CAMERA, node.point_stride).reshape(-1, 3)
    return points @ POSE[:3, :3].T + PLACE


def lethal_cells(layer: dict, node: Parameters, box: float, background: float) -> tuple[int, int]:
    """Lethal cells while a box of that height stands there, and after it was taken away."""
    voxels = VoxelLayer(layer)
    before = voxels.update(cloud(box, background, node), PLACE)
    return before, voxels.update(cloud(0, background, node), PLACE)


def one_source(layer: dict) -> dict:
    """The layer with a source that marks and clears, as most examples have it."""
    source = layer["clear"] | layer["mark"] | {"clearing": True}
    return layer | {"observation_sources": "both", "both": source}


def test_every_parameter_is_one_that_nav2_declares(layers):
    for name in layers["plugins"]:
        layer = dict(layers[name])
        known = LAYERS[layer.pop("plugin")]
        for source in layer.get("observation_sources", "").split():
            assert set(layer.pop(source)) <= SOURCE, source
        assert set(layer) <= known, name


def test_a_low_box_that_is_taken_away_leaves_the_costmap(layers, node):
    before, after = lethal_cells(layers["voxel_layer"], node, box=0.5, background=6.0)
    assert before > 10
    assert after == 0


def test_a_high_box_before_a_far_background_leaves_the_costmap(layers, node):
    before, after = lethal_cells(layers["voxel_layer"], node, box=1.6, background=60.0)
    assert before > 10
    assert after == 0


def test_one_source_that_marks_and_clears_keeps_a_low_box_for_ever(layers, node):
    layer = one_source(layers["voxel_layer"])
    before, after = lethal_cells(layer, node, box=0.5, background=6.0)
    assert before == after > 10


def test_a_far_background_that_is_cut_off_clears_nothing(layers, node):
    short = node.changed({"max_depth": 8.0})
    before, after = lethal_cells(layers["voxel_layer"], short, box=1.6, background=60.0)
    assert before == after > 10


def test_the_floor_and_the_far_background_mark_nothing(layers, node):
    voxels = VoxelLayer(layers["voxel_layer"])
    assert voxels.update(cloud(0, 60.0, node), PLACE) == 0


def test_a_camera_above_the_voxels_clears_nothing(layers, node):
    voxels = VoxelLayer(layers["voxel_layer"])
    before = voxels.update(cloud(0.5, 6.0, node), PLACE)
    assert voxels.update(cloud(0, 6.0, node), PLACE + np.array([0, 0, 2.5])) == before > 10
