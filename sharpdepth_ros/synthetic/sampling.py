# SPDX-License-Identifier: Apache-2.0
"""Frames by number: frame ``index`` of an endless random collection, drawn on demand.

Any process can render any frame, in any order, and gets the same one; so this serves a data
loader's workers as well as the data set writer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np

from sharpdepth_ros.synthetic.camera import CameraModel, random_camera
from sharpdepth_ros.synthetic.path import FreeSpace, camera_path, viewpoint
from sharpdepth_ros.synthetic.renderer import Frame, render
from sharpdepth_ros.synthetic.scene import Scene
from sharpdepth_ros.synthetic.scenes import check_kind, make_scene
from sharpdepth_ros.synthetic.sensor import SensorModel

# Rendering frames of one scene in a row pays for the scene once per process.
_SCENES_KEPT = 2


@dataclass(frozen=True)
class SampleOptions:
    """What the frames look like. Frame ``i`` shows view ``i % views_per_scene`` of a scene.

    width, height    pixels
    kind             see ``make_scene``
    views_per_scene  frames in each scene
    video            views follow a camera path at ``fps`` instead of being independent; a scene
                     then has one camera and one sensor
    fov_range        limits of the random horizontal field of view, degrees
    intrinsics       (fx, fy, cx, cy) pixels instead of a random field of view
    random_sensor    a random SensorModel per camera, else a clean picture
    """

    seed: int = 0
    width: int = 320
    height: int = 240
    kind: str = "random"
    views_per_scene: int = 4
    video: bool = False
    fps: float = 20.0
    fov_range: tuple[float, float] = (50.0, 90.0)
    intrinsics: tuple[float, float, float, float] | None = None
    random_sensor: bool = True

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if self.seed != int(self.seed) or self.seed < 0:
            raise ValueError(f"seed is {self.seed!r}; give a whole number, 0 or more")
        if self.views_per_scene != int(self.views_per_scene) or self.views_per_scene < 1:
            raise ValueError(f"views_per_scene is {self.views_per_scene!r}; give 1 or more")
        if not self.fps > 0:
            raise ValueError(f"fps is {self.fps!r}; give a positive number of frames per second")
        if self.intrinsics is not None and len(self.intrinsics) != 4:
            raise ValueError(f"intrinsics are {self.intrinsics!r}; give fx, fy, cx, cy in pixels")
        if len(self.fov_range) != 2:
            raise ValueError(f"fov_range is {self.fov_range!r}; give (smallest, largest) degrees")
        self.camera(np.random.default_rng(0))  # refuses a bad size, fov_range or intrinsics now

    def camera(self, rng: np.random.Generator) -> CameraModel:
        """The camera these options ask for."""
        if self.intrinsics is not None:
            return CameraModel(self.width, self.height, *self.intrinsics)
        return random_camera(self.width, self.height, rng, self.fov_range)


@dataclass(frozen=True)
class Sample:
    """A frame and the scene it shows: ``make_scene(kind, scene_seed)``."""

    frame: Frame
    kind: str
    scene_seed: int


def render_sample(options: SampleOptions, index: int) -> Sample:
    """Frame number ``index``, 0 or more."""
    if index != int(index) or index < 0:
        raise ValueError(f"index is {index!r}; give a whole number, 0 or more")
    number, view = divmod(int(index), options.views_per_scene)
    scene_seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
    scene = _scene(options.kind, scene_seed)
    # In a video the camera is drawn once per scene, else once per frame.
    rng = np.random.default_rng([options.seed, number, 0 if options.video else view + 1])
    camera = options.camera(rng)
    sensor = SensorModel.random(rng) if options.random_sensor else SensorModel()
    earlier, time = None, 0.0
    if options.video:
        path = _path(options.kind, scene_seed, options.views_per_scene, options.fps)
        pose, time = path[view], view / options.fps
        earlier = path[view - 1] if view else None
    else:
        time = float(rng.uniform(0, 60)) if scene.motions else 0.0
        space = _free_space(options.kind, scene_seed)
        pose = viewpoint(scene.at(time), rng, space, camera)
    frame = render(
        scene, camera, pose, time=time, sensor=sensor, seed=int(index), earlier_pose=earlier
    )
    return Sample(frame, scene.kind, scene_seed)


@lru_cache(maxsize=_SCENES_KEPT)
def _scene(kind: str, seed: int) -> Scene:
    return make_scene(kind, seed)


@lru_cache(maxsize=_SCENES_KEPT)
def _free_space(kind: str, seed: int) -> FreeSpace:
    return FreeSpace(_scene(kind, seed))


@lru_cache(maxsize=_SCENES_KEPT)
def _path(kind: str, seed: int, frames: int, fps: float) -> list[np.ndarray]:
    return list(islice(camera_path(_scene(kind, seed), seed, frames, fps), frames))
