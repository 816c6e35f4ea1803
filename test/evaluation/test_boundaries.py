# SPDX-License-Identifier: Apache-2.0
"""Sharpness: edges where they are, distances and matches by their definitions, holes."""

import math

import numpy as np
import pytest

from sharpdepth_ros.evaluation.boundaries import (
    THRESHOLDS,
    boundary_f1,
    boundary_recall,
    dbe_acc,
    dbe_compl,
)
from sharpdepth_ros.evaluation.canny import canny


def step(column: int, near: float = 1.0, far: float = 4.0, shape=(48, 64)) -> np.ndarray:
    depth = np.full(shape, near, np.float32)
    depth[:, column:] = far
    return depth


def boxes(seed: int, shape=(40, 56)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    depth = np.full(shape, 6.0, np.float32)
    for _ in range(5):
        y, x = rng.integers(0, shape[0] - 8), rng.integers(0, shape[1] - 8)
        depth[y : y + rng.integers(4, 20), x : x + rng.integers(4, 20)] = rng.uniform(1, 5)
    return depth


def test_canny_finds_a_step_along_its_length_and_nothing_else():
    edges = canny(step(30, 0.0, 1.0))
    assert edges[1:-1, 29:31].any(axis=1).all()
    assert not edges[:, :28].any() and not edges[:, 32:].any()


SCIKIT_IMAGE_EDGES = {
    0: "00000000007fffc00000000040000000004000000000400000000040000000004000000000400000"
    "000040003e0000401fc00000601000000010300000001e200000001020000ff710200063efd02000"
    "00001020000000102000000010200000001020000000101000000010100000001010000000101000"
    "00001410000000130ffe000010c000000019800000000f0000000000000000000000000000000000",
    1: "000000000000000000007ff00000000010000000001000000000100000000010003ffc0010002004"
    "00100020040010002004001000200400100020040010002004001000200400100020040018002006"
    "0008002002000800200200060020027fc1c030200040400c40004040040000204004000039c00400"
    "00060004000000000400000000040000000006000000000600000000060000000006000000000000",
}
"""Edges that skimage.feature.canny 0.26 finds in `unit_boxes(seed)`, packed bits."""


def unit_boxes(seed: int) -> np.ndarray:
    """Sharp boxes, 32 x 40: on both sides of a step the gradient is equal but for rounding."""
    rng = np.random.default_rng(seed)
    image = np.full((32, 40), 1.0, np.float32)
    for _ in range(5):
        y, x = rng.integers(0, 24), rng.integers(0, 32)
        image[y : y + rng.integers(4, 20), x : x + rng.integers(4, 20)] = rng.random()
    return image


@pytest.mark.parametrize("seed", SCIKIT_IMAGE_EDGES)
def test_canny_finds_the_edges_that_scikit_image_finds(seed):
    bits = np.frombuffer(bytes.fromhex(SCIKIT_IMAGE_EDGES[seed]), np.uint8)
    assert np.array_equal(canny(unit_boxes(seed)), np.unpackbits(bits).reshape(32, 40))


def test_canny_finds_no_edge_around_a_hole():
    image = np.full((40, 40), 0.5, np.float32)
    image[10:20, 10:20] = 0
    assert canny(image).any()
    assert not canny(image, image > 0).any()


@pytest.mark.parametrize("shift", [1, 3, 6])
def test_a_step_in_the_wrong_place_is_as_wrong_as_it_is_far(shift):
    target, predicted = step(30), step(30 + shift)
    assert dbe_acc(predicted, target) == pytest.approx(shift, abs=0.6)
    assert dbe_compl(predicted, target) == pytest.approx(shift, abs=0.6)


def test_annotated_edges_replace_those_of_the_ground_truth():
    target = predicted = step(30)
    edges = np.zeros(target.shape, bool)
    edges[:, 26] = True
    assert dbe_acc(predicted, target) == 0
    assert dbe_acc(predicted, target, edges=edges) == pytest.approx(3.5, abs=0.6)


def test_against_annotated_edges_both_directions_count_and_are_cut_at_ten_pixels():
    edges = np.zeros((48, 64), bool)
    edges[:, [30, 60]] = True  # the prediction has the first one
    found = canny((step(30) - 1) / 3)
    columns = np.nonzero(found)[1]
    to_true = np.abs(columns - 30)
    missed, hit = np.full(48, 10.0), []
    rows, there = np.nonzero(found)
    for row in range(48):
        hit.append(np.hypot(rows - row, there - 30).min())
    expected = (to_true.sum() + missed.sum() + np.sum(hit)) / (len(columns) + 96)
    assert dbe_compl(step(30), step(30), edges=edges) == pytest.approx(expected, rel=1e-6)


def test_a_flat_prediction_is_as_wrong_as_it_gets():
    flat = np.full((48, 64), 2.0, np.float32)
    assert dbe_acc(flat, step(30)) == dbe_compl(flat, step(30)) == 10
    assert boundary_f1(flat, step(30)) == 0


def test_without_true_edges_there_is_nothing_to_measure():
    flat = np.full((48, 64), 2.0, np.float32)
    assert math.isnan(dbe_acc(step(30), flat))
    assert math.isnan(dbe_compl(step(30), flat))
    assert math.isnan(dbe_acc(step(30), step(30), edges=np.zeros((48, 64), bool)))


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf])
def test_holes_in_the_ground_truth_have_no_edges(hole):
    target = boxes(5)
    known = target.copy()
    target[2:5, 2:5] = hole
    assert (known[:8, :8] == known[0, 0]).all()  # far from every edge
    assert dbe_acc(known, target) == dbe_compl(known, target) == 0
    assert boundary_f1(known, target) == 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_bounds_no_edge(wrong):
    predicted = boxes(5)
    predicted[2:5, 2:5] = wrong
    assert dbe_acc(predicted, boxes(5)) == dbe_compl(predicted, boxes(5)) == 0
    assert boundary_f1(predicted, boxes(5)) == 1


