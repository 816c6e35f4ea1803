# SPDX-License-Identifier: Apache-2.0
"""Depth is exact: against closed forms, between views, and whatever the sensor does."""

import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.synthetic import SensorModel, look_pose, make_scene, render
from sharpdepth_ros.synthetic.path import viewpoint
from sharpdepth_ros.synthetic.scene import Motion

CAMERA = CameraModel(161, 119, 140.0, 155.0, 75.3, 62.8)


def rays(camera, pose):
    """World directions [H, W, 3] with unit z-depth, and the camera position."""
    v, u = np.mgrid[: camera.height, : camera.width]
    local = np.stack(
        [(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1
    )
    return local @ pose[:3, :3].T, pose[:3, 3]


def assert_depth(depth, expected, allowed_edge_pixels=0):
    """Equal to 1e-5 relative; sky where expected is inf. A few pixels may fall on an edge."""
    wrong = ~np.isclose(depth, expected, rtol=1e-5)
    assert wrong.sum() <= allowed_edge_pixels, f"{wrong.sum()} pixels are wrong"
    assert np.isfinite(depth).any()


def test_a_floor_has_the_depth_of_its_plane_up_to_the_horizon(scene_of, grey):
    scene = scene_of(lambda b: b.floor((-5000, -5000), (5000, 5000), 0.0, grey))
    pose = look_pose([0.3, -0.2, 1.4], 0.7, -0.2, 0.05)
    depth = render(scene, CAMERA, pose).depth
    direction, position = rays(CAMERA, pose)
    expected = np.where(direction[..., 2] < 0, -position[2] / direction[..., 2], np.inf)
    near = (expected < 1000) | np.isinf(expected)
    assert_depth(depth[near], expected[near])


def test_a_sphere_has_the_depth_of_the_nearer_root(scene_of, grey):
    centre, radius = np.array([4.0, 0.3, 1.1]), 0.9
    scene = scene_of(lambda b: b.sphere(centre, radius, grey))
    pose = look_pose([0, 0, 1], 0.05, 0.02, -0.1)
    direction, position = rays(CAMERA, pose)
    offset = position - centre
    a = (direction**2).sum(-1)
    b = direction @ offset
    discriminant = b * b - a * (offset @ offset - radius**2)
    with np.errstate(invalid="ignore"):
        expected = np.where(discriminant >= 0, (-b - np.sqrt(discriminant)) / a, np.inf)
    assert_depth(render(scene, CAMERA, pose).depth, expected)
    assert np.isfinite(expected).mean() > 0.05


@pytest.mark.parametrize("yaw", [0.0, 0.6])
def test_a_box_has_the_depth_of_the_slab_method(scene_of, grey, yaw):
    size, base = np.array([1.2, 0.8, 1.5]), np.array([3.5, -0.2, 0.1])

    def fill(b):
        with b.at(*base, yaw):
            b.box((0, 0, 0), size, grey)

    pose = look_pose([0, 0.4, 1.9], -0.1, -0.2)
    direction, position = rays(CAMERA, pose)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    local, start = direction @ turn, (position - base) @ turn
    low, high = np.array([-0.6, -0.4, 0.0]), np.array([0.6, 0.4, 1.5])
    with np.errstate(divide="ignore"):
        one, two = (low - start) / local, (high - start) / local
    enter, leave = np.minimum(one, two).max(-1), np.maximum(one, two).min(-1)
    expected = np.where(enter <= leave, enter, np.inf)
    assert_depth(render(scene_of(fill), CAMERA, pose).depth, expected, allowed_edge_pixels=2)


@pytest.mark.parametrize("height", [0.7, 2.4])
def test_a_standing_cylinder_has_the_depth_of_its_mantle_and_its_lid(scene_of, grey, height):
    centre, radius, top = np.array([2.6, 0.2]), 0.7, 1.2
    scene = scene_of(lambda b: b.cylinder((*centre, 0), (*centre, top), radius, grey))
    pose = look_pose([0, 0, height], 0.0, -0.25)
    direction, position = rays(CAMERA, pose)
    xy, offset = direction[..., :2], position[:2] - centre
    a, b = (xy**2).sum(-1), xy @ offset
    with np.errstate(invalid="ignore", divide="ignore"):
        side = (-b - np.sqrt(b * b - a * (offset @ offset - radius**2))) / a
        z = position[2] + side * direction[..., 2]
        side = np.where((z >= 0) & (z <= top), side, np.inf)
        lid = (top - position[2]) / direction[..., 2]
        on_lid = ((offset + lid[..., None] * xy) ** 2).sum(-1) <= radius**2
        lid = np.where((lid > 0) & on_lid, lid, np.inf)
    expected = np.fmin(side, lid)
    assert_depth(render(scene, CAMERA, pose).depth, expected, allowed_edge_pixels=2)


def test_a_cone_frustum_narrows_as_its_radii_say(scene_of, grey):
    scene = scene_of(lambda b: b.cylinder((4, 0, 0), (4, 0, 2), 0.8, grey, 0.3))
    frame = render(scene, CAMERA, look_pose([0, 0, 1.0], 0.0))
    direction, position = rays(CAMERA, frame.pose)
    point = position + frame.depth[frame.valid][:, None] * direction[frame.valid]
    radius = np.hypot(point[:, 0] - 4, point[:, 1])
    np.testing.assert_allclose(radius, 0.8 - 0.25 * point[:, 2], atol=1e-5)
    assert point[:, 2].min() < 0.05 and point[:, 2].max() > 1.9


def test_an_open_tube_shows_its_inner_wall(scene_of, grey):
    tube = dict(radius=0.5, material=grey)
    closed = scene_of(lambda b: b.cylinder((2, 0, 1), (6, 0, 1), **tube))
    hollow = scene_of(lambda b: b.cylinder((2, 0, 1), (6, 0, 1), **tube, capped=False))
    pose = look_pose([0, 0, 1], 0.0)
    v, u = round(CAMERA.cy), round(CAMERA.cx) + 25
    assert render(closed, CAMERA, pose).depth[v, u] == pytest.approx(2.0)
    direction, _ = rays(CAMERA, pose)
    assert render(hollow, CAMERA, pose).depth[v, u] == pytest.approx(
        0.5 / np.hypot(direction[v, u, 1], direction[v, u, 2]), rel=1e-5
    )


def test_unprojected_points_of_a_slanted_wall_lie_in_one_plane(scene_of, grey):
    scene = scene_of(lambda b: b.wall((2, -4, -3), (5, 4, -3), 8.0, grey))
    pose = look_pose([0, 0, 1], 0.1, 0.1, 0.2)
    depth = render(scene, CAMERA, pose).depth
    direction, position = rays(CAMERA, pose)
    seen = np.isfinite(depth)
    points = position + depth[seen][:, None] * direction[seen]
    _, singular, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    assert singular[2] / np.sqrt(len(points)) < 1e-5  # metres off the plane
    assert singular[1] / np.sqrt(len(points)) > 0.3


def test_the_nearer_of_two_surfaces_is_seen(scene_of, grey):
    def fill(b):
        b.wall((5, -9, -9), (5, 9, -9), 18, grey)
        b.sphere((3, 0, 1), 0.4, grey)
        b.box((1.5, 0, 0.95), (0.1, 0.1, 0.1), grey)

    depth = render(scene_of(fill), CAMERA, look_pose([0, 0, 1], 0.0)).depth
    v, u = round(CAMERA.cy), round(CAMERA.cx)
    assert depth[v, u] == pytest.approx(1.45, abs=1e-3)
    assert depth[v, u + 15] == pytest.approx(2.7, abs=0.15)
    assert depth[v, u + 45] == pytest.approx(5.0)


def test_a_camera_inside_a_box_sees_its_walls_all_around(scene_of, grey):
    scene = scene_of(lambda b: b.box((0, 0, 0), (4, 4, 3), grey), sky=False)
    for yaw in np.linspace(0, 6, 7):
        frame = render(scene, CAMERA, look_pose([0.2, -0.1, 1.3], yaw, 0.3))
        assert frame.valid.all()
        direction, position = rays(CAMERA, frame.pose)
        point = np.abs(position + frame.depth[..., None] * direction - (0, 0, 1.5)) / (2, 2, 1.5)
        np.testing.assert_allclose(point.max(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("kind", ["room", "corridor", "street", "shapes"])
def test_depth_is_the_same_whatever_the_sensor_and_anti_aliasing_do(kind):
    scene = make_scene(kind, 2)
    pose = viewpoint(scene, np.random.default_rng(0))
    sensor = SensorModel.random(np.random.default_rng(1))
    clean = render(scene, CAMERA, pose, antialias=False)
    moved = look_pose(pose[:3, 3] + 0.02, 0.1)
    dirty = render(scene, CAMERA, pose, sensor=sensor, seed=5, earlier_pose=moved)
    np.testing.assert_array_equal(clean.depth, dirty.depth)
    assert (clean.rgb != dirty.rgb).any()


@pytest.mark.parametrize("kind", ["room", "corridor", "street", "shapes"])
def test_two_views_of_a_scene_agree_where_both_see(kind):
    """Points seen from one pose and projected into another are never in front of what it sees."""
    scene = make_scene(kind, 1)
    camera = CameraModel.from_fov(200, 150, 80)
    pose = viewpoint(scene, np.random.default_rng(3))
    other = pose.copy()
    other[:3, 3] += 0.06 * pose[:3, 0] + 0.03 * pose[:3, 2]
    first, second = render(scene, camera, pose), render(scene, camera, other)
    direction, position = rays(camera, pose)
    points = position + first.depth[first.valid][:, None] * direction[first.valid]
    local = (points - other[:3, 3]) @ other[:3, :3]
    u = np.rint(local[:, 0] / local[:, 2] * camera.fx + camera.cx).astype(int)
    v = np.rint(local[:, 1] / local[:, 2] * camera.fy + camera.cy).astype(int)
    inside = (local[:, 2] > 0.1) & (u >= 0) & (v >= 0) & (u < 200) & (v < 150)
    seen = second.depth[v[inside], u[inside]]
    # Rounding to a pixel moves the point by up to half a pixel on its surface.
    agree = np.abs(seen / local[inside, 2] - 1) < 0.03
    assert agree.mean() > 0.85


def test_thin_wires_are_one_pixel_wide_and_there(scene_of, grey):
    def fill(b):
        b.wall((6, -9, -9), (6, 9, -9), 18, grey)
        b.cylinder((3, -4, 1.2), (3, 4, 1.6), 0.012, grey)

    depth = render(
        scene_of(fill), CameraModel.from_fov(320, 240, 60), look_pose([0, 0, 1], 0)
    ).depth
    wire = depth < 5
    assert wire.any(axis=0).mean() > 0.95  # about two pixels: found in nearly every column
    assert wire.sum(axis=0).max() <= 3
    np.testing.assert_allclose(depth[wire], 3.0, atol=0.02)


def test_sky_is_infinite_and_not_valid(scene_of, grey):
    scene = scene_of(lambda b: b.box((3, 0, 0), (1, 1, 1), grey))
    frame = render(scene, CAMERA, look_pose([0, 0, 1.0], 0.0))
    assert np.isinf(frame.depth[0]).all()
    np.testing.assert_array_equal(frame.valid, np.isfinite(frame.depth))
    assert 0 < frame.valid.mean() < 1
    assert frame.rgb[0].mean() > 60  # bright, not black


def test_an_empty_scene_is_all_sky(scene_of):
    frame = render(scene_of(lambda b: None), CAMERA, look_pose([0, 0, 1], 0))
    assert not frame.valid.any()


def test_a_moving_body_is_where_its_motion_says(scene_of, grey):
    def fill(b):
        with b.moving(Motion((2.0, 0.0, 0.0), period=4.0)):
            b.sphere((3, 0, 1), 0.5, grey)
            b.box((3, 1.2, 0.5), (1, 1, 1), grey)

    scene = scene_of(fill)
    v, u = round(CAMERA.cy), round(CAMERA.cx)
    for time, way in ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (4.0, 0.0)):
        depth = render(scene, CAMERA, look_pose([0, 0, 1], 0.0), time=time).depth
        assert depth[v, u] == pytest.approx(2.5 + way, abs=1e-3)
        assert depth[v, :40].min() == pytest.approx(2.5 + way, abs=1e-3)
