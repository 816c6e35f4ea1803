# SPDX-License-Identifier: Apache-2.0
"""The demo camera: an endless video through one synthetic scene after another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sharpdepth_ros.synthetic.camera import CameraModel
from sharpdepth_ros.synthetic.path import camera_path
from sharpdepth_ros.synthetic.renderer import Frame, render
from sharpdepth_ros.synthetic.scenes import check_kind, make_scene
from sharpdepth_ros.synthetic.sensor import SensorModel

_SENSOR = SensorModel(vignetting=0.15, motion_blur=0.3, read_noise=0.003, shot_noise=0.012)


class SyntheticCamera:
    """A camera that drives through synthetic scenes and looks around.

    Args:
        width, height: pixels.
        seed: the whole video follows from it.
        fps: frames per second of simulated time; ``frames`` does not wait for the clock.
        kind: see ``make_scene``; "random" goes through all kinds.
        scene_seconds: simulated time before the next scene; None stays in the first.
        camera: intrinsics; None for a 75 degree horizontal field of view.
        sensor: None for a mild model of a good camera.
        speed: metres per second.
        threads: threads to render with; more than one pay from about 1280x720 on.
    """

    def __init__(
        self,
        width: int = 320,
        height: int = 240,
        seed: int = 0,
        fps: float = 20.0,
        *,
        kind: str = "random",
        scene_seconds: float | None = 15.0,
        camera: CameraModel | None = None,
        sensor: SensorModel | None = None,
        speed: float = 0.6,
        threads: int = 1,
    ) -> None:
        self.camera = CameraModel.from_fov(width, height, 75.0) if camera is None else camera
        if (self.camera.width, self.camera.height) != (width, height):
            raise ValueError(
                f"camera is {self.camera.width}x{self.camera.height} but width x height is "
                f"{width}x{height}; give the same size twice"
            )
        if not fps > 0:
            raise ValueError(f"fps is {fps!r}; give a positive number of frames per second")
        if scene_seconds is not None and not scene_seconds > 0:
            raise ValueError(f"scene_seconds is {scene_seconds!r}; give seconds, or None")
        self.seed, self.fps, self.kind = seed, fps, check_kind(kind)
        self.scene_seconds = scene_seconds
        self.sensor = _SENSOR if sensor is None else sensor
        self.speed, self.threads = speed, threads

    def frames(self) -> Iterator[Frame]:
        """Frames without end; ``Frame.time`` is simulated seconds since the first."""
        count = None
        if self.scene_seconds is not None:
            count = max(1, round(self.scene_seconds * self.fps))
        index = 0
        number = 0
        while True:
            scene = make_scene(self.kind, _scene_seed(self.seed, number))
            earlier: np.ndarray | None = None
            for pose in camera_path(scene, scene.seed, count, self.fps, self.speed):
                yield render(
                    scene,
                    self.camera,
                    pose,
                    time=index / self.fps,
                    sensor=self.sensor,
                    seed=index,
                    earlier_pose=earlier,
                    threads=self.threads,
                )
                earlier = pose
                index += 1
            number += 1


def _scene_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
