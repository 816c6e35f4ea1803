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
    "preset",
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

    # Files of another run with other settings may stand beside those that this summary is of.
    written = facts.get("files")

    def file(form: str, ending: str) -> Path | None:
        there = path.with_name(f"{name}_{ending}")
        return there if there.is_file() and (written is None or form in written) else None

    array, picture = file("npy", "depth.npy"), file("png", "depth.png")
    if array is None and picture is None:
        raise ValueError(f"neither {name}_depth.npy nor {name}_depth.png is of it")
    depth = read_depth(array or picture)
    mode = facts.get("mode", "sharpdepth")
    metric = None if mode == "metric" else _map(file("metric", "metric.npy"), depth)
    return ViewFrame(
        name,
        depth,
        rgb=_image(file("preview", "preview.png"), facts, depth),
        camera=_camera(facts.get("intrinsics"), depth),
        metric_depth=metric,
        discrepancy=_map(file("discrepancy", "discrepancy.npy"), depth),
        timings=facts.get("milliseconds") or {},
        aligned=None if mode == "metric" else facts.get("aligned"),
        method=METHODS.get(mode, mode),
    )


def _image(preview: Path | None, facts: dict, depth: np.ndarray) -> np.ndarray | None:
    """The image that the depth is of, from the preview or from where it was."""
    if preview is not None:
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
    array, image, metric = (folder / f for f in ("depth.npy", "image.png", "metric.npy"))
    depth = read_depth(array if array.is_file() else folder / "depth.png")
    return ViewFrame(
        folder.name,
        depth,
        stamp=seconds * 10**9 + nanoseconds,
        rgb=read_rgb(image) if image.is_file() else None,
        camera=_camera(facts.get("intrinsics"), depth),
        metric_depth=_map(metric if metric.is_file() else None, depth),
        timings=facts.get("milliseconds") or {},
        aligned=facts.get("aligned"),
    )


def _map(array: Path | None, depth: np.ndarray) -> np.ndarray | None:
    """A map of the size of the depth; None where there is no file of it."""
    if array is None:
        return None
    values = read_array(array)
    if values.shape != depth.shape:
        raise ValueError(f"{array.name} is {list(values.shape)}, the depth {list(depth.shape)}")
    return values.astype(np.float32)


def _camera(matrix: list | None, depth: np.ndarray) -> CameraModel | None:
    height, width = depth.shape
    return None if matrix is None else CameraModel.from_matrix(np.array(matrix), width, height)
