# SPDX-License-Identifier: Apache-2.0
"""A run over images and folders: the pipeline makes each frame when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sharpdepth_ros.export.depth_files import read_rgb
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.recordings.images import find_images
from sharpdepth_ros.viewing.frames import Run, ViewFrame


def run_of_images(
    inputs: Sequence[Path],
    infer: Callable[[np.ndarray], SharpDepthOutput],
    settings: dict[str, str],
    output: Path,
) -> Run:
    """The depth of every image.

    Args:
        inputs: image files, and folders with their subfolders.
        infer: uint8 [H, W, 3] to an output with numpy maps.
        settings: what `infer` was made with, for people.
        output: where results of this run go; what lies there is not taken for input.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: a folder holds no image.
    """
    jobs = find_images(inputs, output)
    problems: list[str] = []

    def frames() -> Iterator[ViewFrame]:
        for job in jobs:
            try:
                rgb = read_rgb(job.source)
                out = infer(rgb)
            except (ValueError, OSError) as error:
                problems.append(f"{job.source} was left out: {error}")
                continue
            frame = frame_of_output(job.source.name, rgb, out)
            if out.discrepancy is not None and not out.aligned:
                problems.append(
                    f"{job.source}: no sound alignment; its depth is the metric model's"
                )
            if frame.camera is None:
                problems.append(
                    f"{job.source}: no cloud, for the metric model estimates no camera; give "
                    "--intrinsics"
                )
            yield frame

    title = inputs[0].name if len(inputs) == 1 else f"{len(jobs)} images"
    source = ", ".join(str(path) for path in inputs)
    return Run(title, frames(), {"source": source} | settings, problems)


def frame_of_output(name: str, rgb: np.ndarray, out: SharpDepthOutput) -> ViewFrame:
    """The frame of a pipeline's output with numpy maps."""
    height, width = out.depth.shape
    camera = None
    if out.intrinsics is not None:
        camera = CameraModel.from_matrix(out.intrinsics, width, height)
    return ViewFrame(
        name,
        out.depth,
        rgb=rgb,
        camera=camera,
        metric_depth=out.metric_depth,
        discrepancy=out.discrepancy,
        timings=out.timings,
        aligned=None if out.discrepancy is None else out.aligned,
    )
