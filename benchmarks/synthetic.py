# SPDX-License-Identifier: Apache-2.0
"""Frames per second of the synthetic renderer: resolution by kind of scene, medians.

    python benchmarks/synthetic.py [--frames 30] [--scenes 3] [--workers 2]

The first table is one thread; the second is several processes at once, as a data loader or
``write_dataset`` uses them. Scenes are built before the clock starts; what building one costs is
printed beside.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time

from machine import describe

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.synthetic import KINDS, camera_path, make_scene, render

SIZES = ((160, 120), (320, 240), (640, 480), (1280, 720))


def frame_times(kind: str, width: int, height: int, frames: int, scenes: int) -> list[float]:
    """Seconds of each of ``frames`` frames along camera paths through ``scenes`` scenes."""
    camera = CameraModel.from_fov(width, height, 75.0)
    times = []
    for seed in range(scenes):
        scene = make_scene(kind, seed)
        poses = list(camera_path(scene, seed, max(frames // scenes, 1) + 1, fps=10))
        render(scene, camera, poses[0])  # shadow maps and textures are drawn once, here
        for number, pose in enumerate(poses[1:]):
            start = time.perf_counter()
            render(scene, camera, pose, time=number / 10)
            times.append(time.perf_counter() - start)
    return times


def scene_time(kind: str, scenes: int) -> float:
    """Median seconds to build a scene with its shadow maps."""
    times = []
    for seed in range(scenes):
        start = time.perf_counter()
        assert make_scene(kind, seed).shadows
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _worker(arguments: tuple) -> list[float]:
    return frame_times(*arguments)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if kind != "random"]
    print(f"{describe()}\n")
    header = "| kind | " + " | ".join(f"{w}x{h}" for w, h in SIZES) + " |"
    rule = "| --- " * (len(SIZES) + 1) + "|"

    print(f"Frames per second, one thread\n\n{header} scene, ms |\n{rule} --- |")
    for kind in kinds:
        cells = [
            1 / statistics.median(frame_times(kind, w, h, args.frames, args.scenes))
            for w, h in SIZES
        ]
        print(
            f"| {kind} | "
            + " | ".join(f"{cell:.1f}" for cell in cells)
            + f" | {1e3 * scene_time(kind, args.scenes):.0f} |"
        )

    print(f"\nFrames per second, {args.workers} processes together\n\n{header}\n{rule}")
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.workers) as pool:
        for kind in kinds:
            cells = []
            for w, h in SIZES:
                jobs = [(kind, w, h, args.frames, args.scenes)] * args.workers
                times = pool.map(_worker, jobs, chunksize=1)
                cells.append(sum(1 / statistics.median(t) for t in times))
            print(f"| {kind} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
