# SPDX-License-Identifier: Apache-2.0
"""What an evaluation data set is: named frames, read one at a time as a sample."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from sharpdepth_ros.io.depth_files import read_rgb

Crop = tuple[float, float, float, float]
"""Top, bottom, left, right as shares of the height and width."""


class MissingData(FileNotFoundError):
    """A file of a data set is not there; the message names it and says how to get it."""


@dataclass(frozen=True)
class Sample:
    """One image with its ground truth, read from disk.

    Attributes:
        name: unique in its data set; the image's path below the root, without suffix.
        rgb: uint8 [H, W, 3].
        depth: float32 [H, W] metres; not finite, or 0, where there is no measurement.
        valid: bool [H, W]; pixels that count for accuracy.
        intrinsics: float64 [3, 3] pixels, or None where the publisher gives no camera.
        edges: bool [H, W] annotated depth edges, or None.
    """

    name: str
    rgb: np.ndarray
    depth: np.ndarray
    valid: np.ndarray
    intrinsics: np.ndarray | None = None
    edges: np.ndarray | None = None


class DepthDataset(ABC):
    """A sequence of samples in a publisher's layout; reading happens in `dataset[i]`.

    A reader gives the attributes below and two methods: `_find` lists the images, `_read` reads
    one. Listing looks at folders only, so a run that continues costs nothing for what is done.

    Args:
        root: folder of the data set.
        crop: one of `crops`, or None for all pixels; "default" is what publications use.
        limit: take only the first so many.
        frames: take only these, as paths below the root (a published list); None for all.

    Attributes:
        options: what the reader was opened with beyond the arguments above, for the record.
        key: the name that `open_dataset` knows it by.
        title: for people.
        dense: whether the ground truth has a value at nearly every pixel, so that its edges mean
            something.
        min_depth: metres; nearer ground truth does not count.
        max_depth: metres; farther ground truth does not count.
        how_to_get: where the publisher offers it, and the folders below the root.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    dense: ClassVar[bool] = False
    min_depth: ClassVar[float] = 1e-3
    max_depth: ClassVar[float] = 80.0
    crops: ClassVar[dict[str, Crop]] = {}
    default_crop: ClassVar[str | None] = None
    how_to_get: ClassVar[str]

    def __init__(
        self,
        root: str | Path,
        *,
        crop: str | None = "default",
        limit: int | None = None,
        frames: Sequence[str] | None = None,
    ):
        self.root = Path(root)
        self.options: dict = {}
        crop = self.default_crop if crop == "default" else crop
        if crop not in (None, "none", *self.crops):
            known = ", ".join(["none", *self.crops])
            raise ValueError(f"{self.title} has no crop {crop!r}; known are {known}")
        self.crop = None if crop == "none" else crop
        self._file("")
        images = list(frames) if frames is not None else self._find()
        for image in images:
            self._require_below(image)
        if not images:
            raise MissingData(f"{self.root} holds no image of {self.title}. {self.how_to_get}")
        self._images = images if limit is None else images[:limit]

    @abstractmethod
    def _find(self) -> list[str]:
        """The images, as paths below the root, in a fixed order."""

    @abstractmethod
    def _read(self, image: str) -> Sample:
        """The sample of one image; the range and the crop are applied afterwards."""

    @property
    def names(self) -> list[str]:
        """The samples' names, in order, without reading any."""
        return [self._name(image) for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        sample = self._read(self._images[index])
        if sample.depth.shape != sample.rgb.shape[:2]:
            raise ValueError(
                f"{sample.name}: the image is {sample.rgb.shape[:2]} and its depth "
                f"{sample.depth.shape} (height, width)"
            )
        with np.errstate(invalid="ignore"):
            in_range = (sample.depth > self.min_depth) & (sample.depth < self.max_depth)
        return Sample(
            sample.name,
            sample.rgb,
            sample.depth.astype(np.float32),
            sample.valid & in_range & self._inside(sample.depth.shape),
            sample.intrinsics,
            sample.edges,
        )

    def _inside(self, shape: tuple[int, int]) -> np.ndarray:
        if self.crop is None:
            return np.ones(shape, bool)
        top, bottom, left, right = self.crops[self.crop]
        height, width = shape
        inside = np.zeros(shape, bool)
        # Rounded down, as published; a crop given in whole pixels may be a hair below them.
        rows, columns = (
            slice(int(start * size + 1e-6), int(end * size + 1e-6))
            for start, end, size in ((top, bottom, height), (left, right, width))
        )
        inside[rows, columns] = True
        return inside

    def _name(self, image: str) -> str:
        return Path(image).with_suffix("").as_posix()

    def _file(self, relative: str | Path) -> Path:
        """A path below the root that is there.

        Raises:
            MissingData: it is not.
            ValueError: the path, which a table of the data set may have given, leads elsewhere.
        """
        self._require_below(relative)
        path = self.root / relative
        if not path.exists():
            raise MissingData(f"{path} is missing. {self.how_to_get}")
        return path

    def _require_below(self, relative: str | Path) -> None:
        if Path(relative).is_absolute() or ".." in Path(relative).parts:
            raise ValueError(
                f"{str(relative)!r} leads out of the data set {self.root}; get its tables, or the "
                "list of frames, again"
            )

    def _rgb(self, image: str) -> np.ndarray:
        return read_rgb(self._file(image))

    def _glob(self, pattern: str) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.glob(pattern))


def everywhere(depth: np.ndarray) -> np.ndarray:
    """A mask that holds every pixel."""
    return np.ones(depth.shape, bool)


def pinhole(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    """Intrinsics as a matrix [3, 3], pixels."""
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64)
