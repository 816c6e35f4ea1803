# SPDX-License-Identifier: Apache-2.0
"""One frame: cast the rays, shade what they meet, and hand back colour and exact depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sharpdepth_ros.synthetic.camera import CameraModel, check_pose, check_size
from sharpdepth_ros.synthetic.raster import visibility
from sharpdepth_ros.synthetic.scene import Scene
from sharpdepth_ros.synthetic.sensor import SensorModel
from sharpdepth_ros.synthetic.shading import crease_shade, shade
from sharpdepth_ros.synthetic.view import View

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
    camera: CameraModel,
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
    check_size(camera)
    if threads < 1:
        raise ValueError(f"threads is {threads!r}; give 1 or more")
    scene = scene.at(time)
    view = View.of_camera(camera, pose)
    corner_view = View.of_camera(camera, pose, corners=True)
    shape = (camera.height, camera.width)
    with _mapper(threads) as run:
        seen, *seen_corners = run(
            lambda v: visibility(v, scene.quads, scene.quadrics),
            [view, corner_view] if antialias else [view],
        )
        occlusion = crease_shade(seen.key.reshape(shape)).ravel()
        pixels = np.arange(camera.height * camera.width)
        radiance = shade(scene, view, pixels, seen, occlusion, run)
        limit = _BURNT_OUT * max(float(radiance.mean()), 1e-6)
        np.minimum(radiance, limit, out=radiance)
        for seen_corner in seen_corners:
            differs = _differing_corners(seen.surface.reshape(shape), seen_corner.surface)
            corners = np.flatnonzero(differs)
            row, column = np.divmod(corners, camera.width + 1)
            beside = np.minimum(row, shape[0] - 1) * shape[1] + np.minimum(column, shape[1] - 1)
            colour = shade(
                scene, corner_view, corners, seen_corner.at(corners), occlusion[beside], run
            )
            np.minimum(colour, limit, out=colour)
            _blend_corners(radiance, differs, colour)
    sensor = SensorModel() if sensor is None else sensor
    flow = None
    if earlier_pose is not None and sensor.motion_blur:
        flow = _image_motion(camera, pose, check_pose(earlier_pose), seen.depth)
    rgb = sensor.apply(np.ascontiguousarray(radiance.T).reshape(*shape, 3), seed=seed, motion=flow)
    depth = seen.depth.astype(np.float32).reshape(shape)
    return Frame(rgb, depth, camera.matrix, pose, time)


@contextmanager
def _mapper(threads: int) -> Iterator[Callable[[Callable, Iterable], list]]:
    """A map(function, items) -> list that runs on that many threads."""
    if threads == 1:
        yield lambda function, items: [function(item) for item in items]
    else:
        with ThreadPoolExecutor(threads) as pool:
            yield lambda function, items: list(pool.map(function, items))


def _differing_corners(surface: np.ndarray, corner_surface: np.ndarray) -> np.ndarray:
    """bool [H + 1, W + 1]: corners where one of the four pixels around shows another surface."""
    height, width = surface.shape
    corner_surface = corner_surface.reshape(height + 1, width + 1)
    differs = np.zeros((height + 1, width + 1), bool)
    for window in _corner_windows(height, width):
        differs[window] |= corner_surface[window] != surface
    return differs


def _corner_windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Where in the corner grid each pixel's four corners lie."""
    return [(slice(y, y + height), slice(x, x + width)) for y in (0, 1) for x in (0, 1)]


def _blend_corners(radiance: np.ndarray, differs: np.ndarray, colour: np.ndarray) -> None:
    """Quincunx anti-aliasing, in place: mix half of the pixel with an eighth of each corner.

    Args:
        radiance: of the pixels, [3, H * W].
        differs: bool [H + 1, W + 1], the corners that count; at others the pixel's own colour does.
        colour: of the corners that count, [3, n].
    """
    height, width = differs.shape[0] - 1, differs.shape[1] - 1
    windows = _corner_windows(height, width)
    number = np.full(differs.shape, -1)
    number[differs] = np.arange(colour.shape[1])
    touched = np.flatnonzero(np.logical_or.reduce([differs[window] for window in windows]))
    own = radiance.take(touched, axis=1)
    total = own * 0.5
    for window in windows:
        which = number[window].ravel().take(touched)
        counted = np.flatnonzero(which >= 0)
        mixed = own.copy()
        mixed[:, counted] = colour.take(which.take(counted), axis=1)
        total += mixed * 0.125
    radiance[:, touched] = total


def _image_motion(
    camera: CameraModel, pose: np.ndarray, earlier: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Where each pixel's point was in the earlier image, minus where it is, float32 [H, W, 2]."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float32)
    inverse = (1 / depth).astype(np.float32).reshape(u.shape)  # 0 in the sky: far away
    change = (np.linalg.inv(earlier) @ pose).astype(np.float32)
    x = (u - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (v - np.float32(camera.cy)) / np.float32(camera.fy)
    moved = [c[0] * x + c[1] * y + c[2] + c[3] * inverse for c in change[:3]]
    z = np.maximum(moved[2], np.float32(1e-3))
    return np.stack(
        [
            (moved[0] / z - x) * np.float32(camera.fx),
            (moved[1] / z - y) * np.float32(camera.fy),
        ],
        axis=-1,
    )
