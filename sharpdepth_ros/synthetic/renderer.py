# SPDX-License-Identifier: Apache-2.0
"""One frame: cast the rays, shade what they meet, and hand back colour and exact depth."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import textures
from .camera import PinholeCamera, check_pose
from .lighting import dot
from .raster import View, visibility
from .scene import Scene
from .sensor import SensorModel

_HAZE_DISTANCE = 250.0  # metres at which outdoor air has hidden about two thirds
_PART = int(__import__('os').environ.get('PART',8192))
_BURNT_OUT = 12.0  # radiance is clipped at this multiple of the frame's mean


@dataclass(frozen=True)
class Frame:
    """What a camera saw.

    rgb         uint8 [H, W, 3], sRGB
    depth       float32 [H, W]: z-depth at the pixel's centre, metres; inf where there is sky
    intrinsics  float64 [3, 3], pixels
    pose        float64 [4, 4]: camera to world, optical frame
    time        seconds
    """

    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    time: float = 0.0

    @property
    def valid(self) -> np.ndarray:
        """bool [H, W]: where there is a surface (not sky)."""
        return np.isfinite(self.depth)


def render(
    scene: Scene,
    camera: PinholeCamera,
    pose: np.ndarray,
    *,
    time: float = 0.0,
    sensor: SensorModel | None = None,
    seed: int = 0,
    antialias: bool = True,
    earlier_pose: np.ndarray | None = None,
    threads: int = 1,
) -> Frame:
    """Render ``scene`` as seen by ``camera`` from ``pose``.

    The depth is solved in closed form for the ray through each pixel's centre. It is never
    blended: neither the sensor nor anti-aliasing touches it.

    Args:
        scene: from ``make_scene``.
        camera: size and intrinsics.
        pose: [4, 4] camera to world, optical frame.
        time: seconds, for scenes with moving bodies.
        sensor: what the camera adds; None for a clean, well exposed picture.
        seed: of the sensor's noise. The same arguments give the same frame, bit for bit, on the
            same machine.
        antialias: also sample pixel corners along the edges of surfaces (colour only).
        earlier_pose: pose when the shutter opened, for the sensor's motion blur; None for a
            camera that stands still.
        threads: threads for shading; the frame is the same for any number.
    """
    pose = check_pose(pose)
    scene = scene.at(time)
    view = View.of_camera(camera, pose)
    shape = (camera.height, camera.width)
    seen = visibility(view, scene.quads, scene.quadrics)
    occlusion = _crease_shade(seen.key.reshape(shape)).ravel()
    pixels = np.arange(camera.height * camera.width)
    radiance = _shade(scene, view, pixels, seen.surface, seen.depth, occlusion, threads)
    limit = _BURNT_OUT * max(float(radiance.mean()), 1e-6)
    np.minimum(radiance, limit, out=radiance)
    if antialias:
        _blend_corners(scene, camera, pose, radiance, seen.surface, occlusion, limit, threads)
    sensor = SensorModel() if sensor is None else sensor
    flow = None
    if earlier_pose is not None and sensor.motion_blur:
        flow = _image_motion(camera, pose, check_pose(earlier_pose), seen.depth)
    rgb = sensor.apply(np.ascontiguousarray(radiance.T).reshape(*shape, 3), seed=seed, motion=flow)
    depth = seen.depth.astype(np.float32).reshape(shape)
    return Frame(rgb, depth, camera.intrinsics, pose, time)


def _shade(
    scene: Scene,
    view: View,
    pixels: np.ndarray,
    surface: np.ndarray,
    depth: np.ndarray,
    occlusion: np.ndarray,
    threads: int,
) -> np.ndarray:
    """Linear radiance [3, n] of n samples: flat pixel numbers of ``view`` and what they show."""
    radiance = np.empty((3, len(pixels)), np.float32)
    table = _SurfaceTable.of(scene)

    def shade(part: slice) -> None:
        radiance[:, part] = _shade_part(
            scene, table, view, pixels[part], surface[part], depth[part], occlusion[part]
        )

    # Parts that fit the processor's cache are faster than one pass, even on one thread.
    parts = [slice(k, k + _PART) for k in range(0, len(pixels), _PART)]
    if threads == 1:
        for part in parts:
            shade(part)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(shade, parts))
    return radiance


def _shade_part(
    scene: Scene,
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
    surface, ray, occlusion = surface[hit], ray[:, hit], occlusion[hit]
    distance = depth[hit].astype(np.float32)
    points = view.origin[:, 2:].astype(np.float32) + distance * ray
    length = np.sqrt(dot(ray, ray))
    ray /= length

    normals, s, t, repeats, material, tint = table.look_up(surface, points)
    facing = dot(normals, ray)
    normals *= -np.sign(facing)
    slant = np.sqrt(np.maximum(np.abs(facing), 0.04))
    pixel_size = np.float32(np.linalg.norm(view.direction[:, 0])) * distance
    texture = scene.materials.texture[material]
    weights = textures.sample(texture, s, t, repeats * pixel_size / slant)
    albedo = np.stack([table.colours[0, c][material] for c in range(3)])
    for i in range(3):
        for c in range(3):
            albedo[c] += weights[i] * (table.colours[i + 1, c][material] - albedo[c])
    albedo *= weights[3] * tint

    light = _ambient(scene, normals) * (1 - occlusion)
    for shadow in scene.shadows:
        toward, strength = shadow.light.reach(points)
        slope = dot(toward, normals)
        faces = np.flatnonzero(slope > 0)
        received = np.zeros_like(slope)
        received[faces] = shadow.lit(points[:, faces], normals[:, faces])
        received *= slope * strength
        light += shadow.light.colour[:, None].astype(np.float32) * received
    shown = albedo * light
    shown += albedo * scene.materials.emission[material]
    shown = _mirror(scene, shown, ray, normals, facing, scene.materials.gloss[material])
    if scene.sky is not None:
        clear = np.exp(-distance * length / _HAZE_DISTANCE)
        shown = shown * clear + scene.sky.horizon[:, None].astype(np.float32) * (1 - clear)
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
    n, r = normals[:, shiny], ray[:, shiny]
    bounced = r - 2 * dot(r, n) * n
    if scene.sky is not None:
        around = scene.sky.radiance(bounced) * np.where(bounced[2] > 0, 1.0, 0.35)
    else:
        around = _ambient(scene, bounced)
    share = gloss[shiny] * (0.35 + 0.65 * (1 - np.abs(facing[shiny])) ** 3)
    shown[:, shiny] = shown[:, shiny] * (1 - share) + around * share
    return shown


@dataclass(frozen=True)
class _SurfaceTable:
    """What shading needs to know of each surface, laid out for fast look-ups by number."""

    scene: Scene
    quad: np.ndarray  # float32 [12, quads]: normal, texture map, repeats per metre
    quadric_repeats: np.ndarray  # float32 [quadrics]: repeats per metre
    material: np.ndarray  # [quads + quadrics]
    tint: np.ndarray  # [quads + quadrics]
    colours: np.ndarray  # float32 [4, 3, materials]

    @classmethod
    def of(cls, scene: Scene) -> _SurfaceTable:
        quads, quadrics = scene.quads, scene.quadrics
        density = np.linalg.norm(quads.texture[:, :, :3], axis=2).max(axis=1)
        quad = np.vstack([quads.normals().T, quads.texture.reshape(-1, 8).T, density])
        scale = np.linalg.norm(quadrics.to_local[:, :, :3], axis=2)  # 1 / half size
        around_along = np.stack([scale[:, 0] / (2 * np.pi), scale[:, 2] / 2], axis=1)
        return cls(
            scene=scene,
            quad=quad.astype(np.float32),
            quadric_repeats=(quadrics.texture * around_along).max(axis=1).astype(np.float32),
            material=np.concatenate([quads.material, quadrics.material]),
            tint=np.concatenate([quads.tint, quadrics.tint]),
            colours=np.ascontiguousarray(scene.materials.colours.transpose(1, 2, 0)),
        )

    def look_up(self, surface: np.ndarray, points: np.ndarray) -> tuple:
        """Normals [3, n], texture coordinates s and t, repeats per metre, material and tint."""
        count = len(self.scene.quads)
        flat = surface < count
        if flat.all():
            detail = self._quads(surface, points)
        elif not flat.any():
            detail = self._quadrics(surface - count, points)
        else:
            detail = np.empty((6, len(surface)), np.float32)
            index = np.flatnonzero(flat)
            detail[:, index] = self._quads(surface[index], points[:, index])
            index = np.flatnonzero(~flat)
            detail[:, index] = self._quadrics(surface[index] - count, points[:, index])
        return detail[:3], *detail[3:], self.material[surface], self.tint[surface]

    def _quads(self, quad: np.ndarray, points: np.ndarray) -> np.ndarray:
        """float32 [6, n]: normal, s, t, repeats per metre."""
        x, y, z = points
        row = self.quad
        detail = np.empty((6, len(quad)), np.float32)
        for i in range(3):
            detail[i] = row[i][quad]
        for i, k in ((3, 3), (4, 7)):
            detail[i] = row[k][quad] * x + row[k + 1][quad] * y + row[k + 2][quad] * z
            detail[i] += row[k + 3][quad]
        detail[5] = row[11][quad]
        return detail

    def _quadrics(self, quadric: np.ndarray, points: np.ndarray) -> np.ndarray:
        """float32 [6, n]: normal, s, t, repeats per metre."""
        shapes = self.scene.quadrics
        to_local = shapes.to_local[quadric]
        local = np.einsum("nij,jn->in", to_local[:, :, :3], points.astype(np.float64))
        local += to_local[:, :, 3].T
        alpha, beta, gamma = shapes.coefficients[quadric].T
        gradient = local.copy()
        gradient[2] = alpha * local[2] + beta / 2
        # On a cap the equation of the mantle is negative: the point lies inside.
        value = local[0] ** 2 + local[1] ** 2 + (alpha * local[2] + beta) * local[2] + gamma
        cap = shapes.capped[quadric] & (np.abs(local[2]) > 0.9999) & (value < -1e-3)
        gradient[:2, cap] = 0
        gradient[2, cap] = 1
        normal = np.einsum("nji,jn->in", to_local[:, :, :3], gradient)
        turn = shapes.texture[quadric]
        detail = np.empty((6, len(quadric)), np.float32)
        detail[:3] = normal / np.sqrt(dot(normal, normal) + 1e-30)
        detail[3] = (np.arctan2(local[1], local[0]) / (2 * np.pi) + 0.5) * turn[:, 0]
        detail[4] = (local[2] / 2 + 0.5) * turn[:, 1]
        detail[5] = self.quadric_repeats[quadric]
        return detail


def _crease_shade(key: np.ndarray) -> np.ndarray:
    """Ambient light lost in creases, 0..0.6 [H, W], from the curvature of the inverse depth.

    Inverse depth is affine on a plane, so the mean of two opposite neighbours minus the middle is
    zero there, and positive where surfaces meet in a hollow: below a table, along a skirting.
    """
    height, width = key.shape
    lost = np.zeros_like(key)
    scale = np.maximum(key, 1e-4)
    for reach in (max(width // 120, 1), max(width // 40, 2)):
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            y, x = dy * reach, dx * reach
            if height <= 2 * y or width <= 2 * abs(x):
                continue
            rows, columns = slice(y, height - y), slice(abs(x), width - abs(x))
            middle = key[rows, columns]
            one = key[2 * y :, columns] if not x else _shifted(key, y, x)
            two = key[: height - 2 * y, columns] if not x else _shifted(key, -y, -x)
            hollow = (one + two) * 0.5 - middle
            hollow /= scale[rows, columns]
            # A large jump is an object far in front, not a crease.
            lost[rows, columns] += np.clip(hollow * 12, 0, 1) * (hollow < 0.12)
    return np.minimum(lost * (0.6 / 5), 0.6)


def _shifted(key: np.ndarray, y: int, x: int) -> np.ndarray:
    """key[y : , x : ] as seen from the interior that leaves |y| rows and |x| columns out."""
    height, width = key.shape
    a, b = abs(y), abs(x)
    return key[a + y : height - a + y, b + x : width - b + x]


def _blend_corners(
    scene: Scene,
    camera: PinholeCamera,
    pose: np.ndarray,
    radiance: np.ndarray,
    surface: np.ndarray,
    occlusion: np.ndarray,
    limit: float,
    threads: int,
) -> None:
    """Quincunx anti-aliasing, in place: mix half of the pixel with an eighth of each corner.

    A corner is shared by four pixels and is shaded only where one of them shows another surface.
    """
    height, width = camera.height, camera.width
    view = View.of_camera(camera, pose, corners=True)
    seen = visibility(view, scene.quads, scene.quadrics)
    corner_surface = seen.surface.reshape(height + 1, width + 1)
    middle = surface.reshape(height, width)
    differs = np.zeros((height + 1, width + 1), bool)
    windows = [(slice(y, y + height), slice(x, x + width)) for y in (0, 1) for x in (0, 1)]
    for window in windows:
        differs[window] |= corner_surface[window] != middle
    corner = np.flatnonzero(differs)
    if not len(corner):
        return
    row, column = np.divmod(corner, width + 1)
    near = np.minimum(row, height - 1) * width + np.minimum(column, width - 1)
    colour = _shade(
        scene, view, corner, seen.surface[corner], seen.depth[corner], occlusion[near], threads
    )
    np.minimum(colour, limit, out=colour)
    number = np.full((height + 1, width + 1), -1)
    number.ravel()[corner] = np.arange(len(corner))
    touched = np.flatnonzero(
        differs[:-1, :-1] | differs[:-1, 1:] | differs[1:, :-1] | differs[1:, 1:]
    )
    own = radiance[:, touched]
    total = own * 0.5
    for window in windows:
        which = number[window].ravel()[touched]
        total += np.where(which >= 0, colour[:, which], own) * 0.125
    radiance[:, touched] = total


def _image_motion(
    camera: PinholeCamera, pose: np.ndarray, earlier: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Where each pixel's point was in the earlier image, minus where it is, float32 [H, W, 2]."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    inverse = np.where(np.isfinite(depth), 1 / depth, 0.0).reshape(u.shape)  # sky: far away
    change = np.linalg.inv(earlier) @ pose
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)])
    moved = np.einsum("ij,jhw->ihw", change[:3, :3], ray) + change[:3, 3, None, None] * inverse
    z = np.maximum(moved[2], 1e-3)
    return np.stack(
        [moved[0] / z * camera.fx + camera.cx - u, moved[1] / z * camera.fy + camera.cy - v],
        axis=-1,
    ).astype(np.float32)
