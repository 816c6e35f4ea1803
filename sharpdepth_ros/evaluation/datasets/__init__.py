# SPDX-License-Identifier: Apache-2.0
"""Evaluation data sets, each in its publisher's layout: `open_dataset("kitti", root)`."""

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

__all__ = ["DATASETS", "DepthDataset", "MissingData", "Sample", "open_dataset", "read_frame_list"]


def open_dataset(name: str, root: str | Path, **options) -> DepthDataset:
    """A data set by name.

    Args:
        name: a key of `DATASETS`.
        root: its folder.
        options: crop, limit, frames, and those of the reader.

    Raises:
        ValueError: the name is unknown.
        MissingData: the folder, or the first files looked for, are not there.
    """
    if name not in DATASETS:
        raise ValueError(f"data set {name!r} is not known; known are {', '.join(DATASETS)}")
    return DATASETS[name](root, **options)


def read_frame_list(path: Path) -> list[str]:
    """Images of a published list: the first word of each line, a path below the root."""
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
