# SPDX-License-Identifier: Apache-2.0
"""The metrics of depth estimation, each a function (prediction, target, valid) -> float.

Accuracy, of pixels (this module; names and formulas as in SharpDepth's and Marigold's metric.py):

- Pixels that count are those in `valid` (None: all) whose target is finite and positive.
- No such pixel: the result is nan.
- A prediction that is not finite is a missing one: wrong for delta1 to delta3, left out of the
  others. `coverage` says how much was there.
- A prediction of zero or less is a wrong one: delta counts it as wrong; metrics that take its
  logarithm or inverse take 1 mm instead.

Sharpness, of edges: dbe_acc, dbe_compl, boundary_f1, boundary_recall (see boundaries.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sharpdepth_ros.evaluation.boundaries import boundary_f1, boundary_recall, dbe_acc, dbe_compl
from sharpdepth_ros.evaluation.validation import DepthMap, as_map, as_pair, is_measured

LEAST_PREDICTION = 1e-3
"""Metres; logarithms and inverses take this for a smaller prediction."""

Metric = Callable[[DepthMap, DepthMap, DepthMap | None], float]


def abs_relative_difference(
    prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None
) -> float:
    """AbsRel: mean of |p - t| / t."""
    p, t = _present(prediction, target, valid)
    return _mean(np.abs(p - t) / t)


def squared_relative_difference(
    prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None
) -> float:
    """SqRel: mean of (p - t)^2 / t, metres."""
    p, t = _present(prediction, target, valid)
    return _mean((p - t) ** 2 / t)


def rmse_linear(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """RMSE: root of the mean of (p - t)^2, metres."""
    p, t = _present(prediction, target, valid)
    return _root_mean_square(p - t)


def rmse_log(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """RMSE log: root of the mean of (ln p - ln t)^2."""
    return _root_mean_square(_log_difference(prediction, target, valid))


def log10(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Mean of |log10 p - log10 t|."""
    return _mean(np.abs(_log_difference(prediction, target, valid))) / np.log(10.0)


def i_rmse(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """iRMSE: root of the mean of (1/p - 1/t)^2, 1/metres (KITTI's server prints 1/km)."""
    p, t = _present(prediction, target, valid)
    return _root_mean_square(1 / np.maximum(p, LEAST_PREDICTION) - 1 / t)


def silog_rmse(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """SILog: 100 times the standard deviation of ln p - ln t; no scale of p changes it."""
    difference = _log_difference(prediction, target, valid)
    return 100 * _root_mean_square(difference - _mean(difference))


def delta1_acc(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Share of pixels with max(p / t, t / p) < 1.25."""
    return _share_within(1.25, prediction, target, valid)


def delta2_acc(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Share of pixels with max(p / t, t / p) < 1.25^2."""
    return _share_within(1.25**2, prediction, target, valid)


def delta3_acc(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Share of pixels with max(p / t, t / p) < 1.25^3."""
    return _share_within(1.25**3, prediction, target, valid)


def coverage(prediction: DepthMap, target: DepthMap, valid: DepthMap | None = None) -> float:
    """Share of the pixels that count for which there is a finite prediction."""
    p, _ = _counted(prediction, target, valid)
    return _mean(np.isfinite(p))


@dataclass(frozen=True)
class MetricInfo:
    """A metric as tables show it.

    Attributes:
        function: (prediction, target, valid) -> float.
        title: of its column, with the unit.
        higher_is_better: else lower is.
    """

    function: Metric
    title: str
    higher_is_better: bool = False


ACCURACY = {
    "delta1_acc": MetricInfo(delta1_acc, "delta1", True),
    "delta2_acc": MetricInfo(delta2_acc, "delta2", True),
    "delta3_acc": MetricInfo(delta3_acc, "delta3", True),
    "abs_relative_difference": MetricInfo(abs_relative_difference, "AbsRel"),
    "squared_relative_difference": MetricInfo(squared_relative_difference, "SqRel [m]"),
    "rmse_linear": MetricInfo(rmse_linear, "RMSE [m]"),
    "rmse_log": MetricInfo(rmse_log, "RMSE log"),
    "log10": MetricInfo(log10, "log10"),
    "i_rmse": MetricInfo(i_rmse, "iRMSE [1/m]"),
    "silog_rmse": MetricInfo(silog_rmse, "SILog"),
    "coverage": MetricInfo(coverage, "coverage", True),
}
SHARPNESS = {
    "dbe_acc": MetricInfo(dbe_acc, "DBE acc [px]"),
    "dbe_compl": MetricInfo(dbe_compl, "DBE compl [px]"),
    "boundary_f1": MetricInfo(boundary_f1, "boundary F1", True),
}
RECALL = {"boundary_recall": MetricInfo(boundary_recall, "boundary recall", True)}
METRICS = ACCURACY | SHARPNESS | RECALL


def _counted(
    prediction: DepthMap, target: DepthMap, valid: DepthMap | None
) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and target at the pixels that count; float64 [N]."""
    p, t = as_pair(prediction, target)
    counts = is_measured(t)
    if valid is not None:
        mask = as_map(valid, "the valid mask") > 0
        if mask.shape != t.shape:
            raise ValueError(
                f"the valid mask is {mask.shape} and the target {t.shape} (height, width)"
            )
        counts &= mask
    return p[counts].astype(np.float64), t[counts].astype(np.float64)


def _present(
    prediction: DepthMap, target: DepthMap, valid: DepthMap | None
) -> tuple[np.ndarray, np.ndarray]:
    """As `_counted`, without missing predictions."""
    p, t = _counted(prediction, target, valid)
    there = np.isfinite(p)
    return p[there], t[there]


def _log_difference(prediction: DepthMap, target: DepthMap, valid: DepthMap | None) -> np.ndarray:
    p, t = _present(prediction, target, valid)
    return np.log(np.maximum(p, LEAST_PREDICTION)) - np.log(t)


def _share_within(
    factor: float, prediction: DepthMap, target: DepthMap, valid: DepthMap | None
) -> float:
    p, t = _counted(prediction, target, valid)
    # Products instead of ratios: no division by zero, and false for nan and for p <= 0.
    return _mean((p < factor * t) & (t < factor * p))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(_mean(values**2)))
