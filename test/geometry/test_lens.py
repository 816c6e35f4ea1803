# SPDX-License-Identifier: Apache-2.0
"""Lens models against OpenCV's: which coefficients they take, where pixels go, where they end."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpdepth_ros.geometry.calibration import Calibration
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.lens import Distortion
from sharpdepth_ros.geometry.rectification import Rectifier

W, H = 320, 240
CENTRED = CameraModel(W, H, 190.0, 195.0, 160.0, 120.0)
OFF_CENTRE = CameraModel(W, H, 190.0, 195.0, 205.0, 70.0)
STRAIGHT = np.eye(3)
TURNED = cv2.Rodrigues(np.array([0.05, -0.08, 0.03]))[0]
BARREL = (-0.28, 0.07, 0.001, -0.002, 0.0)
RATIONAL = (0.4, 0.1, 0.001, -0.001, 0.02, 0.5, 0.15, 0.03)
PRISM = (0.002, -0.001, 0.003, 0.0005)
LENSES = [
    ("plumb_bob", BARREL[:4]),
    ("plumb_bob", BARREL),
    ("plumb_bob", (*BARREL, 0.0, 0.0, 0.0)),
    ("plumb_bob", (*BARREL, *[0.0] * 9)),
    ("plumb_bob", (0.12, -0.05, 0.0, 0.0, 0.0)),
    ("rational_polynomial", BARREL),
    ("rational_polynomial", RATIONAL),
    ("rational_polynomial", (*RATIONAL, *PRISM)),
    ("rational_polynomial", (*RATIONAL, *PRISM, 0.02, -0.03)),
    ("rational_polynomial", (*RATIONAL, *PRISM, 0.02, -0.03, 0.0)),
    ("equidistant", (-0.02, 0.01, -0.003, 0.001)),
    ("equidistant", (-0.02, 0.01, -0.003, 0.001, 0.0, 0.0)),
    ("equidistant", (0.0, 0.0, 0.0, 0.0)),
    ("equidistant", ()),
]


def calibration(model, coefficients, raw=CENTRED, rotation=STRAIGHT, rectified=None):
    turn = tuple(np.ravel(rotation))
    return Calibration(raw, Distortion(model, coefficients), turn, rectified or raw, True)


def in_the_raw_image(model, coefficients, rays, raw=CENTRED):
    """Where OpenCV projects rays [N, 3] with the coefficients as they are published, pixels."""
    zero = np.zeros(3)
    if model == "equidistant":
        four = np.array(coefficients[:4] or [0.0] * 4)
        points, _ = cv2.fisheye.projectPoints(rays[:, None], zero, zero, raw.matrix, four)
    else:
        known = [n for n in (4, 5, 8, 12, 14) if n <= len(coefficients)][-1]
        points, _ = cv2.projectPoints(rays, zero, zero, raw.matrix, np.array(coefficients[:known]))
    return points.reshape(-1, 2)


def rays_of(camera, rotation, pixels):
    homogeneous = np.column_stack([pixels, np.ones(len(pixels))])
    rays = homogeneous @ np.linalg.inv(camera.matrix @ rotation).T
    return rays / rays[:, 2:]


@pytest.mark.parametrize("raw", [CENTRED, OFF_CENTRE], ids=["centred", "off centre"])
@pytest.mark.parametrize("rotation", [STRAIGHT, TURNED], ids=["straight", "turned"])
@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_pixels_come_from_where_opencv_projects_their_rays(model, coefficients, rotation, raw):
    rectified = CameraModel(W, H, 150.0, 155.0, 150.0, 128.0)
    rectify = Rectifier(calibration(model, coefficients, raw, rotation, rectified))
    columns, rows = np.meshgrid(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32))
    # Both at once, by the picture's own interpolation: 0 to 255 in steps of a pixel.
    picture = np.stack([columns % 128, rows % 128, rows * 0], axis=-1).astype(np.uint8)
    found = rectify(picture)
    seen = np.ones((H, W), bool) if found.seen is None else found.seen
    pixels = np.array([(u, v) for u in range(3, W, 29) for v in range(3, H, 23)])
    pixels = pixels[seen[pixels[:, 1], pixels[:, 0]]]
    assert len(pixels) > 50
    expected = in_the_raw_image(model, coefficients, rays_of(rectified, rotation, pixels), raw)
    nearest = [rectify.nearest(places)[pixels[:, 1], pixels[:, 0]] for places in (columns, rows)]
    np.testing.assert_allclose(np.column_stack(nearest), expected, atol=0.55)
    # Not beside the seam of the pattern.
    inner = ((expected % 128 > 2) & (expected % 128 < 125)).all(axis=1)
    values = found.rgb[pixels[:, 1], pixels[:, 0], :2]
    np.testing.assert_allclose(values[inner], expected[inner] % 128, atol=1.0)


@pytest.mark.parametrize(("model", "coefficients"), LENSES)
def test_a_pixel_is_seen_if_its_four_neighbours_are_in_the_image(model, coefficients):
    rectified = CameraModel(W, H, 120.0, 120.0, 170.0, 115.0)
    rectify = Rectifier(calibration(model, coefficients, OFF_CENTRE, STRAIGHT, rectified))
    pixels = np.stack(np.meshgrid(np.arange(W), np.arange(H)), axis=-1).reshape(-1, 2)
    places = in_the_raw_image(
        model, coefficients, rays_of(rectified, STRAIGHT, pixels), OFF_CENTRE
    ).reshape(H, W, 2)
    room = np.minimum(places, np.array([W - 1, H - 1]) - places).min(axis=-1)
    assert (room < -1).any()
    assert not rectify.seen[room < -0.1].any()
    assert rectify.seen[room > 0.1].all()


def test_where_the_polynomial_folds_the_image_nothing_is_seen():
    # r - 0.3 r^3 turns back at r = 1.054; there the sensor is at 0.70.
    rectified = CameraModel(W, H, 60.0, 60.0, 160.0, 120.0)
    rectify = Rectifier(calibration("plumb_bob", (-0.3, 0.0, 0.0, 0.0), rectified=rectified))
    columns, rows = np.meshgrid(np.arange(W), np.arange(H))
    radius = np.hypot(columns - 160, rows - 120) / 60
    raw = np.hypot((columns - 160), (rows - 120)) / 60 * (1 - 0.3 * radius**2)
    folded = (radius > 1.06) & (np.abs(raw) < 0.5)
    assert folded.sum() > 1000  # these would show the middle of the image once more
    assert not rectify.seen[radius > 1.06].any()
    assert rectify.seen[radius < 0.6].all()


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(-0.5, 0.5)] * 2, *[st.floats(-0.02, 0.02)] * 2, st.floats(-0.2, 0.2)),
    st.floats(60, 300),
)
def test_what_is_seen_is_seen_once(coefficients, focal):
    rectified = CameraModel(W, H, focal, focal, 150.0, 110.0)
    lens = Distortion("plumb_bob", coefficients)
    rectify = Rectifier(
        Calibration(CENTRED, lens, tuple(np.eye(3).ravel()), rectified, has_projection=True)
    )
    columns, rows = np.meshgrid(np.arange(0, W, 8), np.arange(0, H, 8))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1)
    if rectify.seen is not None:
        pixels = pixels[rectify.seen[pixels[:, 1], pixels[:, 0]]]
    if not len(pixels):
        return
    rays = rays_of(rectified, np.eye(3), pixels)
    radial = [*coefficients[:2], 0, 0, coefficients[4]]
    # From the axis outwards the lens moves every point of the ray's plane outwards.
    ways = np.linspace(0.0, 1.0, 40)[:, None, None] * (rays - [0, 0, 1]) + [0, 0, 1]
    bent = cv2.projectPoints(
        ways.reshape(-1, 3), np.zeros(3), np.zeros(3), np.eye(3), np.array(radial)
    )[0].reshape(40, len(rays), 2)
    outwards = np.hypot(*np.moveaxis(bent, -1, 0))
    assert (np.diff(outwards, axis=0) > -1e-6).all()


@pytest.mark.parametrize(
    ("model", "coefficients", "message"),
    [
        ("plumb_bob", (0.1,), r"takes 4 or 5 .* got 1: \[0.1\]. They are k1, k2, p1, p2, k3; give"),
        ("plumb_bob", (*BARREL, 0.0, 0.2, 0.0), "got 8: .* number 7 is 0.2: correct the"),
        ("equidistant", (0.1,) * 5, "takes 4 .* number 5 is 0.1"),
        ("rational_polynomial", (0.1,) * 7, "takes 4 or 5 or 8 or 12 or 14 .* got 7"),
        ("rational_polynomial", (0.1,) * 15, "number 15 is 0.1"),
    ],
)
def test_coefficients_beyond_the_model_are_named(model, coefficients, message):
    with pytest.raises(ValueError, match=message):
        Distortion(model, coefficients)


@pytest.mark.parametrize("model", ["", "plumb_bob", "rational_polynomial", "anything"])
@pytest.mark.parametrize("coefficients", [(), (0.0,), (0.0,) * 5, (0.0,) * 8])
def test_a_pinhole_without_coefficients_leaves_the_image_as_it_is(model, coefficients):
    picture = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
    image = Rectifier(calibration(model, coefficients))(picture)
    assert image.rgb is picture
    assert image.seen is None


@pytest.mark.parametrize(
    ("rotation", "rectified"),
    [(TURNED, CENTRED), (STRAIGHT, CameraModel(W, H, 250.0, 240.0, 150.0, 125.0))],
    ids=["R", "P"],
)
def test_r_and_p_move_the_image_of_a_lens_that_bends_nothing(rotation, rectified):
    picture = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
    rectify = Rectifier(calibration("plumb_bob", (0.0,) * 5, CENTRED, rotation, rectified))
    maps = cv2.initUndistortRectifyMap(
        CENTRED.matrix, np.zeros(5), rotation, rectified.matrix, (W, H), cv2.CV_32FC1
    )
    expected = cv2.remap(picture, *maps, cv2.INTER_LINEAR).astype(int)
    image = rectify(picture)
    seen = np.ones((H, W), bool) if image.seen is None else image.seen
    assert seen.mean() > 0.5
    np.testing.assert_allclose(image.rgb[seen], expected[seen], atol=8)


def test_unseen_pixels_repeat_the_border_of_the_image():
    rectified = CameraModel(W, H, 137.0, 137.0, 160.0, 120.0)
    rectify = Rectifier(calibration("plumb_bob", BARREL, rectified=rectified))
    image = rectify(np.full((H, W, 3), 90, np.uint8))
    assert 0.02 < 1 - image.seen.mean() < 0.3
    assert (image.rgb == 90).all()


def test_a_camera_that_looks_elsewhere_is_refused_with_both():
    away = cv2.Rodrigues(np.array([0.0, 3.0, 0.0]))[0]
    with pytest.raises(ValueError, match=r"saw no pixel of the rectified image: .*fx=190"):
        Rectifier(calibration("plumb_bob", (0.0,) * 5, rotation=away))


@pytest.mark.parametrize("size", [(1, H), (W, 1), (1, 1)])
def test_images_of_one_row_or_column_are_rectified_too(size):
    raw = CameraModel(*size, 190.0, 190.0, (size[0] - 1) / 2, (size[1] - 1) / 2)
    image = Rectifier(calibration("plumb_bob", BARREL, raw))(np.full((*size[::-1], 3), 7, np.uint8))
    assert (image.rgb == 7).all()
