# SPDX-License-Identifier: Apache-2.0
"""Where a camera can stand and go: free floor, good viewpoints, smooth drives through a scene."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sharpdepth_ros.synthetic.camera import CameraModel, look_pose
from sharpdepth_ros.synthetic.raster import visibility
from sharpdepth_ros.synthetic.scene import Scene
from sharpdepth_ros.synthetic.view import View

_CELL = 0.1  # metres
_CLEARANCE = 0.35  # metres between the camera and anything upright
_KNEE, _HEAD = 0.12, 2.3  # what lies between these heights is in the way
_LOOK_AHEAD = 8.0  # metres
_ARRIVED = 0.25  # metres from a goal
_TURN_RATE = 0.7  # radians per second at most


class FreeSpace:
    """The floor area where a camera keeps clear of everything, as a grid of 0.1 m cells.

    Only the largest connected area counts, so every free place can be reached from any other.
    """

    def __init__(self, scene: Scene) -> None:
        x0, x1, y0, y1 = scene.ground
        self.corner = np.array([x0, y0])
        shape = (max(int((x1 - x0) / _CELL), 1), max(int((y1 - y0) / _CELL), 1))
        free = np.ones(shape, bool)
        margin = int(np.ceil(_CLEARANCE / _CELL))
        free[:margin] = free[-margin:] = free[:, :margin] = free[:, -margin:] = False
        for low, high in _footprints(scene):
            i0, j0 = np.floor((low - _CLEARANCE - self.corner) / _CELL).astype(int)
            i1, j1 = np.ceil((high + _CLEARANCE - self.corner) / _CELL).astype(int)
            free[max(i0, 0) : max(i1, 0), max(j0, 0) : max(j1, 0)] = False
        self.free = _largest_area(free)
        if not self.free.any():
            raise RuntimeError(f"scene {scene.kind} {scene.seed} leaves no free floor for a camera")

    def is_free(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """bool: whether a camera may be at (x, y), metres."""
        i = np.floor((np.asarray(x) - self.corner[0]) / _CELL).astype(int)
        j = np.floor((np.asarray(y) - self.corner[1]) / _CELL).astype(int)
        inside = (i >= 0) & (j >= 0) & (i < self.free.shape[0]) & (j < self.free.shape[1])
        return inside & self.free[np.where(inside, i, 0), np.where(inside, j, 0)]

    def distance(self, position: np.ndarray, yaw: np.ndarray, limit: float) -> np.ndarray:
        """Metres that can be driven straight from ``position`` [2] along each ``yaw`` [n]."""
        steps = np.arange(1, int(limit / _CELL) + 1) * _CELL
        x = position[0] + np.cos(yaw)[:, None] * steps
        y = position[1] + np.sin(yaw)[:, None] * steps
        blocked = ~self.is_free(x, y)
        return np.where(blocked.any(axis=1), blocked.argmax(axis=1), len(steps)) * _CELL

    def random_place(self, rng: np.random.Generator) -> np.ndarray:
        """A free place [2], metres."""
        cells = np.flatnonzero(self.free)
        i, j = np.divmod(cells[rng.integers(len(cells))], self.free.shape[1])
        return self.corner + (np.array([i, j]) + 0.5) * _CELL


def _footprints(scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lowest and highest (x, y) of everything in the way, moving bodies along their whole way."""
    boxes = [
        (scene.quads.vertices.min(axis=1), scene.quads.vertices.max(axis=1), scene.quads.mover),
        (
            scene.quadrics.corners().min(axis=1),
            scene.quadrics.corners().max(axis=1),
            scene.quadrics.mover,
        ),
    ]
    travel = np.array([motion.travel for motion in scene.motions] + [(0.0, 0.0, 0.0)])
    for low, high, mover in boxes:
        low = low + np.minimum(travel[mover], 0)
        high = high + np.maximum(travel[mover], 0)
        upright = (high[:, 2] > _KNEE) & (low[:, 2] < _HEAD)
        yield from zip(low[upright, :2], high[upright, :2], strict=True)


