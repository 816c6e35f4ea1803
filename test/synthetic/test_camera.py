# SPDX-License-Identifier: Apache-2.0
"""The camera model and poses, and the endless demo camera."""

from itertools import islice, pairwise

import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.synthetic import SyntheticCamera, look_pose, make_scene, render
from sharpdepth_ros.synthetic.camera import check_pose, random_camera


def test_a_field_of_view_becomes_a_focal_length():
    camera = CameraModel.from_fov(640, 480, 90)
    np.testing.assert_allclose(
        camera.matrix, [[320, 0, 319.5], [0, 320, 239.5], [0, 0, 1]], atol=1e-9
    )
    assert CameraModel.from_matrix(camera.matrix, 640, 480) == camera


def test_random_cameras_stay_within_50_to_90_degrees():
    rng = np.random.default_rng(0)
    cameras = [random_camera(320, 240, rng) for _ in range(100)]
    fov = np.degrees([2 * np.arctan(160 / camera.fx) for camera in cameras])
    assert fov.min() >= 50 and fov.max() <= 90 and np.ptp(fov) > 30


def test_a_level_pose_follows_the_optical_frame_convention():
    pose = look_pose([1, 2, 3], yaw=0.0)
    np.testing.assert_allclose(pose[:3, 2], [1, 0, 0], atol=1e-12)  # z forward: world x
    np.testing.assert_allclose(pose[:3, 0], [0, -1, 0], atol=1e-12)  # x right: world -y
    np.testing.assert_allclose(pose[:3, 1], [0, 0, -1], atol=1e-12)  # y down: world -z
    np.testing.assert_allclose(pose[:3, 3], [1, 2, 3])
    assert look_pose([0, 0, 0], 0.0, pitch=0.3)[2, 2] > 0  # looks up
    check_pose(look_pose([0, 0, 0], 1.0, 0.2, 0.4))


def test_bad_poses_sizes_and_fields_of_view_are_refused():
    with pytest.raises(ValueError, match="200"):
        CameraModel.from_fov(32, 24, 200)
    with pytest.raises(ValueError, match=r"fov_range is \(90, 50\)"):
        random_camera(32, 24, np.random.default_rng(0), (90, 50))
    scene, camera = make_scene("room", 0), CameraModel.from_fov(32, 24, 70)
    with pytest.raises(ValueError, match="100000x24"):
        render(scene, CameraModel.from_fov(100000, 24, 60), look_pose([0, 0, 0], 0.0))
    with pytest.raises(ValueError, match=r"shape \(3, 4\)"):
        render(scene, camera, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="rigid"):
        render(scene, camera, 2 * np.eye(4))


def test_the_demo_camera_streams_and_changes_scene():
    camera = SyntheticCamera(48, 36, seed=1, fps=10, scene_seconds=0.5)
    frames = list(islice(camera.frames(), 8))
    assert [round(frame.time, 3) for frame in frames] == [i / 10 for i in range(8)]
    for frame in frames:
        assert frame.rgb.shape == (36, 48, 3)
        np.testing.assert_array_equal(frame.intrinsics, camera.camera.matrix)
    steps = [np.linalg.norm(b.pose[:3, 3] - a.pose[:3, 3]) for a, b in pairwise(frames)]
    assert max(steps[:4]) < 0.1  # smooth within the first scene
    again = list(islice(SyntheticCamera(48, 36, seed=1, fps=10, scene_seconds=0.5).frames(), 8))
    for one, two in zip(frames, again, strict=True):
        np.testing.assert_array_equal(one.rgb, two.rgb)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"scene_seconds": -1}, "scene_seconds is -1"),
        ({"kind": "moon"}, "'moon'"),
        ({"width": 0}, "0x240"),
        ({"camera": CameraModel.from_fov(64, 48, 70)}, "64x48"),
    ],
)
def test_the_demo_camera_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticCamera(**arguments)
