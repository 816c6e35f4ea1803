# SPDX-License-Identifier: Apache-2.0
"""Time of a frame and of its stages, beside the released arrangement and the floor.

    python benchmarks/pipeline.py                          # the demo's sizes
    python benchmarks/pipeline.py --size released --resolution 192 --frames 3       # on a CPU
    python benchmarks/pipeline.py --size released --cuda-graphs --compile --batches 1,2,4,8
    python benchmarks/pipeline.py --clock cpu --threads 1       # on a machine that is not quiet

Weights are random. Every arrangement runs once in each round, so that what else the machine does
falls on all of them; times are medians over the rounds. The floor is the frame's multiply-adds
(counted by torch, two operations each) at the rate that one large matrix product reaches in the
same precision in the same run.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from machine import describe
from released_arrangement import ReleasedArrangement
from stacks import STACKS, Stack
from torch.utils.flop_counter import FlopCounterMode

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.models.device import resolve_device, resolve_precision
from sharpdepth_ros.pipeline.engine import EngineOptions
from sharpdepth_ros.pipeline.presets import PRESETS

CLOCKS = {
    "wall": (time.perf_counter, "the clock on the wall"),
    "cpu": (time.process_time, "frames by the process' CPU time, stages by the clock on the wall"),
}
"""By name: the clock that a frame is measured with, and what the result says of it."""

STAGES = ("preprocess", "metric", "encode", "generate", "gate", "sharpen", "align", "download")
Frame = Callable[[], dict[str, float]]


def main() -> None:
    """Print the tables, and keep them where --output says."""
    options = _options()
    device = resolve_device(options.device)
    dtype, metric_dtype = _types(options, device)
    if options.threads:
        torch.set_num_threads(options.threads)
    stack = _build(options, device)
    resolution = options.resolution or stack.resolution
    width, height = stack.camera
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)

    frames = _arrangements(stack, rgb, resolution, options, device)
    clock = CLOCKS[options.clock][0]
    times = _measure(frames, options.frames, clock)
    lines = [
        f"{describe()}; {device}, {torch.get_num_threads()} threads; {dtype}, f_D {metric_dtype}",
        f"{options.size} sizes, random weights; camera {width}x{height}, longest edge {resolution}",
        f"median of {options.frames}; {CLOCKS[options.clock][1]}",
        "",
        *_frame_table(times),
        "",
        *_floor(stack, rgb, resolution, dtype, device, times, clock),
        f"peak memory: {_peak(device):.2f} GiB (all arrangements together)",
    ]
    if options.batches:
        lines += ["", *_batches(stack, rgb, resolution, options, clock)]
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


def _types(options, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """Of the diffusion networks and of f_D."""
    return (
        resolve_precision(options.precision, device, tolerant=True),
        resolve_precision(options.precision, device),
    )


def _build(options, device: torch.device) -> Stack:
    return STACKS[options.size](device, *_types(options, device))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="demo", choices=STACKS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--resolution", type=int, default=0, help="longest edge; 0: the size's own")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    parser.add_argument("--compile", action="store_true", help="measure torch.compile as well")
    parser.add_argument("--cuda-graphs", action="store_true", help="and CUDA graphs")
    parser.add_argument("--openvino", action="store_true", help="and the backend OpenVINO")
    parser.add_argument("--no-released", action="store_true", help="leave the released arrangement")
    parser.add_argument("--no-switches", action="store_true", help="leave each switch off alone")
    parser.add_argument("--no-presets", action="store_true", help="leave the presets")
    parser.add_argument("--batches", type=_numbers, default=[], help="batch sizes, as 1,2,4")
    parser.add_argument("--output", type=Path, help="a file of benchmarks/results")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _arrangements(stack: Stack, rgb, resolution: int, options, device) -> dict[str, Frame]:
    """Every arrangement by its name."""
    fast = EngineOptions(threads=options.threads)
    engines = {"engine": fast}
    if not options.no_switches:
        engines |= {
            "- channels_last": replace(fast, channels_last=False),
            "- fold_constants": replace(fast, fold_constants=False),
            "- fused_attention": replace(fast, fused_attention=False),
            "schedule sequential": replace(fast, schedule="sequential"),
            "schedule batched": replace(fast, schedule="batched"),
            "all switches off": EngineOptions.released(),
        }
        if device.type == "cuda":
            engines["- pinned_transfers"] = replace(fast, pinned_transfers=False)
    if options.cuda_graphs:
        engines["+ cuda_graphs"] = replace(fast, cuda_graphs=True)
    if options.openvino:
        engines["openvino"] = replace(fast, backend="openvino")
    frames: dict[str, Frame] = {}
    if not options.no_released:
        # At the released size a second float32 metric model would be 1.4 GB.
        shared = stack.metric_model if _types(options, device)[1] == torch.float32 else None
        released = STACKS[options.size](device, torch.float32, None if shared else torch.float32)
        arrangement = ReleasedArrangement(released.sharpener, shared or released.metric_model)
        frames["released, fp32"] = lambda: arrangement(rgb, resolution)[1]
    for name, engine in engines.items():
        # Engines share the weights of a stack, and so their order in memory.
        own = stack if engine.channels_last else _build(options, device)
        frames[name] = _frame(own, rgb, resolution, engine=engine)
    for preset in () if options.no_presets else PRESETS:
        if preset != "accurate":
            frames[f"preset {preset}"] = _frame(
                stack, rgb, resolution, preset=preset, engine=fast, tiny_vae=stack.tiny_vae
            )
    if options.compile:  # last: it compiles the metric model that the others share
        compiled = replace(fast, compile=True, cuda_graphs=options.cuda_graphs)
        frames["+ compile"] = _frame(stack, rgb, resolution, engine=compiled)
    return frames


def _frame(stack: Stack, rgb, resolution: int, **options) -> Frame:
    pipe = SharpDepthPipeline(stack.sharpener, stack.metric_model, **options)
    memory = pipe.new_memory()

    def frame() -> dict[str, float]:
        out = pipe(rgb, processing_resolution=resolution, memory=memory)
        # Its arrays are on the host when the call is done with; the timings wait for a GPU.
        return out.timings if out.depth is not None else {}

    return frame


def _measure(
    frames: dict[str, Frame], rounds: int, clock: Callable[[], float]
) -> dict[str, list[dict[str, float]]]:
    """Stage times, with the frame's as "frame", of each arrangement in each round.

    A round is three frames where the preset makes the generator pass on every third.
    """
    times: dict[str, list[dict[str, float]]] = {name: [] for name in frames}
    for round_ in range(rounds + 1):
        for name, frame in frames.items():
            preset = PRESETS.get(name.removeprefix("preset "))
            count = preset.generator_every if preset else 1
            begun = clock()
            stages = [frame() for _ in range(count)]
            total = (clock() - begun) * 1e3 / count
            if round_:  # the first warms up
                mean = {s: sum(t.get(s, 0.0) for t in stages) / count for s in STAGES}
                times[name].append({**mean, "frame": total})
    return times


def _frame_table(times: dict[str, list[dict[str, float]]]) -> list[str]:
    columns = (*STAGES, "frame")
    rows = {
        name: {c: statistics.median(t[c] for t in rounds) for c in columns}
        for name, rounds in times.items()
    }
    reference = next(iter(rows.values()))["frame"]
    lines = [
        "| ms | " + " | ".join(columns) + " | frames/s | times faster |",
        "| --- |" + " ---: |" * (len(columns) + 2),
    ]
    for name, row in rows.items():
        cells = [f"{row[c]:.1f}" for c in columns]
        speed = [f"{1e3 / row['frame']:.2f}", f"{reference / row['frame']:.2f}"]
        lines.append(f"| {name} | " + " | ".join([*cells, *speed]) + " |")
    return lines


def _floor(stack: Stack, rgb, resolution: int, dtype, device, times, clock) -> list[str]:
    """The exact networks' work on a frame, and the time that it takes at the least."""
    pipe = SharpDepthPipeline(
        stack.sharpener, stack.metric_model, engine=EngineOptions(fold_constants=False)
    )
    with FlopCounterMode(display=False) as counter:
        pipe(rgb, processing_resolution=resolution)
    work = counter.get_total_flops()
    rate = _matrix_rate(dtype, device, clock)
    floor = work / rate * 1e3
    frame = statistics.median(t["frame"] for t in times["engine"])
    return [
        f"a frame's work: {work / 1e9:.1f} GFLOP; matrix products reach {rate / 1e12:.3f} TFLOP/s",
        f"floor of the exact networks: {floor:.1f} ms; the engine's frame is {frame / floor:.1f} "
        "times that",
    ]


