# SPDX-License-Identifier: Apache-2.0
"""Brings a prediction to the ground truth's scale before it is measured, where that is asked."""

from typing import Literal, get_args

import numpy as np
import torch

from sharpdepth_ros.pipeline.alignment import align_least_squares

AlignmentMethod = Literal["none", "median", "least-squares", "least-squares-disparity"]
PredictionSpace = Literal["depth", "disparity"]


def align_prediction(
    prediction: np.ndarray,
    target: np.ndarray,
    valid: np.ndarray,
    method: AlignmentMethod = "none",
    space: PredictionSpace = "depth",
) -> np.ndarray:
    """Fit a prediction to the ground truth, on valid pixels.

    Args:
        prediction: float32 [H, W], depth or disparity up to what the method fits.
        target: float32 [H, W] metres.
        valid: bool [H, W].
        method: "none": metric depth as it is; "median": one factor, the ratio of medians;
            "least-squares": scale and shift of depth; "least-squares-disparity": scale and shift
            of disparity, against 1 / target (published: align_depth_least_square, eval.py).
        space: what the prediction is. It is inverted first where the method works in the other.

    Returns:
        float32 [H, W] metres; the prediction in metres, not fitted, without a valid pixel.
    """
    if method not in get_args(AlignmentMethod):
        raise ValueError(
            f"alignment {method!r} is not one of {', '.join(get_args(AlignmentMethod))}"
        )
    if space not in get_args(PredictionSpace):
        raise ValueError(f"space {space!r} is not one of {', '.join(get_args(PredictionSpace))}")
    fit_space = "disparity" if method == "least-squares-disparity" else "depth"
    given = prediction if space == fit_space else _inverse(prediction)
    usable = valid & np.isfinite(given)
    if fit_space == "disparity":
        usable &= given > 0  # as published
    if method == "none" or not usable.any():
        return given if fit_space == "depth" else _inverse(given)
    if method == "median":
        return given * np.float32(np.median(target[usable]) / np.median(given[usable]))
    batches = (
        torch.from_numpy(np.ascontiguousarray(a))[None, None] for a in (given, target, usable)
    )
    affine, metric, mask = batches
    # The fit is applied even where it is degenerate, as published: a bad fit is a bad score.
    return align_least_squares(affine, metric, mask, fit_space).apply(affine)[0, 0].numpy()


def _inverse(values: np.ndarray) -> np.ndarray:
    """One over positive values, nan elsewhere."""
    return np.divide(1, values, out=np.full_like(values, np.nan), where=values > 0)
