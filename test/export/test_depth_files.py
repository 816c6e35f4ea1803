# SPDX-License-Identifier: Apache-2.0
"""Depth as numbers in files and as colours."""

import numpy as np

from sharpdepth_ros.export.colormap import colorize_depth, colorize_discrepancy
from sharpdepth_ros.export.depth_files import to_millimetres


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
