# SPDX-License-Identifier: Apache-2.0
"""Finds out what a path is, and opens it as a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sharpdepth_ros.viewing.bag_run import is_bag, run_of_bag
from sharpdepth_ros.viewing.frames import Run
from sharpdepth_ros.viewing.result_run import holds_results, run_of_results

RERUN_SUFFIX = ".rrd"


def open_run(
    inputs: Sequence[Path],
    run_images: Callable[[Sequence[Path]], Run],
    namespace: str | None = None,
    image_topic: str | None = None,
    only: int | None = None,
) -> Run:
    """The run that the inputs stand for.

    Args:
        inputs: one bag with depth, one .rrd file, one folder that `sharpdepth image` or the
            node's ~/save_snapshot wrote, or any number of images and folders of images.
        run_images: computes the depth of images; called for nothing else.
        namespace: of the node, in a bag with several cameras.
        image_topic: of the camera, in a bag where it is not beside the depth.
        only: number of the one frame that is wanted, from 0; None: all.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: an input is nothing of this.
    """
    for path in inputs:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
    first = inputs[0]
    special = [p for p in inputs if is_bag(p) or p.suffix == RERUN_SUFFIX]
    if special and len(inputs) > 1:
        raise ValueError(f"{special[0]} is a recording: give it alone, not with {len(inputs) - 1}")
    if is_bag(first):
        return _from_frame(run_of_bag(first, namespace, image_topic), only)
    if first.suffix == RERUN_SUFFIX:
        try:
            from sharpdepth_ros.viewing.rerun_run import run_of_rerun_file
        except ImportError as error:
            raise ValueError(f"{first}: {error}") from error
        return _from_frame(run_of_rerun_file(first), only)
    if len(inputs) == 1 and first.is_dir() and holds_results(first):
        return run_of_results(first, only)
    return run_images(inputs)


def _from_frame(run: Run, first: int | None) -> Run:
    """The run from that frame on: a recording has to be read up to it."""
    if first is not None:
        run.limit(None, first)
    return run
