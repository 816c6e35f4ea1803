# SPDX-License-Identifier: Apache-2.0
"""Measures a trained stack on held-out synthetic frames: the table of the demo's model card.

    python scripts/evaluate_stack.py FRAMES --metric-model DIR --lotus DIR --sharpener DIR \
        [--variant NAME=DIR ...] [--pictures OUT.png]

FRAMES was written by `sharpdepth synth` with a seed that no training used. A variant named
"uniform" is run with the uniform gate that it was trained with.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from sharpdepth_ros import SharpDepthPipeline, load_metric_model
from sharpdepth_ros.evaluation import metrics
from sharpdepth_ros.export.colormap import colorize_depth
from sharpdepth_ros.export.depth_files import write_rgb
from sharpdepth_ros.pipeline.discrepancy import gate_latent
from sharpdepth_ros.synthetic import read_frame
from sharpdepth_ros.training.checkpoint_folder import last_checkpoint
from sharpdepth_ros.training.gating import gate_strength

MEASURES = {
    "delta1": metrics.delta1_acc,
    "AbsRel": metrics.abs_relative_difference,
    "DBE_acc": metrics.dbe_acc,
    "DBE_compl": metrics.dbe_compl,
    "boundary F1": metrics.boundary_f1,
}


def main() -> None:
    """Print the table; draw the pictures where they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("--metric-model", type=Path, required=True)
    parser.add_argument("--lotus", type=Path, required=True)
    parser.add_argument("--sharpener", type=Path)
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--count", type=int, default=100, help="frames to measure")
    parser.add_argument("--resolution", type=int, default=192, help="longest edge, pixels")
    parser.add_argument("--max-depth", type=float, default=15.0, help="metres")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()

    metric = load_metric_model(last_checkpoint(options.metric_model), device="cpu")
    rows = _rows(options, metric)
    numbers = sorted(int(p.stem) for p in (options.frames / "frames").glob("*.json"))
    numbers = numbers[:: max(1, len(numbers) // options.count)][: options.count]
    table = {name: [] for name in rows}
    pictures = []
    for number in numbers:
        frame = read_frame(options.frames, number)
        # What is farther than the models were taught, and the sky, is one far plane.
        target = np.minimum(frame.depth, options.max_depth)
        near = frame.depth < options.max_depth
        strip = [frame.rgb, colorize_depth(target)]
        for name, run in rows.items():
            depth = np.minimum(run(frame), options.max_depth)
            table[name].append([measure(depth, target, near) for measure in MEASURES.values()])
            strip.append(colorize_depth(depth))
        pictures.append(np.concatenate(strip, axis=1))
    print(f"{len(numbers)} frames of {options.frames}, longest edge {options.resolution}")
    print("| | " + " | ".join(MEASURES) + " |")
    print("| --- |" + " --- |" * len(MEASURES))
    for name, values in table.items():
        print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in np.nanmean(values, axis=0)) + " |")
    if options.pictures is not None:
        chosen = pictures[:: max(1, len(pictures) // 8)][:8]
        write_rgb(options.pictures, np.concatenate(chosen, axis=0))


def _rows(options: argparse.Namespace, metric) -> dict[str, Callable]:
    """The methods to compare, each a function from a frame to metres [H, W]."""

    def method(folder: Path, mode: str, gate: str = "noise-aware") -> Callable:
        pipe = SharpDepthPipeline.from_pretrained(
            last_checkpoint(folder), metric_model=metric, device="cpu"
        )

        def run(frame) -> np.ndarray:
            with _gated(gate):
                out = pipe(
                    frame.rgb,
                    frame.intrinsics,
                    mode=mode,
                    processing_resolution=options.resolution,
                )
            return out.depth

        return run

    rows = {
        "metric model": method(options.lotus, "metric"),
        "metric-aligned Lotus": method(options.lotus, "aligned"),
    }
    if options.sharpener is not None:
        rows["SharpDepth"] = method(options.sharpener, "sharpdepth")
    for variant in options.variant:
        name, _, folder = variant.partition("=")
        rows[name] = method(
            Path(folder), "sharpdepth", "uniform" if name == "uniform" else "noise-aware"
        )
    return rows


@contextmanager
def _gated(gate: str) -> Iterator[None]:
    """The pipeline with another gate; it has the noise-aware one alone, as released."""

    def other(discrepancy, renoised, metric_latent, stride):
        return gate_latent(gate_strength(gate, discrepancy), renoised, metric_latent, stride)

    with mock.patch("sharpdepth_ros.pipeline.sharpdepth.gate_latent", other):
        yield


if __name__ == "__main__":
    main()
