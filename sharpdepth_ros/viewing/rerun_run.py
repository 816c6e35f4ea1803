# SPDX-License-Identifier: Apache-2.0
"""A run that is in a .rrd file, as `sharpdepth view --save` writes it: also a live run's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.depth_files import PICTURE, decode_bytes, rgb_of_decoded
from sharpdepth_ros.recordings.run_problems import BAD_INPUT, expected_structure
from sharpdepth_ros.viewing.clouds import Cloud, spacing_of
from sharpdepth_ros.viewing.frames import Run, ViewFrame
from sharpdepth_ros.viewing.rerun_log import (
    APPLICATION,
    CAMERA,
    DEPTH,
    DISCREPANCY,
    FRAME,
    IMAGE,
    LATENCY,
    METRIC,
    NOTES,
    POINTS,
    STAMP,
    TIMINGS,
)

#: Rerun's ChannelDatatype of 32-bit floats
_FLOAT32 = 34

Row = dict[str, Any]
"""Component or timeline -> its Arrow scalar."""

Rows = dict[str, dict[int, Row]]
"""Entity -> frame number -> row."""


def run_of_rerun_file(path: Path) -> Run:
    """The frames of a .rrd file that was written by this package.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no .rrd file, or has no depth of ours.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    notes, rows, warned = _read(path)
    if DEPTH not in rows:
        raise ValueError(
            f"{path} has no entity /{DEPTH}: it was not written by `sharpdepth view`. It has "
            f"{', '.join(sorted(rows)) or 'nothing'}"
        )
    settings = {"source": str(path)} | _settings(notes)
    problems: list[str] = []
    return Run(path.name, _frames(rows, problems), settings, problems, warned + _problems(notes))


def count_frames(path: Path) -> int:
    """Frames of depth that a .rrd file of this package holds.

    Raises:
        ValueError: it cannot be read.
    """
    from rerun.chunk import RrdReader

    numbers = set()
    try:
        for chunk in RrdReader(path).stream():
            if chunk.entity_path.lstrip("/") == DEPTH:
                table = chunk.to_record_batch()
                numbers.update(table.column(FRAME).to_pylist())
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise ValueError(f"{path} cannot be read again: {error}") from error
    return len(numbers)


def _read(path: Path) -> tuple[str, Rows, list[str]]:
    """The run's notes, all rows that belong to a frame, and what Rerun warns of."""
    from rerun.chunk import RrdReader

    notes, rows = "", {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            reader = RrdReader(path)
        mine = [r for r in reader.recordings() if r.application_id == APPLICATION]
        for chunk in reader.stream(store=mine[0] if mine else None):
            entity = chunk.entity_path.lstrip("/")
            table = chunk.to_record_batch()
            for i in range(table.num_rows):
                row = dict(zip(table.schema.names, (c[i] for c in table.columns), strict=True))
                if entity == NOTES and "TextDocument:text" in row:
                    notes = row["TextDocument:text"].as_py()[0]
                if FRAME in row:
                    rows.setdefault(entity, {})[row[FRAME].as_py()] = row
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a Rerun recording: {error}") from error
    return notes, rows, ["its recording was broken off"] if caught else []


def _frames(rows: Rows, problems: list[str]) -> Iterator[ViewFrame]:
    for number in sorted(rows[DEPTH]):
        try:
            with expected_structure("the recording"):
                frame = _frame(number, rows)
        except BAD_INPUT as error:
            problems.append(f"frame {number} was left out: {error}")
        else:
            yield frame


def _frame(number: int, rows: Rows) -> ViewFrame:
    def row(entity: str) -> Row | None:
        return rows.get(entity, {}).get(number)

    depth = _picture(row(DEPTH))
    stamp = row(DEPTH).get(STAMP)
    stamp = None if stamp is None else stamp.value
    camera, points = None, None
    if (pinhole := row(CAMERA)) is not None:
        # Rerun keeps matrices by columns.
        matrix = _numbers(pinhole, "Pinhole:image_from_camera").reshape(3, 3).T
        camera = CameraModel.from_matrix(matrix, depth.shape[1], depth.shape[0])
    if (cloud := row(POINTS)) is not None and _has(cloud, "Points3D:positions"):
        points = _cloud(cloud)
    metric, discrepancy, image = row(METRIC), row(DISCREPANCY), row(IMAGE)
    latency = row(LATENCY)
    stages = [e for e in rows if e.startswith(f"{TIMINGS}/") and number in rows[e]]
    stages.sort(key=lambda e: rows[e][number]["rerun.controls.RowId"].as_py())  # as logged
    return ViewFrame(
        name=f"frame {number}" if stamp is None else f"{stamp // 10**9}.{stamp % 10**9:09d}",
        depth=depth,
        stamp=stamp,
        rgb=None if image is None else _decode(image),
        camera=camera,
        metric_depth=None if metric is None else _picture(metric),
        discrepancy=None if discrepancy is None else _picture(discrepancy),
        timings={_stage_of(e): _scalar(rows[e][number]) for e in stages},
        latency=None if latency is None else _scalar(latency),
        points=points,
    )


def _stage_of(entity: str) -> str:
    """The stage of timings/STAGE, in which Rerun escapes spaces and strokes."""
    return re.sub(r"\\(.)", r"\1", entity.partition("/")[2])


def _picture(row: Row) -> np.ndarray:
    layout = row["DepthImage:format"].as_py()[0]
    if layout["channel_datatype"] != _FLOAT32:
        raise ValueError(f"its depth has pixels of type {layout['channel_datatype']}, not float32")
    data = _numbers(row, "DepthImage:buffer").view(np.float32)
    return data.reshape(layout["height"], layout["width"])


def _cloud(row: Row) -> Cloud:
    points = _numbers(row, "Points3D:positions").reshape(-1, 3)
    packed = _numbers(row, "Points3D:colors")  # 0xrrggbbaa
    colours = ((packed[:, None] >> np.array([24, 16, 8], np.uint32)) & 255).astype(np.uint8)
    seen = bool((points[:, 2] > 0).all())
    return Cloud(points, colours, spacing_of(points, seen), seen)


def _decode(row: Row) -> np.ndarray:
    data = _numbers(row, "EncodedImage:blob")
    decoded, refusal = decode_bytes(data, PICTURE)
    if decoded is None:
        raise ValueError(f"its image cannot be decoded ({refusal or f'{data.size} bytes'})")
    return rgb_of_decoded(decoded)


def _scalar(row: Row) -> float:
    return float(_numbers(row, "Scalars:scalars")[0])


def _has(row: Row, component: str) -> bool:
    return component in row and bool(row[component].values)


def _numbers(row: Row, component: str) -> np.ndarray:
    """All numbers of a component, however its lists are nested."""
    values = row[component].values
    while hasattr(values, "flatten") and values.type.num_fields:
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False)


def _settings(notes: str) -> dict[str, str]:
    settings, _, _ = notes.partition("## Problems")
    pairs = (line[2:].partition(": ") for line in settings.splitlines() if line.startswith("- "))
    return {f"recorded {name}" if name == "source" else name: value for name, _, value in pairs}


def _problems(notes: str) -> list[str]:
    _, _, problems = notes.partition("## Problems")
    return [line[2:] for line in problems.splitlines() if line.startswith("- ")]
