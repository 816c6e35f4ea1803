# SPDX-License-Identifier: Apache-2.0
"""A coloured point cloud in a camera's optical frame: from a depth image or from a PLY file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyParseError

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.io.colormap import colorize_depth

POINTS_PER_CELL = 16
"""About so many points are in a cell by which the area that a cloud covers is counted: with fewer,
cells between the points would count as empty."""


@dataclass(frozen=True)
class Cloud:
    """Points without order, in an optical frame (x right, y down, z ahead).

    Attributes:
        points: float32 [N, 3], metres; finite.
        colours: uint8 [N, 3] RGB.
        spacing: metres between neighbouring points at one metre of depth for what a camera saw,
            the same at every depth otherwise.
        seen_from_origin: whether a camera at the origin saw it, as it sees a depth image: all
            points are ahead, and their spacing grows with depth.
    """

    points: np.ndarray
    colours: np.ndarray
    spacing: float
    seen_from_origin: bool = True

    def thinned(self, most: int) -> Cloud:
        """Every n-th point, so that fewer than twice `most` are left; the cloud if it has no more.

        What is left covers the same surfaces: the spacing grows.
        """
        step = max(1, len(self.points) // most)
        if step == 1:
            return self
        return replace(
            self,
            points=self.points[::step],
            colours=self.colours[::step],
            spacing=self.spacing * math.sqrt(step),
        )

    def radii(self) -> np.ndarray:
        """Half the distance to a point's neighbours on a surface seen straight on, float32 [N]."""
        if self.seen_from_origin:
            return (0.5 * self.spacing) * self.points[:, 2]
        return np.full(len(self.points), 0.5 * self.spacing, np.float32)


def cloud_of_depth(
    depth: np.ndarray, camera: CameraModel, rgb: np.ndarray, stride: int = 1
) -> Cloud:
    """The cloud of a depth image.

    Args:
        depth: [H, W] metres; not finite or <= 0 is no point.
        camera: of the depth image.
        rgb: uint8 [H, W, 3].
        stride: take every stride-th row and column.

    Raises:
        ValueError: there is no valid depth, or sizes differ.
    """
    if rgb.shape != (*depth.shape, 3):
        raise ValueError(f"the image is {list(rgb.shape)}, its depth {list(depth.shape)}")
    sample = depth[::stride, ::stride]
    valid = np.isfinite(sample) & (sample > 0)
    if not valid.any():
        raise ValueError("no point to show: the depth image has no valid pixel")
    points = unproject(depth, camera, stride)[valid]
    spacing = stride / float(np.sqrt(camera.fx * camera.fy))
    return Cloud(points, rgb[::stride, ::stride][valid], spacing)


def read_cloud(path: Path, most: int | None = None) -> Cloud:
    """A PLY file's vertices; points that are not finite are left out.

    Args:
        path: of the file.
        most: about as many vertices are read, spread over the file; None reads all.

    A cloud without colours (red, green, blue) is coloured by depth.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no PLY file, has no vertices with x, y and z, or no finite point.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        elements = PlyData.read(path)
        vertices = elements["vertex"].data
        count = len(vertices)
        step = 1 if most is None else max(1, count // most)
        vertices = vertices[::step]
        points = np.stack([vertices[axis] for axis in "xyz"], axis=-1).astype(np.float32)
    except (PlyParseError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no PLY file with vertices x, y, z ({error})") from error
    except ValueError as error:  # numpy's, for a field that the vertices lack
        raise ValueError(f"{path} has no vertices with x, y and z ({error})") from error
    finite = np.isfinite(points).all(axis=-1)
    if not finite.any():
        raise ValueError(f"{path} has no point to show: none of its {count} is finite")
    points = points[finite]
    seen = bool((points[:, 2] > 0).all())
    names = vertices.dtype.names
    if {"red", "green", "blue"} <= set(names):
        colours = np.stack([_as_bytes(vertices[c][finite]) for c in ("red", "green", "blue")], -1)
    else:
        along = points[:, 2] if seen else points[:, 2] - points[:, 2].min() + 1.0
        colours = colorize_depth(along[None])[0]
    return Cloud(points, colours, spacing_of(points, seen), seen)


def _as_bytes(channel: np.ndarray) -> np.ndarray:
    """A colour channel as uint8; PLY files of other programs have floats from 0 to 1 as well."""
    if np.issubdtype(channel.dtype, np.floating):
        return np.rint(np.clip(channel, 0, 1) * 255).astype(np.uint8)
    return channel.astype(np.uint8)


def spacing_of(points: np.ndarray, seen_from_origin: bool) -> float:
    """`Cloud.spacing`, from how many points share the area that they cover.

    Args:
        points: float32 [N, 3], metres.
        seen_from_origin: see `Cloud`: the area is then counted on the plane one metre ahead, else
            a cell of space that a surface passes through counts as one side of it.
    """
    places = points[:, :2] / points[:, 2:] if seen_from_origin else points
    low, high = np.quantile(places, [0.005, 0.995], axis=0)
    cells = max(1.0, np.sqrt(len(places) / POINTS_PER_CELL))
    side = max(float((high - low).max()) / cells, 1e-9)
    inside = ((places >= low) & (places <= high)).all(axis=-1)
    index = ((places[inside] - low) / side).astype(np.int64)
    covered = len(np.unique(index, axis=0)) * side**2
    return float(np.sqrt(covered / len(points)))
