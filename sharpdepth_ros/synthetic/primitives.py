# SPDX-License-Identifier: Apache-2.0
"""The two kinds of surface a scene is made of, as arrays: flat convex quads and capped quadrics.

A box is six quads, a leaf is one. Spheres, ellipsoids, cylinders, cones and their frustums are
quadrics: in a local frame each lies within the cube [-1, 1]^3 and satisfies

    x^2 + y^2 + alpha z^2 + beta z + gamma = 0,   |z| <= 1

with (alpha, beta, gamma) = (1, 0, -1) for a sphere, (0, 0, -1) for a cylinder, and
(-k^2, -2 k m, -m^2) for a cone of radius m + k z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

SPHERE = (1.0, 0.0, -1.0)
CYLINDER = (0.0, 0.0, -1.0)


def cone(bottom: float, top: float) -> tuple[float, float, float]:
    """Coefficients of a cone with local radius ``bottom`` at z = -1 and ``top`` at z = 1."""
    middle, slope = (bottom + top) / 2, (top - bottom) / 2
    return (-slope * slope, -2 * slope * middle, -middle * middle)


@dataclass(frozen=True)
class Quads:
    """n flat convex quads (a triangle repeats its last vertex).

    vertices  float64 [n, 4, 3], in order around the quad, metres
    texture   float64 [n, 2, 4]: world point (x, y, z, 1) to texture coordinates
    material  int64 [n]
    tint      float32 [n]: brightness factor of the material's colours
    casts     bool [n]: throws a shadow
    mover     int64 [n]: which moving body it belongs to, -1 for none
    """

    vertices: np.ndarray
    texture: np.ndarray
    material: np.ndarray
    tint: np.ndarray
    casts: np.ndarray
    mover: np.ndarray

    def __len__(self) -> int:
        return len(self.vertices)

    def normals(self) -> np.ndarray:
        """Unit normals, float64 [n, 3]; the side is arbitrary."""
        v = self.vertices
        normal = np.cross(v[:, 2] - v[:, 0], v[:, 3] - v[:, 1])
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)


@dataclass(frozen=True)
class Quadrics:
    """n quadrics.

    to_local      float64 [n, 3, 4]: world point (x, y, z, 1) to the local frame
    coefficients  float64 [n, 3]: alpha, beta, gamma of the equation above
    capped        bool [n]: closed at z = -1 and z = 1
    texture       float64 [n, 2]: texture repeats around and along the axis
    material, tint, casts, mover as in Quads
    """

    to_local: np.ndarray
    coefficients: np.ndarray
    capped: np.ndarray
    texture: np.ndarray
    material: np.ndarray
    tint: np.ndarray
    casts: np.ndarray
    mover: np.ndarray

    def __len__(self) -> int:
        return len(self.to_local)

    def corners(self) -> np.ndarray:
        """Corners of the bounding boxes in the world, float64 [n, 8, 3]."""
        cube = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
        to_world = np.linalg.inv(self.to_local[:, :, :3])
        return np.einsum("nij,nkj->nki", to_world, cube - self.to_local[:, None, :, 3])


Primitives = TypeVar("Primitives", Quads, Quadrics)


def select(primitives: Primitives, index: np.ndarray) -> Primitives:
    """The primitives of an index or mask array."""
    return type(primitives)(*(values[index] for values in vars(primitives).values()))
