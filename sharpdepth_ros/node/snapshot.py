# SPDX-License-Identifier: Apache-2.0
"""Writes one frame to a folder: picture, depth, cloud and how they came about."""

from __future__ import annotations

import json
import os
import shutil
from concurrent import futures
from pathlib import Path

from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.io.colormap import colorize_depth, colorize_discrepancy
from sharpdepth_ros.io.depth_files import write_depth_png, write_npy, write_ply, write_rgb
from sharpdepth_ros.processing.frame import FrameResult

#: Seconds that a frame in work may take until it is given up for a snapshot.
_FRAME_TIMEOUT = 120.0


class NoFrame(Exception):
    """There is no frame for a snapshot; the message says why."""


def wait_for_frame(request: futures.Future[FrameResult], patience: float) -> FrameResult | None:
    """Waits for a frame that `FrameWork.request_frame` asked for.

    Args:
        request: the frame to come.
        patience: seconds in which work on a frame has to begin. Once it has begun, it may take as
            long as it does.

    Returns:
        The frame, or None if none was begun in time. The request is withdrawn then.

    Raises:
        NoFrame: the frame failed, or the models were unloaded.
    """
    try:
        try:
            return request.result(patience)
        except futures.TimeoutError:
            if request.cancel():
                return None
        return request.result(_FRAME_TIMEOUT)
    except futures.CancelledError:
        raise NoFrame("the models were unloaded before a frame came") from None
    except futures.TimeoutError:
        raise NoFrame(f"the frame in work took longer than {_FRAME_TIMEOUT:.0f} s") from None
    except Exception as error:
        raise NoFrame(f"the frame failed: {type(error).__name__}: {error}") from error


def default_folder() -> Path:
    """Where snapshots go if no folder is given: beside ROS' logs."""
    return Path(os.environ.get("ROS_HOME", "~/.ros")).expanduser() / "sharpdepth"


def write_snapshot(result: FrameResult, parent: Path) -> Path:
    """Writes a frame into a new folder named by its stamp, whole or not at all.

    Args:
        result: the frame.
        parent: folder to make that folder in.

    Returns:
        The folder: image.png; depth.png (16 bit, mm), depth.npy (float32, m), preview.png and
        cloud.ply; discrepancy.png and metric.npy if the frame has them; frame.json.

    Raises:
        OSError: the disk is full or the like, or the folder is a link to another place; nothing of
            the snapshot is left then.
    """
    stamp = result.header.stamp
    name = f"{stamp.sec}.{stamp.nanosec:09d}"
    folder, draft = parent / name, parent / f".{name}.partial"
    if folder.is_symlink():
        raise OSError(
            f"{folder} is a link to {folder.resolve()}: remove it, or set snapshot_folder to "
            "another folder"
        )
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        _write_files(result, draft)
        if folder.exists():  # the same frame once more, perhaps beside a user's own files
            for file in draft.iterdir():
                os.replace(file, folder / file.name)
        else:
            os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _write_files(result: FrameResult, folder: Path) -> None:
    header, camera = result.header, result.camera
    write_rgb(folder / "image.png", result.rgb)
    if result.depth is not None:
        write_depth_png(folder / "depth.png", result.depth)
        write_npy(folder / "depth.npy", result.depth)
        write_rgb(folder / "preview.png", colorize_depth(result.depth))
        write_ply(folder / "cloud.ply", unproject(result.depth, camera), result.rgb)
    if result.discrepancy is not None:
        write_rgb(folder / "discrepancy.png", colorize_discrepancy(result.discrepancy))
    if result.metric_depth is not None:
        write_npy(folder / "metric.npy", result.metric_depth)
    facts = {
        "stamp": [header.stamp.sec, header.stamp.nanosec],
        "frame_id": header.frame_id,
        "intrinsics": camera.matrix.tolist(),
        "aligned": result.aligned,
        "milliseconds": {stage: round(time, 3) for stage, time in result.timings.items()},
    }
    (folder / "frame.json").write_text(json.dumps(facts, indent=2) + "\n")
