# SPDX-License-Identifier: Apache-2.0
"""Times every evaluation metric at 1920 x 1080: python benchmarks/metrics.py"""

import argparse
import statistics
import time

import cv2
import numpy as np
from machine import describe

from sharpdepth_ros.evaluation.boundaries import depth_boundary_errors
from sharpdepth_ros.evaluation.metrics import METRICS


def main() -> None:
    """Print the median time of each metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    target, prediction = scene(options.height, options.width)
    valid = np.random.default_rng(0).random(target.shape) > 0.05
    calls = {
        name: lambda f=metric.function, t=(target < 4 if name == "boundary_recall" else target): f(
            prediction, t, valid
        )
        for name, metric in METRICS.items()
    }
    calls["dbe_acc and dbe_compl together"] = lambda: depth_boundary_errors(prediction, target)
    print(f"{options.width} x {options.height}, median of {options.repeats}; {describe()}\n")
    print("| metric | ms |\n| --- | --- |")
    for name, call in calls.items():
        call()
        print(f"| {name} | {median_ms(call, options.repeats):.0f} |")


def scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth of 200 boxes before a slanted wall, and a blurred, noisy prediction of it."""
    rng = np.random.default_rng(0)
    target = np.tile(np.linspace(5, 9, width, dtype=np.float32), (height, 1))
    for _ in range(200):
        y, x = rng.integers(0, height), rng.integers(0, width)
        h, w = rng.integers(1, height // 3), rng.integers(1, width // 3)
        target[y : y + h, x : x + w] = rng.uniform(0.5, 9)
    noise = rng.normal(0, 0.02, target.shape).astype(np.float32)
    return target, cv2.GaussianBlur(target, (0, 0), 1.0) + noise


def median_ms(call, repeats: int) -> float:
    """Median duration in milliseconds."""
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return 1000 * statistics.median(durations)


if __name__ == "__main__":
    main()
