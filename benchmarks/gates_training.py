# SPDX-License-Identifier: Apache-2.0
"""Trains sharpeners on a metric model that is right and soft, for benchmarks/gates.py.

    sharpdepth synth output/frames --kind room --frames 8500 --seed 2 --views-per-scene 2
    python benchmarks/gates_training.py --config config/train/sharpen_demo.yaml \\
        stage.lotus=sharpdepth_ros/weights/demo/sharpener stage.gate=uniform \\
        run.output=output/train/gates_uniform
    python benchmarks/gates.py output/held_out --fit relative \\
        --model output/train/gates_uniform/checkpoint-...

It is `sharpdepth train sharpen` with the exact depth, blurred, in f_D's place, and with
--exact-generator the exact depth in the place of the teacher's generator pass. Both need labels:
this is to find out what a gate does, not a way to train.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from gates import NEAR, soften

from sharpdepth_ros.refiners.discrepancy import DepthRange
from sharpdepth_ros.training.config import load_config
from sharpdepth_ros.training.data import Batch, mirror
from sharpdepth_ros.training.run import run_training
from sharpdepth_ros.training.stages.sharpen import SharpenOptions, SharpenStage


class TaughtByTruth(SharpenStage):
    """The sharpener's training with exact depth for f_D, blurred, and for f_G where asked."""

    needs_depth = True

    def __init__(
        self, options: SharpenOptions, sigma: float, far: float, exact_generator: bool
    ) -> None:
        super().__init__(options)
        self._sigma, self._far, self._exact = sigma, far, exact_generator

    def _metric_depth(self, batch: Batch) -> torch.Tensor:
        height, width = batch.rgb.shape[-2:]
        exact = batch.depth.clamp(NEAR, self._far)
        soft = torch.stack(
            [
                torch.from_numpy(soften(depth[0].cpu().numpy(), (width, height), self._sigma))
                for depth in exact
            ]
        )[:, None].to(batch.rgb.device)
        # What the generator pass of this batch is to draw, on the range that n is on.
        self._drawn = mirror(DepthRange.of(soft).normalise(exact), batch.flip)
        return soft

    def _generate(self, image_latent: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if not self._exact:
            return super()._generate(image_latent, noise)
        return self._student.encode(self._drawn.expand(-1, 3, -1, -1))


def main() -> None:
    """Train, as the configuration says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--sigma", type=float, default=6.0, help="of the blur, pixels")
    parser.add_argument("--max-depth", type=float, default=15.0, help="metres")
    parser.add_argument("--exact-generator", action="store_true")
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    options = parser.parse_args()
    config = load_config(options.config, options.overrides, SharpenOptions)
    make = partial(
        TaughtByTruth,
        sigma=options.sigma,
        far=options.max_depth,
        exact_generator=options.exact_generator,
    )
    raise SystemExit(run_training(make, config))


if __name__ == "__main__":
    main()
