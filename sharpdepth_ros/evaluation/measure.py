# SPDX-License-Identifier: Apache-2.0
"""All metrics of one prediction, with shared work done once."""

from collections.abc import Sequence

import numpy as np

from sharpdepth_ros.evaluation.boundaries import depth_boundary_errors
from sharpdepth_ros.evaluation.datasets.base import DepthDataset, Sample
from sharpdepth_ros.evaluation.metrics import ACCURACY, METRICS, SHARPNESS


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
