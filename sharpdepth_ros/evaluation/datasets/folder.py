# SPDX-License-Identifier: Apache-2.0
"""Anyone's own data: folders rgb/ and depth/, and what else there is."""

import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np

from sharpdepth_ros.evaluation.datasets.base import DepthDataset, MissingData, Sample
from sharpdepth_ros.evaluation.depth_readers import read_mask
from sharpdepth_ros.io.depth_files import DEPTH_SUFFIXES, FAR_METRES, MILLIMETRES, read_depth
from sharpdepth_ros.io.intrinsics_files import SUFFIXES as CAMERA_SUFFIXES
from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.recordings.images import SUFFIXES as IMAGE_SUFFIXES

MASK_SUFFIXES = (".png", ".npy")


class FolderDataset(DepthDataset):
    """A plain folder; what `sharpdepth_ros.synthetic.write_dataset` writes has this layout too.

    Files belong together by their name without suffix (subfolders are kept):

        rgb/NAME.png|jpg|...
        depth/NAME.png|npy|exr|tif     integers in 1 / png_scale metres, floats in metres
        intrinsics/NAME.txt|npy|json|yaml, or frames/NAME.json, or one intrinsics.* for all
        valid/NAME.png|npy             optional: not zero where the depth counts
        edges/NAME.png|npy             optional: not zero on annotated depth edges

    Args:
        root: the folder; other arguments as in `DepthDataset`.
        png_scale: integers per metre in .png and .tif.
        dense: whether to take edges of the depth as ground truth for sharpness.
        max_depth: metres.
    """

    key = "folder"
    title: ClassVar[str] = "a plain folder"
    dense: ClassVar[bool] = True
    max_depth: ClassVar[float] = np.inf
    min_depth: ClassVar[float] = 0.0
    how_to_get = (
        "A plain folder holds rgb/NAME.png (or .jpg) and depth/NAME.png, .npy or .exr, and where "
        "known intrinsics/NAME.txt or one intrinsics.txt with the 3 x 3 matrix."
    )

    def __init__(
        self,
        root: str | Path,
        *,
        png_scale: float = MILLIMETRES,
        dense: bool = True,
        max_depth: float = np.inf,
        **options,
    ):
        self.png_scale, self.dense, self.max_depth = png_scale, dense, max_depth
        super().__init__(root, **options)
        self.title = self.root.resolve().name

    def _find(self) -> list[str]:
        self._file("rgb")
        return [p for p in self._glob("rgb/**/*") if Path(p).suffix.lower() in IMAGE_SUFFIXES]

    def _name(self, image: str) -> str:
        return Path(image).relative_to("rgb").with_suffix("").as_posix()

    def _read(self, image: str) -> Sample:
        name = self._name(image)
        depth_path = self._beside("depth", name, DEPTH_SUFFIXES)
        if depth_path is None:
            wanted = self.root / "depth" / name
            raise MissingData(f"{wanted}{'|'.join(DEPTH_SUFFIXES)} is missing. {self.how_to_get}")
        depth = read_depth(depth_path, self.png_scale)
        _check_metres(depth_path, depth)
        valid = self._beside("valid", name, MASK_SUFFIXES)
        edges = self._beside("edges", name, MASK_SUFFIXES)
        camera = (
            self._beside("intrinsics", name, CAMERA_SUFFIXES)
            or self._beside("frames", name, (".json",))
            or self._beside(".", "intrinsics", CAMERA_SUFFIXES)
        )
        rgb = self._rgb(image)
        valid = np.ones(depth.shape, bool) if valid is None else read_mask(valid)
        edges = None if edges is None else read_mask(edges)
        if camera is None:
            return Sample(name, rgb, depth, valid, None, edges)
        height, width = rgb.shape[:2]
        given = read_intrinsics(str(camera))
        for remark in given.remarks(width, height):
            warnings.warn(remark, stacklevel=2)
        rectifier = given.rectifier(width, height)
        matrix = rectifier.calibration.rectified.matrix
        if rectifier.calibration.is_rectified or depth.shape != (height, width):
            return Sample(name, rgb, depth, valid, matrix, edges)
        if not np.allclose(rectifier.calibration.rotation, np.eye(3).ravel(), atol=1e-6):
            raise ValueError(
                f"{camera} has a rectification matrix that turns the camera, and the depth of "
                f"{name} is along the axis of the one that is not turned: leave the matrix out"
            )
        # Depth and masks are of the picture, and go through the lens as it does.
        depth, valid = rectifier.nearest(depth), rectifier.nearest(valid)
        edges = None if edges is None else rectifier.nearest(edges)
        return Sample(name, rectifier(rgb).rgb, depth, valid, matrix, edges)

    def _beside(self, folder: str, name: str, suffixes: tuple[str, ...]) -> Path | None:
        paths = (self.root / folder / f"{name}{suffix}" for suffix in suffixes)
        return next((path for path in paths if path.is_file()), None)


def _check_metres(path: Path, depth: np.ndarray) -> None:
    """Raises ValueError for millimetres: far whole numbers, which no depth in metres is."""
    valid = depth[np.isfinite(depth) & (depth > 0)]
    if valid.size and np.median(valid) > FAR_METRES and (valid == np.rint(valid)).all():
        raise ValueError(
            f"{path} holds whole numbers with a median of {np.median(valid):.0f}: depth is in "
            "metres, and this looks like millimetres; divide it by 1000, or save it as 16-bit .png"
        )
