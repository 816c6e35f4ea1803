# SPDX-License-Identifier: Apache-2.0
"""All metrics of one prediction, with shared work done once."""

from collections.abc import Sequence

import numpy as np

from sharpdepth_ros.evaluation.boundaries import depth_boundary_errors
from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample
from sharpdepth_ros.evaluation.metrics import ACCURACY, METRICS, SHARPNESS
from sharpdepth_ros.evaluation.validation import is_measured

LARGEST_RATIO = 30.0
"""Of the medians of prediction and ground truth, or its inverse; other units differ by more."""


def default_metrics(dataset: DepthDataset) -> list[str]:
    """Accuracy always, sharpness where the ground truth is dense."""
    return [*ACCURACY, *(SHARPNESS if dataset.dense else ())]


def check_metrics(names: Sequence[str]) -> None:
    """Refuse names that no metric of depth has.

    Raises:
        ValueError: names the unknown ones and all known ones.
    """
    known = [*ACCURACY, *SHARPNESS]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"metrics {', '.join(unknown)} are not known; known: {', '.join(known)}")


def measure(prediction: np.ndarray, sample: Sample, metrics: Sequence[str]) -> dict[str, float]:
    """Metrics of a prediction.

    Args:
        prediction: float32 [H, W] metres.
        sample: the ground truth; annotated edges, where it has them, are those of the DBE.
        metrics: names.
    """
    values = {}
    if {"dbe_acc", "dbe_compl"} & set(metrics):
        errors = depth_boundary_errors(prediction, sample.depth, sample.edges)
        values["dbe_acc"], values["dbe_compl"] = errors
    for name in metrics:
        if name not in values:
            values[name] = METRICS[name].function(prediction, sample.depth, sample.valid)
    return {name: values[name] for name in metrics}


def remark_on(prediction: np.ndarray, sample: Sample) -> str:
    """What makes the numbers of a sample mean little, as "what: details"; empty for nothing.

    Args:
        prediction: float32 [H, W] metres, aligned.
        sample: the ground truth.
    """
    measured = is_measured(sample.depth)
    if not measured.any():
        return "the ground truth is empty: no pixel is positive and finite"
    counted = measured & sample.valid
    if not counted.any():
        near, far = sample.depth[measured].min(), sample.depth[measured].max()
        return (
            f"no pixel of the ground truth counts: it is from {near:.4g} to {far:.4g} m, and the "
            "data set's range, crop and masks leave nothing of it"
        )
    predicted = prediction[counted & np.isfinite(prediction)]
    if not predicted.size:
        return "the prediction is empty: it is finite nowhere where the ground truth counts"
    if predicted.size > 1 and np.ptp(predicted) == 0:
        return f"the prediction is constant: {predicted[0]:.4g} m everywhere"
    found, truth = float(np.median(predicted)), float(np.median(sample.depth[counted]))
    if not truth / LARGEST_RATIO < found < truth * LARGEST_RATIO:
        return (
            "prediction and ground truth are hardly both in metres: their medians are "
            f"{found:.4g} and {truth:.4g}"
        )
    return ""
