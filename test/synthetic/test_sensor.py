# SPDX-License-Identifier: Apache-2.0
"""The sensor model does what each of its options says."""

import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.synthetic import SensorModel, look_pose, render

FLAT = np.full((60, 80, 3), 0.5, np.float32)


def test_the_meter_makes_dark_and_bright_scenes_alike():
    images = [SensorModel().apply(FLAT * gain) for gain in (0.01, 1, 100)]
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[1], images[2])
    assert 110 < images[0].mean() < 140


def test_exposure_compensation_brightens_and_darkens():
    dark, normal, bright = (SensorModel(exposure_ev=ev).apply(FLAT).mean() for ev in (-1, 0, 1))
    assert dark < normal - 20 and bright > normal + 20


def test_noise_grows_with_its_setting_and_follows_the_seed():
    noisy = SensorModel(read_noise=0.02, shot_noise=0.02)
    one, two, other = (noisy.apply(FLAT, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert one.std() > 3 and SensorModel().apply(FLAT).std() == 0


def test_vignetting_darkens_corners_and_not_the_middle():
    image = SensorModel(vignetting=0.5).apply(FLAT).astype(int)
    plain = SensorModel().apply(FLAT).astype(int)
    assert (image[0, 0] < plain[0, 0] - 20).all()
    assert (np.abs(image[30, 40] - plain[30, 40]) <= 1).all()


def test_lens_blur_softens_an_edge_and_keeps_its_place():
    step = np.zeros((20, 40, 3), np.float32)
    step[:, 20:] = 0.5
    sharp, soft = (SensorModel(lens_blur=b).apply(step)[10, :, 0].astype(int) for b in (0, 2))
    assert np.abs(np.diff(sharp)).max() > 2.5 * np.abs(np.diff(soft)).max()
    assert soft[14] < 5 and soft[25] > 220  # within 2.5 standard deviations of where it was


def test_motion_blur_smears_along_the_motion_only(scene_of, grey):
    scene = scene_of(lambda b: b.wall((3, -9, -9), (3, 9, -9), 18, grey))
    camera, pose = CameraModel.from_fov(160, 120, 60), look_pose([0, 0, 0.1], 0.0)
    sideways = pose.copy()
    sideways[1, 3] += 0.2
    sharp = render(scene, camera, pose).rgb.astype(int)
    blurred = render(
        scene, camera, pose, sensor=SensorModel(motion_blur=1.0), earlier_pose=sideways
    ).rgb.astype(int)
    assert np.abs(np.diff(blurred, axis=1)).max() < 0.6 * np.abs(np.diff(sharp, axis=1)).max()
    assert np.abs(np.diff(blurred, axis=0)).max() > 0.8 * np.abs(np.diff(sharp, axis=0)).max()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"vignetting": 1.5}, r"vignetting is 1\.5"),
        ({"lens_blur": -1}, "lens_blur is -1"),
        ({"read_noise": float("nan")}, "read_noise is nan"),
        ({"gamma": 0}, "gamma is 0"),
        ({"white_balance": (0, 1)}, r"white_balance is \(0, 1\)"),
    ],
)
def test_impossible_settings_are_refused_with_the_value(setting, message):
    with pytest.raises(ValueError, match=message):
        SensorModel(**setting)


def test_random_sensors_differ_and_are_valid():
    rng = np.random.default_rng(0)
    assert len({SensorModel.random(rng) for _ in range(20)}) == 20
