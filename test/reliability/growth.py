# SPDX-License-Identifier: Apache-2.0
"""How fast a series grows, and whether that can be told from zero.

The memory of a process moves in steps that stay (an arena more, a page fewer), so its samples are
anything but independent: a straight line through random steps has a slope that ordinary errors, a
block bootstrap and Newey-West all call significant in more than half of the cases. What is
independent are the changes. So the series is averaged over equal spans, the growth is the mean
change from one span to the next, and Student's t over those changes gives its interval. That is
right for a random walk and too wide, never too narrow, for noise around a level; the intervals'
error rates are measured in test_growth.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Spans that a series is averaged over.
SPANS = 12


@dataclass(frozen=True)
class Growth:
    """Growth per unit of x, and the 95 % interval it lies in."""

    rate: float
    low: float
    high: float

    @property
    def is_zero(self) -> bool:
        """Whether it cannot be told from zero."""
        return self.low <= 0 <= self.high


def growth(x: Sequence[float], y: Sequence[float], warm_up: float = 0.25) -> Growth:
    """The growth of y per unit of x.

    Args:
        x: what it may grow with, rising: frames, or cycles.
        y: the series, e.g. bytes.
        warm_up: share of the samples at the beginning that is left out.

    Raises:
        ValueError: fewer than two samples for each span.
    """
    x, y = (np.asarray(values, np.float64)[int(len(values) * warm_up) :] for values in (x, y))
    if len(x) < 2 * SPANS:
        raise ValueError(f"{len(x)} samples after the warm-up; growth needs {2 * SPANS} or more")
    steps_x, steps_y = (
        np.diff([part.mean() for part in np.array_split(values, SPANS)]) for values in (x, y)
    )
    rate = steps_y.sum() / steps_x.sum()
    unexplained = steps_y - rate * steps_x
    n = len(unexplained)
    error = np.sqrt((unexplained @ unexplained) / (n - 1) * n) / steps_x.sum()
    reach = stats.t.ppf(0.975, n - 1) * error
    return Growth(rate, rate - reach, rate + reach)
