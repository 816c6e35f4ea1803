# SPDX-License-Identifier: Apache-2.0
"""How sharp a depth map is: depth boundary errors, and Depth Pro's boundary F1 and recall.

These look at the whole map, as their publications do: `valid` is accepted so that all metrics are
called alike, and is not used. Holes count as holes: pixels whose ground truth is not positive and
finite, and predictions that are not finite, bound no edge.
"""

import cv2
import numpy as np

from sharpdepth_ros.evaluation.canny import canny
from sharpdepth_ros.evaluation.validation import DepthMap, as_map, as_pair, is_measured

FARTHEST = 10.0
"""Pixels; a predicted edge farther from every true edge is not a match (iBims-1: max_dist_thr)."""

LEAST_DEPTH = 1e-6
"""Metres; depth below this is inverted as this (published: depth2disparity, invert_depth)."""

THRESHOLDS = np.linspace(1.05, 1.25, 10)
"""Ratios of neighbouring depths that make an occluding edge (Depth Pro); each counts in
proportion to its size."""


def dbe_acc(
    prediction: DepthMap,
    target: DepthMap,
    valid: DepthMap | None = None,
    edges: DepthMap | None = None,
) -> float:
    """Depth boundary error, accuracy: how far predicted edges lie from true ones.

    Args:
        prediction: [H, W] metres.
        target: [H, W] metres.
        valid: not used; see the module.
        edges: [H, W], true on annotated edges (iBims-1). None: the pseudo form (PDBE), against
            Canny edges of the target's depth and disparity (SharpDepth: metric.dbe_acc).

    Returns:
        Mean distance in pixels, over predicted edges that have a true edge within 10 pixels;
        10 where no predicted edge has; nan where there is no true edge.
    """
    return depth_boundary_errors(prediction, target, edges)[0]


def dbe_compl(
    prediction: DepthMap,
    target: DepthMap,
    valid: DepthMap | None = None,
    edges: DepthMap | None = None,
) -> float:
    """Depth boundary error, completeness: how far true edges lie from predicted ones.

    Arguments as for `dbe_acc`. The two publications sum differently: against annotated edges it is
    the mean over true and predicted edges of the distance to the other set, each cut at 10 pixels
    (iBims-1's toolbox); in the pseudo form the mean over true edges, not cut (SharpDepth).

    Returns:
        Mean distance in pixels; 10 where no predicted edge has a true edge within 10 pixels; nan
        where there is no true edge.
    """
    return depth_boundary_errors(prediction, target, edges)[1]


def depth_boundary_errors(
    prediction: DepthMap, target: DepthMap, edges: DepthMap | None = None
) -> tuple[float, float]:
    """`dbe_acc` and `dbe_compl` together: finding the edges is nearly all of the work."""
    true, predicted = _edge_maps(prediction, target, edges)
    if not true.any():
        return float("nan"), float("nan")
    to_true = _distance_to(true)
    matched = predicted & (to_true < FARTHEST)
    if not matched.any():
        return FARTHEST, FARTHEST
    to_predicted = _distance_to(predicted)
    accuracy = float(to_true[matched].mean())
    if edges is None:
        return accuracy, float(to_predicted[true].mean())
    both = np.concatenate([to_predicted[true], to_true[predicted]])
    return accuracy, float(np.minimum(both, FARTHEST).mean())