def test_a_prediction_without_a_number_has_no_edge():
    target, nothing = step(30), np.full((48, 64), np.nan, np.float32)
    assert dbe_acc(nothing, target) == dbe_compl(nothing, target) == 10
    assert boundary_f1(nothing, target) == 0
    assert boundary_recall(nothing, target < 2) == 0


def test_a_hole_in_the_prediction_costs_completeness_only():
    target, predicted = step(30), step(30)
    predicted[:, 20:40] = np.nan
    predicted[:24] = step(30)[:24]
    assert dbe_acc(predicted, target) < 0.5
    assert dbe_compl(predicted, target) > 3


def test_boundary_f1_is_what_its_definition_counts():
    target, predicted = boxes(0), boxes(0) * np.float32(1.7)
    predicted[10:30] = boxes(1)[10:30]
    score = 0.0
    for threshold in THRESHOLDS:
        recall = precision = 0.0
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            here = {(y, x) for y, x in np.ndindex(target.shape) if _inside(target, y + dy, x + dx)}
            true = {p for p in here if _farther(target, p, dy, dx, threshold)}
            found = {p for p in here if _farther(predicted, p, dy, dx, threshold)}
            recall += len(true & found) / max(len(true), 1) / 4
            precision += len(true & found) / max(len(found), 1) / 4
        f1 = 2 * recall * precision / (recall + precision)
        score += f1 * threshold / THRESHOLDS.sum()
    assert 0.05 < score < 0.95
    assert boundary_f1(predicted, target) == pytest.approx(score, rel=1e-9)


def _inside(depth, y, x):
    return 0 <= y < depth.shape[0] and 0 <= x < depth.shape[1]


def _farther(depth, point, dy, dx, threshold):
    y, x = point
    return (1 / depth[y, x]) / (1 / depth[y + dy, x + dx]) > threshold


def test_sharpness_does_not_change_with_scale():
    target, predicted = boxes(2), boxes(2) + boxes(3) * np.float32(0.1)
    assert boundary_f1(4 * predicted, target) == boundary_f1(predicted, target)
    assert dbe_acc(4 * predicted, target) == dbe_acc(predicted, target)


def test_recall_takes_the_steepest_pair_of_a_slope():
    """A wide slope crosses the threshold at several pairs; the outline lies at one of them."""
    mask = np.zeros((20, 40), bool)
    mask[:, :20] = True
    row = np.ones(40, np.float32)
    row[18:22] = 1.3, 1.7, 3.4, 4.5  # steepest between columns 19 and 20
    row[22:] = 6
    depth = np.tile(row, (20, 1))
    perfect_direction = 0.25  # one of four directions has an outline here
    assert boundary_recall(depth, mask) == pytest.approx(perfect_direction)
    assert boundary_recall(np.roll(depth, 1, axis=1), mask) == 0


def test_a_matte_is_foreground_above_a_tenth():
    matte = np.where(step(30) < 2, 0.2, 0.05)
    assert boundary_recall(step(30), matte) == boundary_recall(step(30), step(30) < 2) > 0


def test_a_mask_without_outline_has_no_recall():
    assert math.isnan(boundary_recall(step(30), np.ones((48, 64), bool)))
