# SPDX-License-Identifier: Apache-2.0
"""A run over images and folders: the pipeline makes each frame when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.intrinsics_files import GivenCamera
from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.recordings.images import Once, find_images, read_picture
from sharpdepth_ros.recordings.prefetch import FAILURES, Picture
from sharpdepth_ros.viewing.frames import METHODS, Run, ViewFrame, chosen_of


def run_of_images(
    inputs: Sequence[Path],
    infer: Callable[[Picture], SharpDepthOutput],
    settings: dict[str, str],
    mode: str = "sharpdepth",
    camera: GivenCamera | None = None,
    only: int | None = None,
) -> Run:
    """The depth of every image.

    Args:
        inputs: image files, and folders with their subfolders.
        infer: a picture to an output with numpy maps.
        settings: what `infer` was made with, for people.
        mode: of the pipeline.
        camera: of the images; None where it is not known.
        only: number of the one image to take, from 0; None takes all.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: a folder holds no image, or there is none of that number.
    """
    sources = images_of(inputs, only)
    problems: list[str] = []
    remarks: list[str] = []
    remark = Once(remarks.append)

    def frames() -> Iterator[ViewFrame]:
        for source in sources:
            try:
                picture = read_picture(source, camera, remark)
                out = infer(picture)
            except FAILURES as error:
                problems.append(f"{source} was left out: {error}")
                continue
            frame = frame_of_output(source.name, picture.rgb, out, mode)
            if out.discrepancy is not None and not out.aligned:
                remarks.append(f"{source}: no sound alignment; its depth is the metric model's")
            if frame.camera is None:
                remarks.append(
                    f"{source}: no cloud, for the metric model estimates no camera; give "
                    "--intrinsics"
                )
            yield frame

    title = inputs[0].name if len(inputs) == 1 else f"{len(sources)} images"
    given = ", ".join(str(path) for path in inputs)
    return Run(title, frames(), {"source": given} | settings, problems, remarks)


def images_of(inputs: Sequence[Path], only: int | None = None) -> list[Path]:
    """The image files that the inputs stand for, each once; `only` and errors as above."""
    # Each is its own output: nothing is written, so nothing in it is a result to leave out.
    jobs = (job for given in inputs for job in find_images([given], given).jobs)
    return chosen_of(list(dict.fromkeys(job.source for job in jobs)), only, "image")


def frame_of_output(
    name: str, rgb: np.ndarray, out: SharpDepthOutput, mode: str = "sharpdepth"
) -> ViewFrame:
    """The frame of a pipeline's output with numpy maps, made in a mode of the pipeline."""
    height, width = out.depth.shape
    camera = None
    if out.intrinsics is not None:
        camera = CameraModel.from_matrix(out.intrinsics, width, height)
    return ViewFrame(
        name,
        out.depth,
        rgb=rgb,
        camera=camera,
        metric_depth=None if mode == "metric" else out.metric_depth,
        discrepancy=out.discrepancy,
        timings=out.timings,
        aligned=None if out.discrepancy is None else out.aligned,
        method=METHODS[mode],
    )
