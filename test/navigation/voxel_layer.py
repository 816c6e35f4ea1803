# SPDX-License-Identifier: Apache-2.0
"""What Nav2's VoxelLayer does with a cloud, so that a costmap's parameters can be tried without it.

The rules are those of nav2_costmap_2d (ObservationBuffer::bufferCloud, VoxelLayer::updateBounds and
raytraceFreespace) and of nav2_voxel_grid (raytraceLine, ClearVoxelInMap, markVoxelInMap), the same
from Humble to Lyrical. Left out: unknown space, several clouds at once, moving windows.
"""

from collections.abc import Mapping

import numpy as np

#: The defaults that the layer declares for a source.
SOURCE_DEFAULTS = {
    "min_obstacle_height": 0.0,
    "max_obstacle_height": 0.0,
    "marking": True,
    "clearing": False,
    "obstacle_min_range": 0.0,
    "obstacle_max_range": 2.5,
    "raytrace_min_range": 0.0,
    "raytrace_max_range": 3.0,
}


class VoxelLayer:
    """The layer of a costmap whose origin is a corner of the map; x, y, z in metres."""

    def __init__(self, parameters: Mapping, size: float = 6.0, resolution: float = 0.05) -> None:
        """Makes an empty map of `size` by `size` metres; `parameters` are the layer's."""
        self.parameters = parameters
        self.sources = [
            SOURCE_DEFAULTS | parameters[name] for name in parameters["observation_sources"].split()
        ]
        self.step = np.array([resolution, resolution, parameters["z_resolution"]])
        self.base = np.array([0.0, 0.0, parameters["origin_z"]])
        cells = round(size / resolution)
        self.marked = np.zeros((cells, cells, parameters["z_voxels"]), bool)
        self.lethal = np.zeros((cells, cells), bool)

    def update(self, points: np.ndarray, sensor: np.ndarray) -> int:
        """Takes a cloud [N, 3] seen from `sensor` [3]. Returns the number of lethal cells."""
        points = points.astype(np.float64)
        for source in self.sources:
            if source["clearing"]:
                self._clear(self._buffered(points, source), sensor, source)
        for source in self.sources:
            if source["marking"]:
                self._mark(self._buffered(points, source), sensor, source)
        return int(self.lethal.sum())

    def _buffered(self, points: np.ndarray, source: Mapping) -> np.ndarray:
        """ObservationBuffer: heights first, whatever the cloud is for. NaN fits no bound."""
        z = points[:, 2]
        return points[(z <= source["max_obstacle_height"]) & (z >= source["min_obstacle_height"])]

    def _mark(self, points: np.ndarray, sensor: np.ndarray, source: Mapping) -> None:
        distance = np.linalg.norm(points - sensor, axis=1)
        z = points[:, 2]
        marks = (z >= self.parameters.get("min_obstacle_height", 0.0)) & (
            z <= self.parameters.get("max_obstacle_height", 2.0)
        )
        marks &= distance < source["obstacle_max_range"]
        marks &= distance >= source["obstacle_min_range"]
        places = points[marks]
        places[:, 2] = places[:, 2].clip(self.base[2])
        cells = np.floor((places - self.base) / self.step).astype(int)
        cells = cells[((cells >= 0) & (cells < self.marked.shape)).all(axis=1)]
        self.marked[tuple(cells.T)] = True
        x, y = cells[:, 0], cells[:, 1]
        self.lethal[x, y] |= self._marks_in(x, y) > self.parameters.get("mark_threshold", 0)

    def _clear(self, points: np.ndarray, sensor: np.ndarray, source: Mapping) -> None:
        start = (sensor - self.base) / self.step
        if ((start < 0) | (start >= self.marked.shape)).any():
            return  # the layer warns: sensor origin out of map bounds, cannot raytrace
        least, most = (
            int(np.ceil(max(source[f"raytrace_{bound}_range"], 0.0) / self.step[0]))
            for bound in ("min", "max")
        )
        x, y, z = self._lines(
            start, (self._ends(points, sensor) - self.base) / self.step, least, most
        )
        self.marked[x, y, z] = False
        # A cell is freed by any of its voxels; the last one cleared sees all that were cleared.
        self.lethal[x, y] &= self._marks_in(x, y) > self.parameters.get("mark_threshold", 0)

    def _ends(self, points: np.ndarray, sensor: np.ndarray) -> np.ndarray:
        """Where the rays end: two cells before the points, and inside the map."""
        ray = points - sensor
        distance = np.linalg.norm(ray, axis=1, keepdims=True)
        ray *= np.clip((distance - 2 * self.step[0]) / distance, 0, 1)
        top = self.base + self.step * self.marked.shape
        with np.errstate(divide="ignore", invalid="ignore"):
            # The share of the ray that stays above each lower bound and below each upper one.
            low = np.where(sensor + ray < self.base, (self.base - sensor) / ray, 1.0)
            high = np.where(sensor + ray > top, (top - [0, 0, 0.01] - sensor) / ray, 1.0)
        share = np.minimum(low, high).min(axis=1, keepdims=True)
        return sensor + ray * np.where(share < 1, share - 1e-5, share)

    def _lines(self, start: np.ndarray, ends: np.ndarray, least: int, most: int) -> np.ndarray:
        """raytraceLine: the voxels [3, M] of the lines, by Bresenham along the longest axis.

        The lengths are in cells, whatever the axis.
        """
        length = np.linalg.norm(ends - start, axis=1)
        inside = ((ends >= 0) & (ends < self.marked.shape)).all(axis=1)
        kept = inside & (np.trunc(length) >= least) & (length > 0)
        ends, length = ends[kept], length[kept, None]
        first = np.trunc(start + (ends - start) / length * least).astype(int)
        span = np.trunc(ends).astype(int) - first
        longest = np.abs(span).max(axis=1, keepdims=True)
        count = (np.minimum(1.0, most / length) * longest).astype(int)
        steps = np.arange(count.max(initial=0) + 1)[None, :, None]
        ahead = (longest[:, None] // 2 + steps * np.abs(span)[:, None]) // np.maximum(
            longest[:, None], 1
        )
        voxels = first[:, None] + np.where(span > 0, 1, -1)[:, None] * ahead
        return voxels[steps[..., 0] <= count].T

    def _marks_in(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.marked[x, y].sum(axis=1)
