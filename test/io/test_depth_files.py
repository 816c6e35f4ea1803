# SPDX-License-Identifier: Apache-2.0
"""Depth as numbers in files and as colours."""

import struct

import cv2
import numpy as np
import pytest

from sharpdepth_ros.io.colormap import colorize_depth, colorize_discrepancy
from sharpdepth_ros.io.depth_files import (
    is_turned,
    read_rgb,
    to_millimetres,
    without_orientation,
)


def test_millimetres_saturate_and_never_wrap():
    depth = np.array([[0.0004, 0.0006, 1.2345, 65.535, 65.536, 100.0, np.inf]], np.float32)
    assert to_millimetres(depth).tolist() == [[0, 1, 1234, 65535, 65535, 65535, 65535]]


def test_invalid_depth_is_zero_millimetres():
    depth = np.array([[np.nan, -np.inf, -1.0, 0.0]], np.float32)
    assert to_millimetres(depth).tolist() == [[0, 0, 0, 0]]


def test_near_is_bright_far_is_dark_and_invalid_is_black():
    depth = np.geomspace(0.5, 20, 64, dtype=np.float32).reshape(8, 8)
    depth[0, 0] = np.nan
    colours = colorize_depth(depth)
    assert colours.shape == (8, 8, 3)
    assert colours[0, 0].tolist() == [0, 0, 0]
    brightness = colours.astype(int).sum(-1).ravel()[1:]
    assert (np.diff(brightness) <= 0).mean() > 0.9
    assert brightness[0] > 500 > 100 > brightness[-1]


def test_a_map_without_valid_depth_and_a_constant_one_have_colours_too():
    assert not colorize_depth(np.full((4, 4), np.nan)).any()
    assert len(np.unique(colorize_depth(np.full((4, 4), 2.0)).reshape(-1, 3), axis=0)) == 1


def test_agreement_is_blue_and_disagreement_is_red():
    agree, disagree = colorize_discrepancy(np.array([[0.1, 0.95]]))[0].astype(int)
    assert agree[2] > agree[0]
    assert disagree[0] > disagree[2]


def jpeg_with_exif(order, orientation):
    """A JPEG of 16x8 pixels whose EXIF data has one byte order and one entry."""
    pixels = np.random.default_rng(0).integers(0, 255, (8, 16, 3), np.uint8)
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    tiff += struct.pack(f"{order}HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_loses_its_orientation_and_nothing_else(tmp_path, order, orientation):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with_exif(order, orientation))
    assert is_turned(path) == (orientation != 1)
    as_stored = read_rgb(path)
    assert as_stored.shape == (8, 16, 3)
    assert np.array_equal(read_rgb(path, upright=True), as_stored) == (orientation == 1)
    plain = without_orientation(path.read_bytes())
    assert plain == jpeg_with_exif(order, 1)
    path.write_bytes(plain)
    np.testing.assert_array_equal(read_rgb(path, upright=True), as_stored)


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_jpeg_that_is_cut_off_stays_as_it_is(cut):
    data = jpeg_with_exif("<", 1)[:cut]
    assert without_orientation(data) == data
