# SPDX-License-Identifier: Apache-2.0
"""A small plain-folder data set and predictors without networks."""

import cv2
import numpy as np
import pytest

from sharpdepth_ros.evaluation.datasets import open_dataset

SIZE = (48, 64)


def _boxes(seed: int) -> np.ndarray:
    """Depth of a wall with boxes before it, float32 [48, 64] metres."""
    rng = np.random.default_rng(seed)
    depth = np.full(SIZE, 6.0, np.float32)
    for _ in range(4):
        y, x = rng.integers(0, 36), rng.integers(0, 50)
        depth[y : y + rng.integers(6, 20), x : x + rng.integers(6, 20)] = rng.uniform(1, 5)
    return depth


class SyntheticPredictor:
    """Method "sharp" is off by a few percent that grow with the sample, "blurred" is smeared."""

    methods = ("sharp", "blurred")
    space = "depth"

    def __init__(self, version: int = 1, fail_at: str | None = None):
        self.settings = {"version": version}
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self._fail_at = fail_at

    def predict(self, sample, methods):
        if sample.name == self._fail_at:
            raise RuntimeError("the power went out")
        self.asked.append((sample.name, tuple(methods)))
        factor = np.float32(1 + 0.03 * (1 + int(sample.name[-1])))
        answers = {
            "sharp": sample.depth * factor,
            "blurred": cv2.GaussianBlur(sample.depth, (0, 0), 3),
        }
        return {method: answers[method] for method in methods}


@pytest.fixture
def folder(tmp_path):
    """Root of a plain folder with six samples frame_0 to frame_5, depth in metres."""
    root = tmp_path / "recording"
    (root / "rgb").mkdir(parents=True)
    (root / "depth").mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        cv2.imwrite(str(root / f"rgb/frame_{i}.png"), rng.integers(0, 255, (*SIZE, 3), np.uint8))
        np.save(root / f"depth/frame_{i}.npy", _boxes(i))
    return root


@pytest.fixture
def dataset(folder):
    """The data set of `folder`."""
    return open_dataset("folder", folder)


@pytest.fixture
def boxes():
    """The depth of the data set's sample number `seed`, as a function of it."""
    return _boxes


@pytest.fixture
def make_predictor():
    """The class above."""
    return SyntheticPredictor
