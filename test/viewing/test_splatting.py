# SPDX-License-Identifier: Apache-2.0
"""The point renderer: what hides what, where and how large points appear."""

from math import radians

import numpy as np
import pytest

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.viewing.clouds import Cloud, cloud_of_depth
from sharpdepth_ros.viewing.orbit import Framing, full_turn, swing
from sharpdepth_ros.viewing.splatting import BACKGROUND, Eye, draw_cloud

CAMERA = CameraModel(80, 60, 70.0, 70.0, 39.5, 29.5)
HERE = Eye(CAMERA, np.eye(4))


def points(*places, colours=((255, 0, 0),), size=0.1):
    """Points at these places, of this size in metres."""
    places = np.array(places, np.float32)
    colours = np.broadcast_to(np.array(colours, np.uint8), (len(places), 3))
    return Cloud(places, colours, size, seen_from_origin=False)


def drawn(picture):
    return (picture != BACKGROUND).any(-1)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_nearer_point_hides_the_farther_whatever_their_order(order):
    places = np.array([[0, 0, 2.0], [0, 0, 4.0]])[order]
    colours = np.array([[255, 0, 0], [0, 255, 0]])[order]
    picture = draw_cloud(points(*places, colours=colours, size=0.4), HERE)
    np.testing.assert_array_equal(picture[29, 39], [255, 0, 0])
    assert not (picture[..., 1] > 200).any()  # the green one is smaller, and all behind


def test_a_point_appears_where_the_camera_projects_it():
    place = (0.3, -0.2, 2.0)
    rows, columns = np.nonzero(drawn(draw_cloud(points(place), HERE)))
    assert columns.mean() == pytest.approx(39.5 + 70 * place[0] / place[2], abs=0.5)
    assert rows.mean() == pytest.approx(29.5 + 70 * place[1] / place[2], abs=0.5)


def test_a_point_twice_as_near_is_twice_as_large():
    far = np.sqrt(drawn(draw_cloud(points((0, 0, 4.0), size=0.3), HERE)).sum())
    near = np.sqrt(drawn(draw_cloud(points((0, 0, 2.0), size=0.3), HERE)).sum())
    assert near / far == pytest.approx(2, rel=0.25)


def test_points_behind_the_eye_and_beside_the_picture_are_not_drawn():
    picture = draw_cloud(points((0, 0, -2.0), (50, 0, 2.0), (0, -50, 2.0)), HERE)
    assert not drawn(picture).any()


def test_from_where_the_camera_was_the_cloud_is_the_image_without_holes(frame):
    picture = draw_cloud(
        cloud_of_depth(frame.depth, frame.camera, frame.rgb), Eye(frame.camera, np.eye(4))
    )
    assert drawn(picture).all()
    difference = np.abs(picture.astype(int) - frame.rgb).max(-1)
    assert (difference > 60).mean() < 0.06  # splats overlap by less than a pixel at the edge
    np.testing.assert_array_equal(picture[24, 31], frame.rgb[24, 31])


def test_points_that_fly_between_board_and_wall_are_seen_from_the_side(frame):
    """The gap behind a sharp edge stays empty; a blurred edge fills it with flying points."""
    sharp, blurred = frame.cloud(), frame.metric_cloud()
    framing = Framing.of(sharp, 120, 90)
    eye = framing.eye(radians(30), 0)
    seen = {
        name: drawn(draw_cloud(cloud, eye))[30:60, 40:100]
        for name, cloud in (("sharp", sharp), ("blurred", blurred))
    }
    assert (~seen["sharp"]).sum() > 400
    assert (seen["blurred"] & ~seen["sharp"]).sum() > 200


def test_eyes_look_at_the_centre_from_the_same_distance(frame):
    framing = Framing.of(frame.cloud(), 120, 90)
    path = [*swing(12, radians(30), radians(8)), *full_turn(12, radians(20))]
    for yaw, pitch in path:
        eye = framing.eye(yaw, pitch)
        rotation, position = eye.pose[:3, :3], eye.pose[:3, 3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        ahead = rotation.T @ (framing.centre - position)
        np.testing.assert_allclose(ahead, [0, 0, framing.distance], atol=1e-9)
    # Yaw 0, pitch 0 is the camera's own view, pulled back.
    position = framing.eye(0, 0).pose[:3, 3]
    assert np.dot(position, framing.centre) < 0
    assert framing.eye(radians(30), 0).pose[0, 3] > position[0]  # positive yaw: from the right
    assert framing.eye(0, radians(30)).pose[1, 3] < position[1]  # positive pitch: from above


def test_an_orbit_ends_where_it_begins_in_equal_steps():
    for path in (swing(36, 0.5, 0.1), full_turn(36, 0.1)):
        closed = np.array([*path, path[0]])
        turned = np.exp(1j * closed)
        steps = np.abs(np.diff(turned, axis=0)).sum(axis=1)
        assert steps.max() < 0.2
        assert steps[-1] <= steps[:-1].max() + 1e-9


def test_the_far_background_is_left_out_of_the_picture_and_of_both_clouds():
    near = points(*np.random.default_rng(0).uniform((-1, -1, 2), (1, 1, 3), (200, 3)))
    wall = np.array([[0, 0, 80.0]] * 10, np.float32)
    cloud = Cloud(np.concatenate([near.points, wall]), np.zeros((210, 3), np.uint8), 0.01)
    framing = Framing.of(cloud, 80, 60)
    assert framing.far < 20
    assert len(framing.keep(cloud).points) == 200
    with pytest.raises(ValueError, match=r"no point is nearer than 1 m: the nearest is at 2\."):
        Framing.of(cloud, 80, 60, far=1.0)