def _matrix_rate(dtype: torch.dtype, device: torch.device, clock) -> float:
    """Operations per second of a large matrix product, the best of some."""
    size = 8192 if device.type == "cuda" else 1536
    a, b = torch.randn(2, size, size).to(device, dtype).unbind()
    best = float("inf")
    for _ in range(12):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begun = clock()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, clock() - begun)
    return 2 * size**3 / best


def _peak(device: torch.device) -> float:
    """GiB; on the CPU the whole process'."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _batches(stack: Stack, rgb, resolution: int, options, clock) -> list[str]:
    """Images per second against the number of images in a batch."""
    pipe = SharpDepthPipeline(stack.sharpener, stack.metric_model)
    seconds: dict[int, list[float]] = {count: [] for count in options.batches}
    for round_ in range(options.frames + 1):
        for count, taken in seconds.items():
            begun = clock()
            outputs = pipe.batch([rgb] * count, processing_resolution=resolution)
            if outputs[-1].depth is not None and round_:
                taken.append(clock() - begun)
    lines = ["| batch | ms | images/s |", "| ---: | ---: | ---: |"]
    for count, taken in seconds.items():
        median = statistics.median(taken)
        lines.append(f"| {count} | {median * 1e3:.1f} | {count / median:.2f} |")
    return lines


if __name__ == "__main__":
    main()
