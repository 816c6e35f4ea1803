# SPDX-License-Identifier: Apache-2.0
"""Light: the sun, lamps, the sky, and the shadow maps that tell what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sharpdepth_ros.synthetic import textures
from sharpdepth_ros.synthetic.primitives import Quadrics, Quads
from sharpdepth_ros.synthetic.raster import empty_key, nearest_key
from sharpdepth_ros.synthetic.view import View

# A lamp lights a downward cone this wide (tangent of the half angle); walls above it are lit too.
_LAMP_SPREAD = 3.0


def dot(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> np.ndarray:
    """Inner products of vectors [3, n] (numpy's own sum over a short first axis is slow)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@dataclass(frozen=True)
class Sun:
    """Parallel light travelling along ``direction`` [3]; ``colour`` [3] is its irradiance."""

    direction: np.ndarray
    colour: np.ndarray

    def reach(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """Unit vector(s) towards the light [3, 1], and its strength, at points [3, n]."""
        toward = -self.direction / np.linalg.norm(self.direction)
        return toward[:, None].astype(np.float32), 1.0

    def view(self, quads: Quads, quadrics: Quadrics, size: int) -> View:
        """The view in which its shadow map is drawn."""
        points = np.concatenate([quads.vertices.reshape(-1, 3), quadrics.corners().reshape(-1, 3)])
        if not len(points):
            points = np.zeros((1, 3))
        return View.orthographic(self.direction, points, size)


@dataclass(frozen=True)
class Lamp:
    """A small lamp at ``position`` [3]; ``colour`` [3] is its irradiance at one metre."""

    position: np.ndarray
    colour: np.ndarray

    def reach(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors towards the lamp [3, n], and its strength [n], at points [3, n]."""
        toward = self.position[:, None].astype(np.float32) - points
        square = dot(toward, toward)
        # The small constant keeps the wall right beside a lamp from burning out.
        return toward / np.sqrt(square + 1e-6), 1 / (square + 0.3)

    def view(self, quads: Quads, quadrics: Quadrics, size: int) -> View:
        """The view in which its shadow map is drawn: straight down."""
        focal = size / (2 * _LAMP_SPREAD)
        k = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
        rotation = np.diag([1.0, -1.0, -1.0])  # rows: image right, image down, viewing axis
        extrinsic = np.hstack([rotation, -(rotation @ self.position)[:, None]])
        origin = np.zeros((3, 3))
        origin[:, 2] = self.position
        return View(
            size, size, k @ extrinsic, extrinsic[2], origin, rotation.T @ np.linalg.inv(k), True
        )


@dataclass(frozen=True)
class ShadowMap:
    """The nearest caster seen from a light, per pixel of ``view``."""

    light: Sun | Lamp
    view: View
    key: np.ndarray

    def lit(self, points: np.ndarray, normals: np.ndarray, toward: np.ndarray) -> np.ndarray:
        """Share of the light that reaches points [3, n].

        ``normals`` are the unit normals of the lit side, ``toward`` unit vectors to the light.
        """
        view = self.view
        # Start a little off the surface, or it would shade itself.
        texel = self._texel(points)
        raised = points + normals * (1.2 * texel + 2e-3)
        raised += toward * (0.8 * texel + 2e-3)
        m = view.to_pixel.astype(np.float32)
        u, v, w = (dot(m[i], raised) + m[i, 3] for i in range(3))
        ahead = w > 1e-3
        w = np.where(ahead, w, 1.0)
        u, v = u / w, v / w
        inside = ahead & (u >= 0) & (v >= 0) & (u < view.width - 1) & (v < view.height - 1)
        u, v = np.where(inside, u, 0.0), np.where(inside, v, 0.0)
        if view.perspective:
            key = 1 / w
        else:
            d = view.to_depth.astype(np.float32)
            key = -(dot(d, raised) + d[3])
        # Four comparisons, blended by distance, soften the edge.
        u0, v0 = np.floor(u), np.floor(v)
        wu, wv = u - u0, v - v0
        index = v0.astype(np.int64) * view.width + u0.astype(np.int64)
        caster = self.key
        upper = (key >= caster.take(index)) * (1 - wu) + (key >= caster.take(index + 1)) * wu
        index += view.width
        lower = (key >= caster.take(index)) * (1 - wu) + (key >= caster.take(index + 1)) * wu
        return np.where(inside, upper * (1 - wv) + lower * wv, np.float32(1))

    def _texel(self, points: np.ndarray) -> np.ndarray | float:
        """Size of a shadow map pixel at the points, metres."""
        step = np.linalg.norm(self.view.origin[:, 0]) + np.linalg.norm(self.view.direction[:, 0])
        if not self.view.perspective:
            return float(max(step, np.linalg.norm(self.view.origin[:, 1])))
        return np.float32(step) * (np.abs(np.float32(self.light.position[2]) - points[2]) + 0.1)

    def with_casters(self, quads: Quads, quadrics: Quadrics) -> ShadowMap:
        """This map with more casters drawn into it."""
        return replace(self, key=nearest_key(self.view, quads, quadrics, self.key.copy()))


def shadow_map(light: Sun | Lamp, quads: Quads, quadrics: Quadrics, size: int) -> ShadowMap:
    """Draw the casters as seen from the light, ``size`` pixels square."""
    view = light.view(quads, quadrics, size)
    return ShadowMap(light, view, nearest_key(view, quads, quadrics, empty_key(view)))


@dataclass(frozen=True)
class Sky:
    """A clear or cloudy sky: colours [3] at the zenith and the horizon, the sun, clouds 0..1."""

    zenith: np.ndarray
    horizon: np.ndarray
    sun: Sun
    clouds: float
    drift: tuple[float, float]

    def radiance(self, direction: np.ndarray) -> np.ndarray:
        """Colour [3, n] seen along directions [3, n], not necessarily unit."""
        zenith, horizon, sun = (
            c[:, None].astype(np.float32) for c in (self.zenith, self.horizon, self.sun.colour)
        )
        x, y, z = direction / np.sqrt(dot(direction, direction))
        up = np.maximum(z, 0.0)
        mix = (1 - up) * (1 - up)
        mix *= mix
        colour = zenith * (1 - mix) + horizon * mix
        toward, _ = self.sun.reach(direction)
        glow = np.maximum(dot(toward, (x, y, z)), 0.0)
        halo = glow
        for _ in range(4):
            halo = halo * halo  # to the 16th power
        colour += sun * (np.float32(0.08) * halo + np.float32(4) * (glow > 0.9995))
        if self.clouds > 0:
            reach = 0.35 / (up + 0.12)  # clouds lie on a plane overhead and crowd at the horizon
            s, t = x * reach + self.drift[0], y * reach + self.drift[1]
            number = np.full(len(x), textures.texture_index("cloud"))
            cover = textures.sample(number, s, t, 0.004 * reach)[0]
            cover = cover * self.clouds * np.clip(z * 12, 0, 1)
            white = np.float32(0.55) * horizon + np.float32(0.25) * sun
            colour = colour * (1 - cover) + white * cover
        return colour
