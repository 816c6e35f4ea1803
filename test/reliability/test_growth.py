# SPDX-License-Identifier: Apache-2.0
"""The judge of memory growth, on series whose growth is known."""

import numpy as np
import pytest

from .growth import growth

N = 600
FRAMES = np.arange(N) * 10.0


def noise(rng):
    return rng.standard_normal(N)


def slow_noise(rng):
    """Each sample is 0.9 of the one before and something new."""
    fresh, values = rng.standard_normal(N), np.zeros(N)
    for i in range(1, N):
        values[i] = 0.9 * values[i - 1] + fresh[i]
    return values


def steps(rng):
    """An allocator: a few steps up and down that stay."""
    return np.cumsum((rng.random(N) < 0.02) * rng.standard_normal(N)) + 0.05 * noise(rng)


def walk(rng):
    return np.cumsum(rng.standard_normal(N))


@pytest.mark.parametrize("series", [noise, slow_noise, steps, walk])
def test_a_series_without_growth_is_rarely_said_to_grow(series):
    rng = np.random.default_rng(0)
    told = sum(not growth(FRAMES, series(rng)).is_zero for _ in range(300))
    assert told <= 0.13 * 300  # 95 % intervals; the means of a walk's spans lean on each other


@pytest.mark.parametrize("series", [noise, slow_noise, steps])
def test_a_leak_is_found_and_lies_in_the_interval(series):
    rng = np.random.default_rng(1)
    leak = 0.05  # per frame: 300 over the whole, where the noise is 1
    found = [growth(FRAMES, series(rng) + leak * FRAMES) for _ in range(100)]
    assert all(g.low > 0 for g in found)
    assert sum(g.low <= leak <= g.high for g in found) >= 87


def test_what_happens_in_the_warm_up_does_not_count():
    warming = np.where(FRAMES < 1000, FRAMES, 1000)
    assert growth(FRAMES, warming, warm_up=0).rate > 0.1
    assert growth(FRAMES, warming).rate == 0


def test_too_few_samples_are_no_answer():
    with pytest.raises(ValueError, match="15 samples after the warm-up; growth needs 24"):
        growth(range(20), range(20))
