# SPDX-License-Identifier: Apache-2.0
"""Evaluation data sets, each in its publisher's layout: `open_dataset("kitti", root)`."""

import json
from collections.abc import Sequence
from inspect import signature
from pathlib import Path

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, MissingData, Sample
from sharpdepth_ros.evaluation.datasets.diode import Diode
from sharpdepth_ros.evaluation.datasets.eth3d import Eth3d
from sharpdepth_ros.evaluation.datasets.folder import FolderDataset
from sharpdepth_ros.evaluation.datasets.ibims import Ibims1
from sharpdepth_ros.evaluation.datasets.kitti import KittiEigen
from sharpdepth_ros.evaluation.datasets.nuscenes import NuScenes
from sharpdepth_ros.evaluation.datasets.nyu import NyuDepthV2
from sharpdepth_ros.evaluation.datasets.sintel import Sintel
from sharpdepth_ros.evaluation.datasets.spring import Spring
from sharpdepth_ros.evaluation.datasets.unrealstereo4k import UnrealStereo4K

DATASETS: dict[str, type[DepthDataset]] = {
    dataset.key: dataset
    for dataset in (
        FolderDataset,
        KittiEigen,
        NyuDepthV2,
        Eth3d,
        NuScenes,
        Sintel,
        UnrealStereo4K,
        Spring,
        Ibims1,
        Diode,
    )
}

__all__ = [
    "DATASETS",
    "DepthDataset",
    "MissingData",
    "Sample",
    "open_dataset",
    "parse_option",
    "read_frame_list",
]


def open_dataset(
    name: str,
    root: str | Path,
    *,
    crop: str | None = "default",
    limit: int | None = None,
    frames: Sequence[str] | None = None,
    **options,
) -> DepthDataset:
    """A data set by name.

    Args:
        name: a key of `DATASETS`.
        root: its folder.
        crop: as the next two in `DepthDataset`.
        limit: number of samples.
        frames: images to take.
        options: those of the reader alone, such as DIODE's `part`.

    Raises:
        ValueError: the name, or an option, is unknown.
        MissingData: the folder, or the first files looked for, are not there.
    """
    if name not in DATASETS:
        raise ValueError(f"data set {name!r} is not known; known are {', '.join(DATASETS)}")
    reader = DATASETS[name]
    own = [p.name for p in signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
    known = [option for option in own if option not in ("crop", "limit", "frames")]
    if unknown := set(options) - set(known):
        raise ValueError(
            f"{name} has no option {', '.join(sorted(unknown))}; it has "
            f"{', '.join(known) or 'none'}"
        )
    opened = reader(root, crop=crop, limit=limit, frames=frames, **options)
    opened.options = options
    return opened


def parse_option(text: str) -> tuple[str, object]:
    """An option as typed: NAME=VALUE, where a value that is JSON is what it says.

    Raises:
        ValueError: there is no name or no value.
    """
    name, _, value = text.partition("=")
    if not (name and value):
        raise ValueError(f"{text!r} is not NAME=VALUE, such as part=indoors or dense=false")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def read_frame_list(path: Path) -> list[str]:
    """Images of a published list: the first word of each line, a path below the root."""
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
