# SPDX-License-Identifier: Apache-2.0
"""What every metric accepts: depth maps as numpy arrays or torch tensors, checked once."""

import numpy as np
import torch

DepthMap = np.ndarray | torch.Tensor


def as_map(values: DepthMap, what: str) -> np.ndarray:
    """A depth map as a floating-point numpy array [H, W]; leading axes of length 1 are dropped.

    Raises:
        ValueError: the map has another shape.
    """
    array = (
        values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    )
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise ValueError(f"{what} has shape {array.shape}; metrics take one map [height, width]")
    wide_enough = np.issubdtype(array.dtype, np.floating) and array.dtype.itemsize >= 4
    return array if wide_enough else array.astype(np.float32)


def as_pair(prediction: DepthMap, target: DepthMap) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and target as arrays [H, W] of the same size."""
    predicted, actual = as_map(prediction, "the prediction"), as_map(target, "the target")
    if predicted.shape != actual.shape:
        raise ValueError(
            f"the prediction is {predicted.shape} and the target {actual.shape} (height, width); "
            "resize the prediction to the target before measuring"
        )
    return predicted, actual


def is_measured(depth: np.ndarray) -> np.ndarray:
    """Where a ground truth holds a measurement: finite and positive; bool [H, W]."""
    return np.isfinite(depth) & (depth > 0)
