# SPDX-License-Identifier: Apache-2.0
"""Shading: the light that visible surfaces send to the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sharpdepth_ros.synthetic import textures
from sharpdepth_ros.synthetic.lighting import ShadowMap, dot
from sharpdepth_ros.synthetic.primitives import Quadrics, select
from sharpdepth_ros.synthetic.raster import Visibility
from sharpdepth_ros.synthetic.scene import Scene
from sharpdepth_ros.synthetic.view import View

_HAZE_DISTANCE = 250.0  # metres at which outdoor air has hidden about two thirds
_PART = 32768  # samples shaded together


def shade(
    scene: Scene,
    view: View,
    pixels: np.ndarray,
    seen: Visibility,
    occlusion: np.ndarray,
    run: Callable[[Callable, Iterable], list],
) -> np.ndarray:
    """Linear radiance [3, n] of n samples: flat pixel numbers of ``view`` and what they show."""
    table, surface = _SurfaceTable.of(scene, seen.surface)
    shadows = scene.shadows  # drawn here, once, rather than by several threads

    def shade_part(part: slice) -> np.ndarray:
        return _shade_part(
            scene,
            shadows,
            table,
            view,
            pixels[part],
            surface[part],
            seen.depth[part],
            occlusion[part],
        )

    # Parts that fit the processor's cache are faster than one pass, even on one thread.
    parts = [slice(k, k + _PART) for k in range(0, len(pixels), _PART)]
    return np.concatenate([np.zeros((3, 0), np.float32), *run(shade_part, parts)], axis=1)


def _shade_part(
    scene: Scene,
    shadows: tuple[ShadowMap, ...],
    table: _SurfaceTable,
    view: View,
    pixels: np.ndarray,
    surface: np.ndarray,
    depth: np.ndarray,
    occlusion: np.ndarray,
) -> np.ndarray:
    row, column = np.divmod(pixels, view.width)
    u, v = column.astype(np.float32), row.astype(np.float32)
    d = view.direction.astype(np.float32)
    ray = np.stack([d[i, 0] * u + d[i, 1] * v + d[i, 2] for i in range(3)])
    radiance = np.zeros((3, len(pixels)), np.float32)
    if scene.sky is not None:
        sky = np.flatnonzero(surface < 0)
        if len(sky):
            radiance[:, sky] = scene.sky.radiance(ray[:, sky])
    hit = np.flatnonzero(surface >= 0)
    if not len(hit):
        return radiance
    all_hit = len(hit) == len(surface)
    # Here and below: numpy's take is several times faster than an index in brackets.
    if not all_hit:
        surface, depth, occlusion = surface.take(hit), depth.take(hit), occlusion.take(hit)
        ray = ray.take(hit, axis=1)
    distance = depth.astype(np.float32)
    points = view.origin[:, 2:].astype(np.float32) + distance * ray
    length = np.sqrt(dot(ray, ray))
    ray /= length

    normals, s, t, repeats, material, tint = table.look_up(surface, points)
    facing = dot(normals, ray)
    normals *= -np.sign(facing)
    slant = np.sqrt(np.maximum(np.abs(facing), 0.04))
    pixel_size = np.float32(np.linalg.norm(view.direction[:, 0])) * distance
    texture = scene.materials.texture.take(material)
    weights = textures.sample(texture, s, t, repeats * pixel_size / slant)
    albedo = np.stack([table.colours[0, c].take(material) for c in range(3)])
    for i in range(3):
        for c in range(3):
            albedo[c] += weights[i] * (table.colours[i + 1, c].take(material) - albedo[c])
    albedo *= weights[3] * tint

    light = _ambient(scene, normals) * (1 - occlusion)
    for shadow in shadows:
        toward, strength = shadow.light.reach(points)
        slope = dot(toward, normals)
        faces = np.flatnonzero(slope > 0)
        received = np.zeros_like(slope)
        if toward.shape[1] > 1:
            toward = toward.take(faces, axis=1)
        lit_points, lit_normals = (a.take(faces, axis=1) for a in (points, normals))
        received[faces] = shadow.lit(lit_points, lit_normals, toward)
        received *= slope * strength
        light += shadow.light.colour[:, None].astype(np.float32) * received
    shown = albedo * light
    if scene.materials.emission.any():
        shown += albedo * scene.materials.emission.take(material)
    shown = _mirror(scene, shown, ray, normals, facing, scene.materials.gloss.take(material))
    if scene.sky is not None and not scene.indoors:
        clear = np.exp(-distance * length / _HAZE_DISTANCE)
        shown = shown * clear + scene.sky.horizon[:, None].astype(np.float32) * (1 - clear)
    if all_hit:
        return shown.astype(np.float32, copy=False)
    radiance[:, hit] = shown
    return radiance


def _ambient(scene: Scene, normals: np.ndarray) -> np.ndarray:
    above, below = (
        c[:, None].astype(np.float32) for c in (scene.ambient.above, scene.ambient.below)
    )
    up = 0.5 + 0.5 * normals[2]
    light = above * up + below * (1 - up)
    tilt_x, tilt_y = scene.ambient.tilt
    light *= 1 + tilt_x * normals[0] + tilt_y * normals[1]
    return light


def _mirror(
    scene: Scene,
    shown: np.ndarray,
    ray: np.ndarray,
    normals: np.ndarray,
    facing: np.ndarray,
    gloss: np.ndarray,
) -> np.ndarray:
    """Glossy surfaces mirror the sky (outdoors) or the light from above, more so when grazing."""
    shiny = np.flatnonzero(gloss > 0)
    if not len(shiny):
        return shown
    n, r = normals.take(shiny, axis=1), ray.take(shiny, axis=1)
    bounced = r - 2 * dot(r, n) * n
    if scene.sky is not None and not scene.indoors:
        around = scene.sky.radiance(bounced) * np.where(bounced[2] > 0, 1.0, 0.35)
    else:
        around = _ambient(scene, bounced)
    share = gloss[shiny] * (0.35 + 0.65 * (1 - np.abs(facing[shiny])) ** 3)
    shown[:, shiny] = shown.take(shiny, axis=1) * (1 - share) + around * share
    return shown


@dataclass(frozen=True)
class _SurfaceTable:
    """What shading needs to know of each surface, laid out for fast look-ups by number."""

    quad: np.ndarray  # float32 [12, quads]: normal, texture map, repeats per metre
    quadrics: Quadrics
    quadric_repeats: np.ndarray  # float32 [quadrics]: repeats per metre
    material: np.ndarray  # [quads + quadrics]
    tint: np.ndarray  # [quads + quadrics]
    colours: np.ndarray  # float32 [4, 3, materials]

    @classmethod
    def of(cls, scene: Scene, surface: np.ndarray) -> tuple[_SurfaceTable, np.ndarray]:
        """The table of the surfaces that occur, and ``surface`` renumbered for it."""
        count = len(scene.quads)
        occurs = np.zeros(count + len(scene.quadrics) + 1, bool)  # the last one is "nothing", -1
        occurs[surface] = True
        number = np.cumsum(occurs) - 1
        number[-1] = -1
        quads = select(scene.quads, np.flatnonzero(occurs[:count]))
        quadrics = select(scene.quadrics, np.flatnonzero(occurs[count:-1]))
        density = np.linalg.norm(quads.texture[:, :, :3], axis=2).max(axis=1)
        quad = np.vstack([quads.normals().T, quads.texture.reshape(-1, 8).T, density])
        scale = np.linalg.norm(quadrics.to_local[:, :, :3], axis=2)  # 1 / half size
        around_along = np.stack([scale[:, 0] / (2 * np.pi), scale[:, 2] / 2], axis=1)
        table = cls(
            quad=quad.astype(np.float32),
            quadrics=quadrics,
            quadric_repeats=(quadrics.texture * around_along).max(axis=1).astype(np.float32),
            material=np.concatenate([quads.material, quadrics.material]),
            tint=np.concatenate([quads.tint, quadrics.tint]),
            colours=np.ascontiguousarray(scene.materials.colours.transpose(1, 2, 0)),
        )
        return table, number[surface]

    def look_up(self, surface: np.ndarray, points: np.ndarray) -> tuple:
        """Normals [3, n], texture coordinates s and t, repeats per metre, material and tint."""
        count = self.quad.shape[1]
        if count:
            detail = self._quads(np.minimum(surface, count - 1), points)
        else:
            detail = np.empty((6, len(surface)), np.float32)
        curved = np.flatnonzero(surface >= count)
        if len(curved):
            of_curved = self._quadrics(surface[curved] - count, points.take(curved, axis=1))
            detail[:, curved] = of_curved
        return detail[:3], *detail[3:], self.material.take(surface), self.tint.take(surface)

    def _quads(self, quad: np.ndarray, points: np.ndarray) -> np.ndarray:
        """float32 [6, n]: normal, s, t, repeats per metre."""
        x, y, z = points
        row = self.quad
        detail = np.empty((6, len(quad)), np.float32)
        for i in range(3):
            detail[i] = row[i].take(quad)
        for i, k in ((3, 3), (4, 7)):
            detail[i] = row[k].take(quad) * x
            detail[i] += row[k + 1].take(quad) * y
            detail[i] += row[k + 2].take(quad) * z
            detail[i] += row[k + 3].take(quad)
        detail[5] = row[11].take(quad)
        return detail

    def _quadrics(self, quadric: np.ndarray, points: np.ndarray) -> np.ndarray:
        """float32 [6, n]: normal, s, t, repeats per metre."""
        shapes = self.quadrics
        to_local = shapes.to_local.take(quadric, axis=0)
        local = np.einsum("nij,jn->in", to_local[:, :, :3], points.astype(np.float64))
        local += to_local[:, :, 3].T
        alpha, beta, gamma = shapes.coefficients.take(quadric, axis=0).T
        gradient = local.copy()
        gradient[2] = alpha * local[2] + beta / 2
        # On a cap the equation of the mantle is negative: the point lies inside.
        value = local[0] ** 2 + local[1] ** 2 + (alpha * local[2] + beta) * local[2] + gamma
        cap = shapes.capped[quadric] & (np.abs(local[2]) > 0.9999) & (value < -1e-3)
        gradient[:2, cap] = 0
        gradient[2, cap] = 1
        normal = np.einsum("nji,jn->in", to_local[:, :, :3], gradient)
        turn = shapes.texture.take(quadric, axis=0)
        detail = np.empty((6, len(quadric)), np.float32)
        detail[:3] = normal / np.sqrt(dot(normal, normal) + 1e-30)
        detail[3] = (np.arctan2(local[1], local[0]) / (2 * np.pi) + 0.5) * turn[:, 0]
        detail[4] = (local[2] / 2 + 0.5) * turn[:, 1]
        detail[5] = self.quadric_repeats[quadric]
        return detail


def crease_shade(key: np.ndarray) -> np.ndarray:
    """Ambient light lost in creases, 0..0.6 [H, W], from the curvature of the inverse depth.

    Inverse depth is affine on a plane, so the mean of two opposite neighbours minus the middle is
    zero there, and positive where surfaces meet in a hollow: below a table, along a skirting.
    """
    height, width = key.shape
    lost = np.zeros_like(key)
    scale = 1 / np.maximum(key, 1e-4)
    for reach in (max(width // 120, 1), max(width // 45, 2)):
        # Surfaces that meet cannot bend faster than this; a larger step is an object in front.
        limit = 1.6 * reach / width
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            y, x = dy * reach, dx * reach
            if height <= 2 * y or width <= 2 * abs(x):
                continue
            inner = slice(y, height - y), slice(abs(x), width - abs(x))
            hollow = (_shifted(key, y, x) + _shifted(key, -y, -x)) * 0.5 - key[inner]
            hollow *= scale[inner] / limit
            lost[inner] += np.clip(np.minimum(2 * hollow, 3 - 2 * hollow), 0, 1)
    return np.minimum(lost * 0.09, 0.5)


def _shifted(key: np.ndarray, y: int, x: int) -> np.ndarray:
    """The neighbours (y, x) away of the pixels that have such neighbours on both sides."""
    height, width = key.shape
    a, b = abs(y), abs(x)
    return key[a + y : height - a + y, b + x : width - b + x]
