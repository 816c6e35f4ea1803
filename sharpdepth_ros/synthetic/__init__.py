# SPDX-License-Identifier: Apache-2.0
"""Procedural scenes with exact metric depth: training data and the demo camera.

    scene = make_scene("room", seed=1)
    camera = CameraModel.from_fov(320, 240, horizontal_fov=75)
    for pose in camera_path(scene, seed=1, frames=100, fps=20):
        frame = render(scene, camera, pose)      # frame.rgb, frame.depth, frame.intrinsics, ...

``SyntheticCamera`` is an endless video, ``render_sample`` a random collection by number, and
``write_dataset`` puts that on disk.
"""

from sharpdepth_ros.synthetic.camera import look_pose
from sharpdepth_ros.synthetic.dataset import DatasetReport, read_frame, write_dataset
from sharpdepth_ros.synthetic.path import camera_path, viewpoint
from sharpdepth_ros.synthetic.renderer import Frame, render
from sharpdepth_ros.synthetic.sampling import Sample, SampleOptions, render_sample
from sharpdepth_ros.synthetic.scene import Scene
from sharpdepth_ros.synthetic.scenes import KINDS, make_scene
from sharpdepth_ros.synthetic.sensor import SensorModel
from sharpdepth_ros.synthetic.stream import SyntheticCamera

__all__ = [
    "KINDS",
    "DatasetReport",
    "Frame",
    "Sample",
    "SampleOptions",
    "Scene",
    "SensorModel",
    "SyntheticCamera",
    "camera_path",
    "look_pose",
    "make_scene",
    "read_frame",
    "render",
    "render_sample",
    "viewpoint",
    "write_dataset",
]