def boundary_f1(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Depth Pro's scale-invariant boundary F1 (boundary_metrics.py: SI_boundary_F1).

    Two neighbours are an edge where the ratio of their depths exceeds a threshold; edges match
    where they lie between the same pixels and face the same way. Averaged over four directions and
    ten thresholds; a direction in which the target has no edge counts 0, as published, so a perfect
    prediction reaches 1 only where there are edges of all four.

    Args:
        prediction: [H, W] metres.
        target: [H, W] metres, dense. Pairs of pixels that touch a hole are left out.
        valid: not used; see the module.

    Returns:
        In [0, 1], higher is sharper; nan where the target has no pair of measured neighbours.
    """
    predicted, actual = as_pair(prediction, target)
    measured = is_measured(actual)
    predicted, actual = _invert(predicted), _invert(actual)
    count = len(THRESHOLDS)
    recall, precision, pairs = np.zeros(count), np.zeros(count), 0
    for near, far in _neighbours():
        both = measured[near] & measured[far]
        pairs += int(both.sum())
        # The number of thresholds that a pair exceeds says all: one pass instead of ten.
        levels_p = _levels(predicted[near], predicted[far]) * both
        levels_a = _levels(actual[near], actual[far]) * both
        edges_p, edges_a = _exceeding(levels_p), _exceeding(levels_a)
        matched = _exceeding(np.minimum(levels_p, levels_a))
        recall += 0.25 * matched / np.maximum(edges_a, 1)
        precision += 0.25 * matched / np.maximum(edges_p, 1)
    if not pairs:
        return float("nan")
    total = recall + precision
    f1 = np.divide(2 * recall * precision, total, out=np.zeros(count), where=total > 0)
    return float(f1 @ _weights())


def boundary_recall(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Depth Pro's boundary recall against a mask (boundary_metrics.py: SI_boundary_Recall).

    Predicted edges are thinned to the steepest pair of each run, then matched with the outline of
    the foreground: it is nearer than the background.

    Args:
        prediction: [H, W] metres.
        target: [H, W] foreground: bool, or an alpha matte in [0, 1] (more than 0.1 is foreground).
        valid: not used; see the module.

    Returns:
        In [0, 1], higher is sharper; nan where the mask has no outline.
    """
    predicted = _invert(as_map(prediction, "the prediction"))
    foreground = as_map(target, "the mask") > 0.1
    if foreground.shape != predicted.shape:
        raise ValueError(
            f"the prediction is {predicted.shape} and the mask {foreground.shape} (height, width)"
        )
    recall, outline = np.zeros(len(THRESHOLDS)), 0
    for near, far in _neighbours():
        edges = foreground[near] & ~foreground[far]
        outline += int(edges.sum())
        ratio = _ratio(predicted[near], predicted[far])
        if near[0] != slice(None):  # vertical neighbours: runs go down the columns
            ratio, edges = ratio.T, edges.T
        matched = [np.count_nonzero(edges & _steepest_of_runs(ratio, t)) for t in THRESHOLDS]
        recall += 0.25 * np.array(matched) / max(np.count_nonzero(edges), 1)
    return float(recall @ _weights()) if outline else float("nan")


def _edge_maps(
    prediction: DepthMap, target: DepthMap, edges: DepthMap | None
) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted edges, bool [H, W]."""
    predicted, actual = as_pair(prediction, target)
    if edges is None:
        return _pseudo_edges(actual, is_measured(actual)), _pseudo_edges(
            predicted, np.isfinite(predicted)
        )
    true = as_map(edges, "the edges") > 0
    if true.shape != predicted.shape:
        raise ValueError(
            f"the prediction is {predicted.shape} and the edges {true.shape} (height, width)"
        )
    # iBims-1's toolbox looks for edges in depth alone and takes a depth of 0 for a hole.
    return true, _normalised_edges(predicted, np.isfinite(predicted) & (predicted != 0))


def _pseudo_edges(depth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Edges in depth, which shows far steps, or in disparity, which shows near ones."""
    return _normalised_edges(depth, known) | _normalised_edges(_invert(depth), known)


def _normalised_edges(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Canny edges of the known values mapped to [0, 1]."""
    if not known.any():
        return np.zeros(values.shape, bool)
    shifted = np.where(known, values, 0) - values[known].min()
    extent = shifted[known].max()
    if not extent > 0:
        return np.zeros(values.shape, bool)
    return canny(shifted / extent, None if known.all() else known)


def _distance_to(edges: np.ndarray) -> np.ndarray:
    """Pixels from every pixel to the nearest edge, of which there is one; float64 [H, W]."""
    away = (~edges).astype(np.uint8)
    nearest = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return nearest.astype(np.float64)


def _invert(depth: np.ndarray) -> np.ndarray:
    """Disparity; nan where the depth is not finite."""
    return 1.0 / np.where(np.isfinite(depth), depth, np.nan).clip(min=LEAST_DEPTH)


def _neighbours() -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Slices of the nearer and the farther pixel of a pair, for the four directions."""
    every, head, tail = slice(None), slice(None, -1), slice(1, None)
    across, back = (every, tail), (every, head)
    below, above = (tail, every), (head, every)
    return [(across, back), (back, across), (below, above), (above, below)]


def _ratio(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Ratio of disparities; nan where either is."""
    return near / far


def _levels(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """How many thresholds the ratio exceeds; nan exceeds none."""
    ratio = _ratio(near, far)
    levels = np.zeros(ratio.shape, np.intp)
    steep = ratio > THRESHOLDS[0]
    levels[steep] = np.searchsorted(THRESHOLDS, ratio[steep], side="left")
    return levels


def _exceeding(levels: np.ndarray) -> np.ndarray:
    """For each threshold, how many pairs exceed it."""
    counts = np.bincount(levels[levels > 0], minlength=len(THRESHOLDS) + 1)
    return counts[:0:-1].cumsum()[::-1]


def _weights() -> np.ndarray:
    return THRESHOLDS / THRESHOLDS.sum()


def _steepest_of_runs(ratio: np.ndarray, threshold: float) -> np.ndarray:
    """The largest of each run of ratios above the threshold along a row; bool, like `ratio`."""
    thin = np.zeros(ratio.shape, bool)
    rows, columns = np.nonzero(ratio > threshold)
    if not rows.size:
        return thin
    starts_run = np.ones(rows.size, bool)
    starts_run[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1] + 1)
    values = ratio[rows, columns]
    largest = np.maximum.reduceat(values, np.nonzero(starts_run)[0])
    run = starts_run.cumsum() - 1
    at_top = np.nonzero(values == largest[run])[0]
    _, first = np.unique(run[at_top], return_index=True)  # of equals, the first
    thin[rows[at_top[first]], columns[at_top[first]]] = True
    return thin
