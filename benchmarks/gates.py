# SPDX-License-Identifier: Apache-2.0
"""What the gates make of a metric model that is right and soft, as the paper's is.

    sharpdepth synth output/held_out --kind room --frames 120 --seed 900001
    python benchmarks/gates.py output/held_out

The demo's metric model is hardly better in metres than its generator, so that there is little for a
gate to keep. Here f_D answers with the exact depth, its logarithm blurred. The sharpener is the
demo's, which was trained on the softness of the demo's metric model.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from sharpdepth_ros import MetricDepth, SharpDepthPipeline
from sharpdepth_ros.evaluation.datasets import Sample, open_dataset
from sharpdepth_ros.evaluation.evaluate import evaluate

NEAR = 0.2
"""Metres."""


class SoftTruth:
    """A metric model that answers with the depth that it was given, blurred."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.depth: np.ndarray | None = None

    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        height, width = rgb.shape[-2:]
        depth = cv2.resize(np.log(self.depth), (width, height), interpolation=cv2.INTER_AREA)
        depth = np.exp(cv2.GaussianBlur(depth, (0, 0), self.sigma))
        return MetricDepth(torch.from_numpy(depth)[None, None], intrinsics)


class Gates:
    """The pipeline with each gate, the aligned generator and the metric model alone."""

    methods = ("metric", "aligned", "noise-aware", "uniform", "none")
    space = "depth"

    def __init__(self, model: str, sigma: float, far: float) -> None:
        self._truth, self._far = SoftTruth(sigma), far
        self._pipeline = SharpDepthPipeline.from_pretrained(
            model, metric_model=self._truth, device="cpu", precision="fp32"
        )
        self.settings = {"model": model, "sigma": sigma, "fit": self._pipeline.fit}

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """See `evaluation.predictors.Predictor`."""
        depth = np.where(sample.valid, sample.depth, self._far).clip(NEAR, self._far)
        self._truth.depth = depth.astype(np.float32)
        return {
            method: self._pipeline(sample.rgb, sample.intrinsics, **_options(method)).depth
            for method in methods
        }


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
    parser.add_argument("--max-depth", type=float, default=15.0, help="metres")
    parser.add_argument("--output", type=Path, default=Path("output/gates"))
    options = parser.parse_args()
    samples = open_dataset("folder", options.frames, max_depth=options.max_depth)
    predictor = Gates(options.model, options.sigma, options.max_depth)
    evaluate(samples, predictor, options.output, pictures=2)
    print((options.output / "report.md").read_text())


if __name__ == "__main__":
    main()
