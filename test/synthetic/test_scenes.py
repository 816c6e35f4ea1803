# SPDX-License-Identifier: Apache-2.0
"""Every kind of scene, over many seeds: sane depth, free cameras, same seed same frame."""

import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.synthetic import (
    KINDS,
    camera_path,
    make_scene,
    render,
    viewpoint,
)
from sharpdepth_ros.synthetic.path import FreeSpace
from sharpdepth_ros.synthetic.sampling import SampleOptions, render_sample

PLAIN_KINDS = [kind for kind in KINDS if kind != "random"]
SEEDS = range(12)


@pytest.fixture(scope="module", params=PLAIN_KINDS)
def frames(request):
    """The kind and one small frame of each seed."""
    options = SampleOptions(kind=request.param, width=80, height=60, views_per_scene=1)
    return request.param, [render_sample(options, seed).frame for seed in SEEDS]


def test_nothing_is_closer_than_the_clearance_allows(frames):
    _, views = frames
    for seed, frame in enumerate(views):
        assert frame.depth.min() > 0.2, f"seed {seed}: something at {frame.depth.min():.2f} m"


def test_depth_has_the_scale_of_the_kind(frames):
    kind, views = frames
    nearest, farthest = {
        "room": (0.8, 6.0),
        "corridor": (0.8, 8.0),
        "street": (1.0, 30.0),
        "shapes": (0.7, 20.0),
    }[kind]
    for seed, frame in enumerate(views):
        assert nearest < np.median(frame.depth[frame.valid]) < farthest, f"seed {seed}"


def test_most_of_the_view_is_surface(frames):
    kind, views = frames
    least = {"room": 0.7, "corridor": 1.0, "street": 0.4, "shapes": 0.25}[kind]
    assert all(frame.valid.mean() >= least for frame in views)


def test_no_view_is_a_constant_map(frames):
    """path.viewpoint promises a spread of 1.4, judged by few pixels."""
    _, views = frames
    for seed, frame in enumerate(views):
        near, far = np.percentile(frame.depth[frame.valid], (5, 95))
        assert far / near > 1.25, f"seed {seed}"


def test_pictures_are_well_exposed_and_not_flat(frames):
    _, views = frames
    for seed, frame in enumerate(views):
        assert 25 < frame.rgb.mean() < 230, f"seed {seed}"
        assert frame.rgb.std() > 8, f"seed {seed}"


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_the_same_seed_gives_the_same_frame_bit_for_bit(kind):
    camera = CameraModel.from_fov(96, 72, 70)
    first, second = (make_scene(kind, 5) for _ in range(2))
    pose = viewpoint(first, np.random.default_rng(0))
    np.testing.assert_array_equal(pose, viewpoint(second, np.random.default_rng(0)))
    one = render(first, camera, pose, time=1.5)
    two = render(second, camera, pose, time=1.5, threads=2)
    np.testing.assert_array_equal(one.rgb, two.rgb)
    np.testing.assert_array_equal(one.depth, two.depth)
    other = render(make_scene(kind, 6), camera, pose)
    assert (one.depth != other.depth).any()


def test_a_random_scene_is_one_of_the_kinds_and_all_occur():
    assert {make_scene("random", seed).kind for seed in range(16)} == set(PLAIN_KINDS)


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_a_camera_path_is_smooth_and_stays_in_free_space(kind):
    scene = make_scene(kind, 3)
    space = FreeSpace(scene)
    poses = np.array(list(camera_path(scene, 1, frames=200, fps=10)))
    assert poses.shape == (200, 4, 4)
    assert space.is_free(poses[:, 0, 3], poses[:, 1, 3]).all()
    step = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert step.max() < 0.08  # 0.6 m/s and some bobbing
    turn = (poses[1:, :3, 2] * poses[:-1, :3, 2]).sum(axis=1)
    assert np.degrees(np.arccos(np.clip(turn, -1, 1))).max() < 6
    assert np.linalg.norm(np.ptp(poses[:, :2, 3], axis=0)) > 0.8  # it does go somewhere


def test_moving_bodies_move_and_the_rest_stays():
    scene = next(s for s in (make_scene("corridor", seed) for seed in range(20)) if s.motions)
    later = scene.at(scene.motions[0].period / 2)
    moved = (scene.quadrics.to_local != later.quadrics.to_local).any(axis=(1, 2))
    assert moved.any()
    np.testing.assert_array_equal(moved, scene.quadrics.mover >= 0)


def test_rooms_streets_and_shapes_hold_thin_things():
    """At most 7 of 320 columns wide and far nearer than what is on both sides."""
    for kind in PLAIN_KINDS:
        options = SampleOptions(kind=kind, width=320, height=240, views_per_scene=1)
        found = 0
        for seed in range(6):
            depth = render_sample(options, seed).frame.depth
            middle, left, right = depth[:, 4:-4], depth[:, :-8], depth[:, 8:]
            found += ((middle * 1.1 < left) & (middle * 1.1 < right)).any()
        assert found >= 2, f"{kind}: thin things in {found} of 6 views"


@pytest.mark.parametrize(
    ("width", "height", "fov"),
    [(17, 13, 60), (640, 64, 120), (90, 160, 50), (1, 1, 60), (3, 2, 90)],
)
def test_any_resolution_and_field_of_view_renders(width, height, fov):
    scene = make_scene("room", 0)
    camera = CameraModel.from_fov(width, height, fov)
    frame = render(scene, camera, viewpoint(scene, np.random.default_rng(0)))
    assert frame.rgb.shape == (height, width, 3) and frame.rgb.dtype == np.uint8
    assert frame.depth.shape == (height, width) and frame.depth.dtype == np.float32
    assert (frame.depth > 0).all()


def test_an_unknown_kind_or_seed_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'kitchen'.*room, corridor"):
        make_scene("kitchen")
    with pytest.raises(ValueError, match="-3"):
        make_scene("room", -3)
    with pytest.raises(ValueError, match=r"1\.5"):
        make_scene("room", 1.5)
    with pytest.raises(ValueError, match="fps is 0"):
        camera_path(make_scene("room", 0), 0, fps=0)
    with pytest.raises(ValueError, match="frames is 0"):
        camera_path(make_scene("room", 0), 0, frames=0)
