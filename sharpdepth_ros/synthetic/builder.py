# SPDX-License-Identifier: Apache-2.0
"""Puts a scene together: shapes in metres, placed in nested frames, with named materials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sharpdepth_ros.synthetic import textures
from sharpdepth_ros.synthetic.primitives import CYLINDER, SPHERE, Quadrics, Quads, cone
from sharpdepth_ros.synthetic.scene import Materials, Motion

Point = Sequence[float]
Colour = Sequence[float]

_CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_WHITE, _BLACK = (0.8, 0.8, 0.8), (0.03, 0.03, 0.03)


@dataclass(frozen=True)
class Material:
    """A texture in up to four colours (linear RGB); ``tile`` is one repeat's size in metres."""

    texture: str
    colours: tuple[Colour, ...]
    tile: float | tuple[float, float] = 1.0
    emission: float = 0.0
    gloss: float = 0.0

    def palette(self) -> np.ndarray:
        """The four colours, float [4, 3]; missing ones repeat the first, darker."""
        first = np.asarray(self.colours[0], float)
        rest = [first * 0.55, first * 0.8, np.asarray(_BLACK)]
        given = [np.asarray(c, float) for c in self.colours]
        return np.stack((given + rest[len(given) - 1 :])[:4])


class SceneBuilder:
    """Collects primitives. Shapes are given in the current frame; see ``at``."""

    def __init__(self) -> None:
        self._frame = np.eye(4)
        self._mover = -1
        self._casts = True
        self._materials: dict[Material, int] = {}
        self._quads: list[tuple] = []
        self._quadrics: list[tuple] = []
        self._occupied: list[tuple[np.ndarray, np.ndarray]] = []
        self.motions: list[Motion] = []

    @contextmanager
    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0) -> Iterator[None]:
        """Shapes added inside stand at (x, y, z), turned left by ``yaw`` radians."""
        outer = self._frame
        c, s = np.cos(yaw), np.sin(yaw)
        self._frame = outer @ np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1.0]])
        yield
        self._frame = outer

    @contextmanager
    def moving(self, motion: Motion) -> Iterator[None]:
        """Shapes added inside move together."""
        self.motions.append(motion)
        self._mover = len(self.motions) - 1
        yield
        self._mover = -1

    @contextmanager
    def shadowless(self) -> Iterator[None]:
        """Shapes added inside throw no shadow (lamp shades, the ground)."""
        self._casts = False
        yield
        self._casts = True

    def place(
        self,
        item: Callable[[SceneBuilder, np.random.Generator], object],
        rng: np.random.Generator,
        x: float,
        y: float,
        z: float = 0.0,
        yaw: float = 0.0,
        gap: float = 0.02,
    ) -> bool:
        """Add ``item(self, rng)`` at (x, y, z) unless its bounding box meets an earlier item's.

        The box of a moving item covers its whole way. ``gap`` metres must stay free around it.
        """
        counts = len(self._quads), len(self._quadrics), len(self.motions)
        with self.at(x, y, z, yaw):
            item(self, rng)
        low, high = self._bounds(counts[0], counts[1])
        meets = any(
            (low - gap < other_high).all() and (other_low < high + gap).all()
            for other_low, other_high in self._occupied
        )
        if meets:
            del self._quads[counts[0] :], self._quadrics[counts[1] :], self.motions[counts[2] :]
            return False
        self._occupied.append((low, high))
        return True

    def _bounds(self, first_quad: int, first_quadric: int) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest (x, y, z) of the primitives added since."""
        lows, highs = [], []
        for points, mover in self._extents(first_quad, first_quadric):
            low, high = points.min(axis=0), points.max(axis=0)
            if mover >= 0:
                travel = np.asarray(self.motions[mover].travel)
                low, high = low + np.minimum(travel, 0), high + np.maximum(travel, 0)
            lows.append(low)
            highs.append(high)
        return np.min(lows, axis=0), np.max(highs, axis=0)

    def _extents(self, first_quad: int, first_quadric: int) -> Iterator[tuple[np.ndarray, int]]:
        for part in self._quads[first_quad:]:
            yield part[0].reshape(-1, 3), int(part[-1][0])
        for part in self._quadrics[first_quadric:]:
            to_world = np.linalg.inv(part[0][0, :, :3])
            yield (_CUBE - part[0][0, :, 3]) @ to_world.T, int(part[-1][0])

    def polygon(self, vertices: Sequence[Point], material: Material, fit: bool = False) -> None:
        """A flat convex quad or triangle, vertices in order, the first side running along s.

        With ``fit`` the texture covers a parallelogram exactly once; else it repeats by the
        material's tile size, starting at the first vertex.
        """
        local = np.asarray(vertices, float)
        if len(local) == 3:
            local = np.concatenate([local, local[2:]])
        self.quads(local[None], material, fit)

    def quads(
        self, vertices: np.ndarray, material: Material, fit: bool = False, tint: float = 1.0
    ) -> None:
        """Many quads [n, 4, 3] at once; ``tint`` may be an array [n]."""
        world = vertices @ self._frame[:3, :3].T + self._frame[:3, 3]
        start = world[:, 0]
        along = world[:, 1] - start
        up = world[:, 3] - start
        length = np.linalg.norm(along, axis=1, keepdims=True)
        s_axis = along / length
        t_axis = up - (up * s_axis).sum(axis=1, keepdims=True) * s_axis
        height = np.linalg.norm(t_axis, axis=1, keepdims=True)
        t_axis /= height
        tile = np.broadcast_to(np.asarray(material.tile, float), (2,))
        scale_s, scale_t = (length, height) if fit else (tile[0], tile[1])
        texture = np.zeros((len(world), 2, 4))
        texture[:, 0, :3] = s_axis / scale_s
        texture[:, 1, :3] = t_axis / scale_t
        texture[:, :, 3] = -np.einsum("nij,nj->ni", texture[:, :, :3], start)
        n = len(world)
        self._quads.append((world, texture, *self._common(n, material, tint)))

    def wall(self, start: Point, end: Point, height: float, material: Material, **kw: bool) -> None:
        """An upright rectangle over the floor line from ``start`` to ``end`` (x, y, z)."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        up = np.array([0, 0, height])
        self.polygon([a, b, b + up, a + up], material, **kw)

    def floor(self, low: Point, high: Point, z: float, material: Material, **kw: bool) -> None:
        """A level rectangle between the corners (x, y) ``low`` and ``high``."""
        (x0, y0), (x1, y1) = low, high
        self.polygon([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], material, **kw)

    def box(self, base: Point, size: Point, material: Material, fit: bool = False) -> None:
        """An upright box; ``base`` is the middle of its bottom, size along x, y, z."""
        (x, y, z), (dx, dy, dz) = base, np.asarray(size, float) / (2, 2, 1)
        ring = np.array([(x - dx, y - dy), (x + dx, y - dy), (x + dx, y + dy), (x - dx, y + dy)])
        self.prism(ring, z, ring, z + dz, material, fit)

    def prism(
        self,
        bottom: np.ndarray,
        z_bottom: float,
        top: np.ndarray,
        z_top: float,
        material: Material,
        fit: bool = False,
    ) -> None:
        """A solid between two level rings of four corners (x, y), counter-clockwise from above."""
        low = np.column_stack([bottom, np.full(4, z_bottom)])
        high = np.column_stack([top, np.full(4, z_top)])
        faces = [[low[i], low[(i + 1) % 4], high[(i + 1) % 4], high[i]] for i in range(4)]
        faces += [low[::-1], high]
        self.quads(np.array(faces), material, fit)

    def cylinder(
        self,
        start: Point,
        end: Point,
        radius: float,
        material: Material,
        end_radius: float | None = None,
        capped: bool = True,
    ) -> None:
        """A round bar, or a cone frustum when ``end_radius`` differs, between two axis points."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        end_radius = radius if end_radius is None else end_radius
        wide = max(radius, end_radius)
        straight = end_radius == radius
        shape = CYLINDER if straight else cone(radius / wide, end_radius / wide)
        half = (b - a) / 2
        length = np.linalg.norm(half)
        axis = half / length
        x, y, z = axis
        # Two unit vectors square to the axis (np.cross would dominate the time for thin things).
        side = np.array((0, z, -y) if abs(x) < 0.8 else (-z, 0, x)) / np.sqrt(
            z * z + (y * y if abs(x) < 0.8 else x * x)
        )
        other = np.array(
            (y * side[2] - z * side[1], z * side[0] - x * side[2], x * side[1] - y * side[0])
        )
        axes = np.column_stack([side * wide, other * wide, half])
        self._quadric((a + b) / 2, axes, shape, capped, material, 2 * length)

    def sphere(self, centre: Point, radius: float | Point, material: Material) -> None:
        """A sphere, or an upright ellipsoid when ``radius`` is (x, y, z)."""
        radii = np.broadcast_to(np.asarray(radius, float), (3,))
        self._quadric(centre, np.diag(radii), SPHERE, False, material, 2 * radii[2])

    def _quadric(
        self,
        centre: Point,
        axes: np.ndarray,
        shape: tuple[float, float, float],
        capped: bool,
        material: Material,
        length: float,
    ) -> None:
        to_world = np.eye(4)
        to_world[:3, :3] = axes
        to_world[:3, 3] = centre
        to_local = np.linalg.inv(self._frame @ to_world)[:3]
        tile = np.broadcast_to(np.asarray(material.tile, float), (2,))
        around = 2 * np.pi * np.linalg.norm(axes[:, 0])
        # A whole number of repeats around leaves no seam.
        repeats = (max(round(around / tile[0]), 1), length / tile[1])
        self._quadrics.append(
            (to_local[None], np.array([shape]), np.array([capped]), np.array([repeats]),
             *self._common(1, material, 1.0))
        )  # fmt: skip

    def _common(self, n: int, material: Material, tint: float) -> tuple[np.ndarray, ...]:
        number = self._materials.setdefault(material, len(self._materials))
        return (
            np.full(n, number),
            np.broadcast_to(np.asarray(tint, np.float32), (n,)),
            np.full(n, self._casts),
            np.full(n, self._mover),
        )

    def surfaces(self) -> tuple[Quads, Quadrics, Materials]:
        """Everything added so far."""
        quads = _join(self._quads, [((0, 4, 3), float), ((0, 2, 4), float)])
        quadrics = _join(
            self._quadrics,
            [((0, 3, 4), float), ((0, 3), float), ((0,), bool), ((0, 2), float)],
        )
        kinds = list(self._materials) or [Material("plain", (_WHITE,))]
        materials = Materials(
            texture=np.array([textures.texture_index(m.texture) for m in kinds]),
            colours=np.stack([m.palette() for m in kinds]).astype(np.float32),
            emission=np.array([m.emission for m in kinds], np.float32),
            gloss=np.array([m.gloss for m in kinds], np.float32),
        )
        return Quads(*quads), Quadrics(*quadrics), materials


def _join(parts: list[tuple], empty: list[tuple]) -> list[np.ndarray]:
    """The columns of all parts; ``empty`` gives shape and type of each, for when there are none."""
    empty = [*empty, ((0,), np.int64), ((0,), np.float32), ((0,), bool), ((0,), np.int64)]
    nothing = tuple(np.zeros(*column) for column in empty)
    return [np.concatenate(column) for column in zip(nothing, *parts, strict=True)]