def _largest_area(free: np.ndarray) -> np.ndarray:
    """The largest 4-connected area of ``free``: runs of free cells, joined where they touch."""
    padded = np.pad(free, ((0, 0), (1, 1))).astype(np.int8)
    row, start = np.nonzero(np.diff(padded, axis=1) == 1)
    _, stop = np.nonzero(np.diff(padded, axis=1) == -1)
    parent = list(range(len(row)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]
        return run

    first_of_row = np.searchsorted(row, np.arange(len(free) + 1))
    for i in range(1, len(free)):
        for run in range(first_of_row[i], first_of_row[i + 1]):
            for above in range(first_of_row[i - 1], first_of_row[i]):
                if start[run] < stop[above] and start[above] < stop[run]:
                    parent[root(run)] = root(above)
    roots = np.array([root(run) for run in range(len(row))], dtype=int)
    area = np.zeros_like(free)
    if len(roots):
        largest = np.bincount(roots, weights=stop - start).argmax()
        for run in np.flatnonzero(roots == largest):
            area[row[run], start[run] : stop[run]] = True
    return area


def viewpoint(
    scene: Scene,
    rng: np.random.Generator,
    space: FreeSpace | None = None,
    camera: CameraModel | None = None,
) -> np.ndarray:
    """A pose [4, 4] that shows something: free floor ahead, near level, at a sensible height.

    Views that are nearly one constant depth, or mostly sky, are drawn again: in the view returned
    the 95th percentile of depth is at least 1.4 times the 5th and a fifth is surface, as ``camera``
    (70 degrees if None) sees it with few pixels, unless 20 draws in a row failed.
    """
    space = FreeSpace(scene) if space is None else space
    coarse = _coarse(CameraModel.from_fov(64, 48, 70.0) if camera is None else camera)
    best, best_spread = None, -1.0
    for _ in range(20):
        pose = _free_view(scene, rng, space)
        spread = _depth_spread(scene, coarse, pose)
        if spread > best_spread:
            best, best_spread = pose, spread
        if spread >= 1.4:
            break
    return best


def _coarse(camera: CameraModel) -> CameraModel:
    """The same field of view with about 24 x 18 pixels."""
    return camera.resized(min(24, camera.width), min(18, camera.height))


def _free_view(scene: Scene, rng: np.random.Generator, space: FreeSpace) -> np.ndarray:
    best, best_view = None, -1.0
    for _ in range(24):
        place = space.random_place(rng)
        yaw = rng.uniform(-np.pi, np.pi, 1)
        view = float(space.distance(place, yaw, scene.far_view)[0])
        if view > best_view:
            best, best_view = (place, float(yaw[0])), view
        if view >= scene.far_view - 2 * _CELL:
            break
    (x, y), yaw = best
    height = rng.uniform(*scene.eye_height)
    pitch = float(np.clip(rng.normal(-0.08, 0.1), -0.4, 0.25))
    return look_pose(np.array([x, y, height]), yaw, pitch, rng.normal(0, 0.02))


def _depth_spread(scene: Scene, camera: CameraModel, pose: np.ndarray) -> float:
    """Ratio of the 95th to the 5th percentile of depth; 0 for a view that is mostly sky."""
    view = View.of_camera(camera, pose)
    depth = visibility(view, scene.quads, scene.quadrics).depth
    depth = depth[np.isfinite(depth)]
    if depth.size < 0.2 * view.width * view.height:
        return 0.0
    near, far = np.percentile(depth, (5, 95))
    return float(far / near)


def camera_path(
    scene: Scene,
    seed: int,
    frames: int | None = None,
    fps: float = 30.0,
    speed: float = 0.6,
) -> Iterator[np.ndarray]:
    """Poses [4, 4] of a smooth, collision-free drive, like a robot exploring.

    Args:
        scene: from ``make_scene``.
        seed: another seed, another drive.
        frames: how many poses; None never ends.
        fps: poses per second.
        speed: metres per second on a free stretch.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"frames is {frames!r}; give a positive number, or None for no end")
    if not fps > 0:
        raise ValueError(f"fps is {fps!r}; give a positive number of frames per second")
    if not speed >= 0:
        raise ValueError(f"speed is {speed!r}; give metres per second, not negative")
    return _drive(scene, np.random.default_rng([seed, 31]), frames, 1.0 / fps, speed)


def _drive(
    scene: Scene, rng: np.random.Generator, frames: int | None, dt: float, speed: float
) -> Iterator[np.ndarray]:
    space = FreeSpace(scene)
    start = viewpoint(scene, rng, space)
    place, yaw = start[:2, 3].copy(), math.atan2(start[1, 2], start[0, 2])
    low, high = scene.eye_height
    height = rng.uniform(low + 0.3 * (high - low), high)
    pitch = rng.uniform(-0.15, -0.05)
    phase = rng.uniform(0, 2 * np.pi, 4)
    turn, pace, time, index = 0.0, 0.0, 0.0, 0
    goal = _next_goal(space, rng, place, yaw)
    while frames is None or index < frames:
        glance = 0.15 * math.sin(0.35 * time + phase[0])
        yield look_pose(
            np.array([*place, height + 0.04 * math.sin(0.5 * time + phase[1])]),
            yaw + glance,
            pitch + 0.05 * math.sin(0.43 * time + phase[2]),
            0.012 * math.sin(0.7 * time + phase[3]),
        )
        way = goal - place
        if np.hypot(*way) < _ARRIVED:
            goal = _next_goal(space, rng, place, yaw)
            way = goal - place
        error = (math.atan2(way[1], way[0]) - yaw + np.pi) % (2 * np.pi) - np.pi
        wanted = float(np.clip(1.5 * error, -_TURN_RATE, _TURN_RATE))
        turn += (wanted - turn) * min(1.0, 2.5 * dt)
        yaw += turn * dt
        # Drive only as far as the camera looks along the free way; turn on the spot before that.
        wanted = speed * max(0.0, 1 - abs(error) / 0.5)
        pace += (wanted - pace) * min(1.0, 3.0 * dt)
        step = place + pace * dt * np.array([math.cos(yaw), math.sin(yaw)])
        if space.is_free(*step):
            place = step
        else:
            pace = 0.0
            goal = _next_goal(space, rng, place, yaw)
        time += dt
        index += 1


def _next_goal(
    space: FreeSpace, rng: np.random.Generator, place: np.ndarray, yaw: float
) -> np.ndarray:
    """A place [2] that can be reached straight on: far off, and not too far round."""
    bend = np.linspace(-np.pi, np.pi, 36, endpoint=False)
    free = space.distance(place, yaw + bend, _LOOK_AHEAD)
    score = free * rng.uniform(0.6, 1.0, len(bend)) - 0.5 * np.abs(bend)
    best = int(score.argmax())
    # Stop short of what is in the way, or it would fill the view.
    far = free[best] - min(_CELL + 0.3 * float(free[best]), 1.5)
    return place + max(far, 0.0) * np.array(
        [math.cos(yaw + bend[best]), math.sin(yaw + bend[best])]
    )
