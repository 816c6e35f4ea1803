# SPDX-License-Identifier: Apache-2.0
"""What the gates make of a metric model that is right and soft, as the paper's is.

    sharpdepth synth output/held_out --kind room --frames 120 --seed 900001
    python benchmarks/gates.py output/held_out

The demo's metric model is hardly better in metres than its generator, so that there is little for a
gate to keep. Here f_D answers with the exact depth, its logarithm blurred. The sharpener is the
demo's, which was trained on the softness of the demo's metric model, or one of gates_training.py,
which was trained on this one. With --exact-generator f_G is right as well: the two then disagree
where f_D is soft, and nowhere else.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch

from sharpdepth_ros import MetricDepth, SharpDepthPipeline
from sharpdepth_ros.evaluation.datasets import Sample, open_dataset
from sharpdepth_ros.evaluation.evaluate import evaluate
from sharpdepth_ros.models.generator import Fit, Space

NEAR = 0.2
"""Metres."""

EDGE_REACH = 12
"""Pixels: how far the blur reaches at 320x240."""


class SoftTruth:
    """A metric model that answers with the depth that it was given, blurred."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.depth: np.ndarray | None = None

    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        height, width = rgb.shape[-2:]
        depth = soften(self.depth, (width, height), self.sigma)
        return MetricDepth(torch.from_numpy(depth)[None, None], intrinsics)


class SharpTruth:
    """A generator that answers with the depth that it was given, sharp and exact."""

    space: Space = "depth"
    stride = 1
    max_steps = 1
    processing_resolution = 160
    fit: Fit = "least-squares"
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.depth: np.ndarray | None = None

    def noise_shape(self, height: int, width: int) -> None:
        """It starts from no noise."""

    def draw(self, rgb: torch.Tensor, noise: None, steps: int) -> torch.Tensor:
        """See `DepthGenerator`."""
        height, width = rgb.shape[-2:]
        depth = cv2.resize(self.depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        depth = torch.from_numpy(depth)[None, None]
        return (depth - depth.min()) / (depth.max() - depth.min())


def soften(depth: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """Depth at `size`, columns and rows, its logarithm blurred."""
    depth = cv2.resize(np.log(depth), size, interpolation=cv2.INTER_AREA)
    return np.exp(cv2.GaussianBlur(depth, (0, 0), sigma))


def near_edges(depth: np.ndarray) -> np.ndarray:
    """bool [H, W]: within `EDGE_REACH` pixels of a step of 15 percent in the depth."""
    logarithm, beside = np.log(depth), np.ones((3, 3), np.uint8)
    step = cv2.dilate(logarithm, beside) - cv2.erode(logarithm, beside) > np.log(1.15)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * EDGE_REACH + 1,) * 2)
    return cv2.dilate(step.astype(np.uint8), disc) > 0


class Gates:
    """The pipeline with each gate, the aligned generator and the metric model alone."""

    methods = ("metric", "aligned", "noise-aware", "uniform", "none")
    space = "depth"

    def __init__(
        self, model: str, sigma: float, far: float, fit: Fit | None = None, exact: bool = False
    ) -> None:
        self._truth, self._sharp, self._far = SoftTruth(sigma), SharpTruth(), far
        self._pipeline = SharpDepthPipeline.from_pretrained(
            model, metric_model=self._truth, device="cpu", precision="fp32"
        )
        self._fit = fit or self._pipeline.fit
        if exact:
            self._pipeline = SharpDepthPipeline(self._pipeline.sharpener, self._truth, self._sharp)
        self.settings = {"model": model, "sigma": sigma, "fit": self._fit, "exact": exact}
        self.noise: list[tuple[float, float, float]] = []

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """See `evaluation.predictors.Predictor`."""
        depth = np.where(sample.valid, sample.depth, self._far).clip(NEAR, self._far)
        depth = self._truth.depth = self._sharp.depth = depth.astype(np.float32)
        outputs = {
            method: self._pipeline(sample.rgb, sample.intrinsics, fit=self._fit, **_options(method))
            for method in methods
        }
        if "noise-aware" in outputs:
            noise, edge = outputs["noise-aware"].discrepancy, near_edges(depth)
            self.noise.append((noise.mean(), noise[edge].sum() / noise.sum(), edge.mean()))
        return {method: output.depth for method, output in outputs.items()}


def _options(method: str) -> dict[str, str]:
    return {"mode": method} if method in ("metric", "aligned") else {"gate": method}


def main() -> None:
    """Write a result as `sharpdepth evaluate` does, and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frames", type=Path, help="of `sharpdepth synth`")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sigma", type=float, default=6.0, help="of the blur, processing pixels")
    parser.add_argument(
        "--exact-generator", action="store_true", help="f_G answers with the exact depth, sharp"
    )
    parser.add_argument("--fit", choices=get_args(Fit), help="default: as the model says")
    parser.add_argument("--max-depth", type=float, default=15.0, help="metres")
    parser.add_argument("--output", type=Path, default=Path("output/gates"))
    options = parser.parse_args()
    samples = open_dataset("folder", options.frames, max_depth=options.max_depth)
    predictor = Gates(
        options.model, options.sigma, options.max_depth, options.fit, options.exact_generator
    )
    evaluate(samples, predictor, options.output, pictures=2)
    print((options.output / "report.md").read_text())
    if predictor.noise:  # none where the results were there already
        mean, share, pixels = np.mean(predictor.noise, axis=0)
        print(
            f"The noise-aware gate: {mean:.3f} of noise on a pixel, {share:.0%} of it within "
            f"{EDGE_REACH} pixels of an edge of the exact depth, as {pixels:.0%} of the pixels."
        )


if __name__ == "__main__":
    main()
