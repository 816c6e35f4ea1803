# SPDX-License-Identifier: Apache-2.0
"""From which height a costmap should mark: floor that becomes an obstacle against obstacles lost.

    python benchmarks/obstacle_height.py [--frames 20] [--output FILE]

Each frame shows another synthetic room, drawn from a seed that no training used, from a camera
whose pose is exact. A point counts as floor or as part of an obstacle by its true height, and is
marked if its height by the predicted depth is in the band that config/nav2_voxel.yaml marks, with
the filters of config/navigation.yaml. The first table is about points, the second about the cells
of a costmap: marked by the exact depth, by the prediction, and by it farther than 15 cm from an
exact one.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from machine import describe

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.geometry.validity import only_valid
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.synthetic.sampling import SampleOptions, render_sample

CONFIG = Path(__file__).parents[1] / "config"
HEIGHTS = (0.05, 0.10, 0.15, 0.20)
"""Values of min_obstacle_height, metres."""
SEED = 900101
"""No training uses it."""
FLOOR = 0.01
"""Metres: what is lower in truth is floor."""
CELL = 0.05
"""Side of a costmap's cell, metres."""
NEAR = 3
"""Cells: a marked cell within them of an exact one is right."""


def main() -> None:
    """Print the tables, and keep them where --output says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--metric-model", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, help="file for the tables")
    options = parser.parse_args()
    pipeline = SharpDepthPipeline.from_pretrained(
        options.model, metric_model=options.metric_model, device=options.device
    )
    counts = sum(_count(pipeline, number) for number in range(options.frames))
    text = "\n".join(_report(counts, options.frames, pipeline.device))
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def _count(pipeline: SharpDepthPipeline, number: int) -> np.ndarray:
    """Counts of one frame, int [heights + 1, 5].

    A row for each height: floor points and obstacle points that are marked, and cells: exact,
    predicted, predicted far from an exact one. The last row: all floor and obstacle points.
    """
    node, source = _parameters()
    options = SampleOptions(seed=SEED, kind="room", views_per_scene=1)
    frame = render_sample(options, number).frame
    camera = CameraModel.from_matrix(frame.intrinsics, options.width, options.height)
    output = pipeline(frame.rgb, frame.intrinsics)
    depth = only_valid(
        torch.as_tensor(output.depth).cpu(),
        camera,
        node.min_depth,
        node.max_depth,
        torch.as_tensor(output.discrepancy).cpu(),
        1 - node.min_confidence,
        node.edge_filter,
    )
    stride = node.point_stride
    true, seen = (_place(unproject(d, camera, stride), frame) for d in (frame.depth, depth.numpy()))
    # Only what the node publishes, so that the tables compare points and not filters.
    published = np.isfinite(true).all(axis=1) & np.isfinite(seen).all(axis=1)
    true, seen = true[published], seen[published]
    sensor = frame.pose[:3, 3]
    floor = (np.abs(true[:, 2]) < FLOOR) & _in_range(true, sensor, source)
    rows = []
    for height in HEIGHTS:
        exact, marked = (_marked(points, sensor, height, source) for points in (true, seen))
        cells = _cells(true[exact], sensor), _cells(seen[marked], sensor)
        wide = cv2.dilate(cells[0], np.ones((2 * NEAR + 1,) * 2, np.uint8))
        wrong = (cells[1] > wide).sum()
        obstacle = _marked(true, sensor, HEIGHTS[-1], source)
        rows.append(
            [(marked & floor).sum(), (marked & obstacle).sum(), *(c.sum() for c in cells), wrong]
        )
    rows.append([floor.sum(), obstacle.sum(), 0, 0, 0])
    return np.array(rows, dtype=int)


def _parameters() -> tuple[Parameters, dict]:
    """The node's with config/navigation.yaml, and the costmap's source that marks."""
    given = yaml.safe_load((CONFIG / "navigation.yaml").read_text())["/**"]["ros__parameters"]
    costmap = yaml.safe_load((CONFIG / "nav2_voxel.yaml").read_text())
    layer = costmap["local_costmap"]["local_costmap"]["ros__parameters"]["voxel_layer"]
    return Parameters().changed(given), layer["mark"]


def _place(points: np.ndarray, frame) -> np.ndarray:
    """Points of the camera's frame in the world's, float [N, 3]; its floor is z = 0."""
    return points.reshape(-1, 3) @ frame.pose[:3, :3].T + frame.pose[:3, 3]


def _in_range(points: np.ndarray, sensor: np.ndarray, source: dict) -> np.ndarray:
    distance = np.linalg.norm(points - sensor, axis=1)
    return (distance >= source["obstacle_min_range"]) & (distance < source["obstacle_max_range"])


def _marked(points: np.ndarray, sensor: np.ndarray, height: float, source: dict) -> np.ndarray:
    """bool [N]: what the costmap marks if it does from `height` on."""
    z = points[:, 2]
    return (z >= height) & (z <= source["max_obstacle_height"]) & _in_range(points, sensor, source)


def _cells(points: np.ndarray, sensor: np.ndarray) -> np.ndarray:
    """uint8 [240, 240]: the cells of a costmap of 12 m around the camera that have a point."""
    cells = np.zeros((240, 240), np.uint8)
    x, y = np.floor((points[:, :2] - sensor[:2]) / CELL).astype(int).T + 120
    cells[x, y] = 1
    return cells


def _report(counts: np.ndarray, frames: int, device: object) -> list[str]:
    node, source = _parameters()
    floor, obstacle = counts[-1, :2]
    lines = [
        f"{describe()}; {device}",
        f"{frames} rooms, 320x240, stride {node.point_stride}: {floor} points of the floor, "
        f"{obstacle} of obstacles from {HEIGHTS[-1]:.2f} to {source['max_obstacle_height']} m, "
        f"{source['obstacle_min_range']} to {source['obstacle_max_range']} m away",
        "",
        "| min_obstacle_height, m | floor marked, % | obstacles kept, % | cells, exact depth "
        "| cells, prediction | of them wrong, % |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for height, (on_floor, kept, exact, cells, wrong) in zip(HEIGHTS, counts[:-1], strict=True):
        lines.append(
            f"| {height:.2f} | {100 * on_floor / floor:.1f} | {100 * kept / obstacle:.1f} "
            f"| {exact / frames:.0f} | {cells / frames:.0f} | {100 * wrong / cells:.0f} |"
        )
    return lines


if __name__ == "__main__":
    main()
