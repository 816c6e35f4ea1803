# SPDX-License-Identifier: Apache-2.0
"""A run that is on disk: what `sharpdepth image` wrote, or the node's snapshots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.depth_files import read_array, read_depth, read_rgb
from sharpdepth_ros.recordings.run_problems import BAD_INPUT, expected_structure
from sharpdepth_ros.viewing.frames import METHODS, Run, ViewFrame, chosen_of

ENDING = "_depth.json"
"""Of the file that `sharpdepth image` writes for each image."""

SNAPSHOT = "frame.json"
"""In each folder that the node's ~/save_snapshot writes."""


SETTINGS = (
    "model",
    "metric_model",
    "generator",
    "mode",
    "precision",
    "processing_resolution",
    "fit",
    "lotus_steps",
    "seed",
)


def holds_results(folder: Path) -> bool:
    """Whether the folder, or one below it, was written by one of the two."""
    return next(_summaries(folder), None) is not None


def run_of_results(folder: Path, only: int | None = None) -> Run:
    """The frames of a folder of results.

    Args:
        folder: with its subfolders.
        only: number of the one frame to take, from 0; None takes all.

    Raises:
        ValueError: it holds none, or none of that number.
    """
    summaries = sorted(_summaries(folder))
    if not summaries:
        raise ValueError(f"{folder} holds no result: no *{ENDING} and no {SNAPSHOT}")
    chosen = chosen_of(summaries, only, "result")
    problems: list[str] = []

    def frames() -> Iterator[ViewFrame]:
        for path in chosen:
            try:
                with expected_structure(path.name):
                    frame = _read_snapshot(path) if path.name == SNAPSHOT else _read_result(path)
            except BAD_INPUT as error:
                problems.append(f"{path} was left out: {error}")
            else:
                yield frame

    settings = {"source": str(folder)} | _settings(summaries[0])
    return Run(folder.resolve().name, frames(), settings, problems)


def _settings(path: Path) -> dict[str, str]:
    """How the depth was made, as far as its summary tells; the first one's stand for all."""
    try:
        with expected_structure(path.name):
            facts = json.loads(path.read_text())
            known = [(name, facts.get(name)) for name in SETTINGS]
    except BAD_INPUT:  # it is told when its frame is read
        return {}
    return {name.replace("_", " "): str(value) for name, value in known if value is not None}


def _summaries(folder: Path) -> Iterator[Path]:
    yield from folder.rglob(f"*{ENDING}")
    yield from folder.rglob(SNAPSHOT)


def _read_result(path: Path) -> ViewFrame:
    facts = json.loads(path.read_text())
    name = path.name.removesuffix(ENDING)

    def file(ending: str) -> Path:
        return path.with_name(f"{name}_{ending}")

    depth = _read_depth(file("depth.npy"), file("depth.png"))
    mode = facts.get("mode", "sharpdepth")
    metric = None if mode == "metric" else _map(file("metric.npy"), depth)
    return ViewFrame(
        name,
        depth,
        rgb=_image(file("preview.png"), facts, depth),
        camera=_camera(facts.get("intrinsics"), depth),
        metric_depth=metric,
        discrepancy=_map(file("discrepancy.npy"), depth),
        timings=facts.get("milliseconds") or {},
        aligned=None if mode == "metric" else facts.get("aligned"),
        method=METHODS.get(mode, mode),
    )


def _image(preview: Path, facts: dict, depth: np.ndarray) -> np.ndarray | None:
    """The image that the depth is of, from the preview or from where it was."""
    if preview.is_file():
        # The preview is the image with its depth to the right of it.
        return np.ascontiguousarray(read_rgb(preview)[:, : depth.shape[1]])
    source, form = facts.get("source"), facts.get("picture", "upright")
    if source and form != "rectified" and Path(source[0]).is_file():
        rgb = read_rgb(Path(source[0]), upright=form == "upright")
        return rgb if rgb.shape[:2] == depth.shape else None
    return None


def _read_snapshot(path: Path) -> ViewFrame:
    facts, folder = json.loads(path.read_text()), path.parent
    seconds, nanoseconds = facts["stamp"]
    depth = _read_depth(folder / "depth.npy", folder / "depth.png")
    image = folder / "image.png"
    return ViewFrame(
        folder.name,
        depth,
        stamp=seconds * 10**9 + nanoseconds,
        rgb=read_rgb(image) if image.is_file() else None,
        camera=_camera(facts.get("intrinsics"), depth),
        metric_depth=_map(folder / "metric.npy", depth),
        timings=facts.get("milliseconds") or {},
        aligned=facts.get("aligned"),
    )


def _map(array: Path, depth: np.ndarray) -> np.ndarray | None:
    """A map of the size of the depth, where it was written."""
    if not array.is_file():
        return None
    values = read_array(array)
    if values.shape != depth.shape:
        raise ValueError(f"{array.name} is {list(values.shape)}, the depth {list(depth.shape)}")
    return values.astype(np.float32)


def _read_depth(array: Path, picture: Path) -> np.ndarray:
    """Metres, float32 [H, W], from whichever of both is there."""
    if not (array.is_file() or picture.is_file()):
        raise ValueError(f"neither {array.name} nor {picture.name} is there")
    return read_depth(array if array.is_file() else picture)


def _camera(matrix: list | None, depth: np.ndarray) -> CameraModel | None:
    height, width = depth.shape
    return None if matrix is None else CameraModel.from_matrix(np.array(matrix), width, height)
