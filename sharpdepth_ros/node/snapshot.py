# SPDX-License-Identifier: Apache-2.0
"""Writes one frame to a folder: picture, depth, cloud and how they came about."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from sharpdepth_ros.export.colormap import colorize_depth, colorize_discrepancy
from sharpdepth_ros.export.depth_files import write_depth_png, write_ply, write_rgb
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.node.processing import FrameResult


def default_folder() -> Path:
    """Where snapshots go if no folder is given: beside ROS' logs."""
    return Path(os.environ.get("ROS_HOME", "~/.ros")).expanduser() / "sharpdepth"


def write_snapshot(result: FrameResult, parent: Path) -> Path:
    """Writes a frame into a new folder named by its stamp.

    Args:
        result: the frame.
        parent: folder to make that folder in.

    Returns:
        The folder: image.png; depth.png (16 bit, mm), depth.npy (float32, m), preview.png and
        cloud.ply; discrepancy.png and metric.npy if the frame has them; frame.json.
    """
    header, camera = result.header, result.camera
    folder = parent / f"{header.stamp.sec}.{header.stamp.nanosec:09d}"
    folder.mkdir(parents=True, exist_ok=True)
    _remove_links(folder)
    write_rgb(folder / "image.png", result.rgb)
    if result.depth is not None:
        write_depth_png(folder / "depth.png", result.depth)
        np.save(folder / "depth.npy", result.depth)
        write_rgb(folder / "preview.png", colorize_depth(result.depth))
        write_ply(folder / "cloud.ply", unproject(result.depth, camera), result.rgb)
    if result.discrepancy is not None:
        write_rgb(folder / "discrepancy.png", colorize_discrepancy(result.discrepancy))
    if result.metric_depth is not None:
        np.save(folder / "metric.npy", result.metric_depth)
    facts = {
        "stamp": [header.stamp.sec, header.stamp.nanosec],
        "frame_id": header.frame_id,
        "intrinsics": camera.matrix.tolist(),
        "aligned": result.aligned,
        "milliseconds": {stage: round(time, 3) for stage, time in result.timings.items()},
    }
    (folder / "frame.json").write_text(json.dumps(facts, indent=2) + "\n")
    return folder


def _remove_links(folder: Path) -> None:
    """Make sure that what is written into the folder stays in it.

    Raises:
        OSError: the folder itself is a link.
    """
    if folder.is_symlink():
        raise OSError(
            f"{folder} is a link to {folder.resolve()}: remove it, or set snapshot_folder to "
            "another folder"
        )
    for file in folder.iterdir():
        if file.is_symlink():
            file.unlink()
