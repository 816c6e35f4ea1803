# SPDX-License-Identifier: Apache-2.0
"""What each preset costs in accuracy and sharpness, and what it gains in speed, on known depth.

    python benchmarks/presets.py output/held_out [--model output/train/sharpen_demo \
        --metric-model output/train/metric --tiny-vae output/train/tiny_vae]

The frames were written by `sharpdepth synth` with a seed that no training used; with --video they
follow a camera, and then the presets whose generator pass serves several frames are measured as
they work. Without it every frame is another scene, for which a new pass is made.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from machine import describe

from sharpdepth_ros import SharpDepthPipeline, load_metric_model
from sharpdepth_ros.evaluation import metrics
from sharpdepth_ros.pipeline.presets import PRESETS, Preset
from sharpdepth_ros.synthetic import read_frame
from sharpdepth_ros.training.diffusers_folder import find_checkpoint

MEASURES = {
    "delta1": metrics.delta1_acc,
    "AbsRel": metrics.abs_relative_difference,
    "DBE_acc": metrics.dbe_acc,
    "DBE_compl": metrics.dbe_compl,
    "boundary F1": metrics.boundary_f1,
}
APART = {
    "tiny VAE: discrepancy": Preset(tiny_vae="discrepancy"),
    "tiny VAE: decoders": Preset(tiny_vae="decoders"),
    "tiny VAE: always": Preset(tiny_vae="always"),
    "resolution x 0.75": Preset(resolution_scale=0.75),
    "generator every 2nd": Preset(generator_every=2),
    "generator every 3rd": Preset(generator_every=3),
}
"""Each measure of the presets by itself."""


def main() -> None:
    """Print the table, and keep it where --output says."""
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[options.clock]
    metric = load_metric_model(
        find_checkpoint(options.metric_model, "metric"), device=options.device
    )
    runs = {f"**{name}**": _pipeline(options, metric, preset) for name, preset in PRESETS.items()}
    runs |= {name: _pipeline(options, metric, preset) for name, preset in APART.items()}
    runs["f_D alone"] = _pipeline(options, metric, Preset(), mode="metric")

    numbers = sorted(int(p.stem) for p in (options.frames / "frames").glob("*.json"))
    numbers = numbers[:: options.step][: options.count]
    rows: dict[str, list[list[float]]] = {name: [] for name in runs}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in [numbers[0], *numbers]:  # the first is the warm-up
        frame = read_frame(options.frames, number)
        target = np.minimum(frame.depth, options.max_depth)
        near = frame.depth < options.max_depth
        for name, run in runs.items():
            begun = clock()
            depth = run(frame)
            taken[name].append((clock() - begun) * 1e3)
            depth = np.minimum(depth, options.max_depth)
            rows[name].append([measure(depth, target, near) for measure in MEASURES.values()])
    lines = [
        f"{describe()}; {options.device}, {torch.get_num_threads()} threads, {options.precision}; "
        f"{'CPU' if options.clock == 'cpu' else 'wall'} time",
        f"{len(numbers)} frames, longest edge {options.resolution or 'as trained'}",
        "",
        "| | ms | " + " | ".join(MEASURES) + " |",
        "| --- |" + " ---: |" * (len(MEASURES) + 1),
    ]
    for name, values in rows.items():
        means = np.nanmean(values[1:], axis=0)
        # The mean: with a pass on every n-th frame the median is one of two numbers.
        cells = [f"{statistics.fmean(taken[name][1:]):.1f}", *(f"{mean:.3f}" for mean in means)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frames", type=Path)
    parser.add_argument("--model", default="demo", help="a name, or the folder of a training")
    parser.add_argument("--metric-model", default="demo", help="likewise")
    parser.add_argument("--tiny-vae", help="likewise; the model's own if left out")
    parser.add_argument("--count", type=int, default=100, help="frames to measure")
    parser.add_argument("--step", type=int, default=1, help="every n-th frame; 1 for a video")
    parser.add_argument("--resolution", type=int, help="longest edge, pixels; the model's own")
    parser.add_argument("--max-depth", type=float, default=15.0, help="metres")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--output", type=Path, help="a file of benchmarks/results")
    return parser.parse_args()


def _pipeline(options, metric, preset: Preset, mode: str = "sharpdepth") -> Callable:
    pipe = SharpDepthPipeline.from_pretrained(
        find_checkpoint(options.model, "sharpener", "generator"),
        metric_model=metric,
        device=options.device,
        precision=options.precision,
        preset=preset,
        tiny_vae=options.tiny_vae and find_checkpoint(options.tiny_vae, "tiny-vae"),
    )
    memory = pipe.new_memory()

    def run(frame) -> np.ndarray:
        out = pipe(
            frame.rgb,
            frame.intrinsics,
            mode=mode,
            processing_resolution=options.resolution,
            memory=memory,
        )
        return out.depth

    return run


if __name__ == "__main__":
    main()
