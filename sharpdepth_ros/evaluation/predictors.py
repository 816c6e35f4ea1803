# SPDX-License-Identifier: Apache-2.0
"""Where predictions come from: a SharpDepth pipeline in its modes, or files made elsewhere."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sharpdepth_ros.evaluation.alignment import PredictionSpace
from sharpdepth_ros.evaluation.datasets.base import MissingData, Sample
from sharpdepth_ros.evaluation.records import fingerprint
from sharpdepth_ros.io.depth_files import DEPTH_SUFFIXES, MILLIMETRES, read_depth

if TYPE_CHECKING:  # the networks take seconds to import, and files need none
    from sharpdepth_ros.models.generator import Fit
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline
    from sharpdepth_ros.refiners.discrepancy import Gate

MODES = ("sharpdepth", "aligned", "metric")


class Predictor(Protocol):
    """Answers one or several methods for a sample.

    One that answers from what may change under the same settings, such as files, also has a method
    `fingerprint(sample) -> str` of it.

    Attributes:
        methods: their names, the rows of the result's table.
        space: what the answers are.
        settings: what the answers depend on, for the record; JSON values.
    """

    methods: tuple[str, ...]
    space: PredictionSpace
    settings: dict

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """float32 [H, W] of the sample's size, for each of the methods."""


class PipelinePredictor:
    """A pipeline in some of its modes.

    Args:
        pipeline: loaded.
        modes: some of sharpdepth, aligned, metric.
        use_intrinsics: give the data set's camera to the metric model where there is one.
        processing_resolution: longest edge in pixels, 0 for the image's own, None for what the
            model was trained for.
        lotus_steps: of the generator.
        seed: of the noise.
        fallback: answer with the metric depth where the alignment is degenerate, as on a robot;
            False takes the fit whatever it is, as the released evaluation does.
        gate: where noise goes (see `SharpDepthPipeline`).
        fit: how affine depth is brought to metres, None as the model says.
        names: what the models are called, for the record.
    """

    space: PredictionSpace = "depth"

    def __init__(
        self,
        pipeline: "SharpDepthPipeline",
        modes: Sequence[str] = MODES,
        *,
        use_intrinsics: bool = True,
        processing_resolution: int | None = None,
        lotus_steps: int = 1,
        seed: int = 0,
        fallback: bool = True,
        gate: "Gate" = "noise-aware",
        fit: "Fit | None" = None,
        names: dict[str, str] | None = None,
    ):
        if unknown := set(modes) - set(MODES):
            raise ValueError(f"modes {', '.join(sorted(unknown))}: known are {', '.join(MODES)}")
        if not modes:
            raise ValueError(f"no mode to evaluate; give some of {', '.join(MODES)}")
        self._pipeline, self._use_intrinsics = pipeline, use_intrinsics
        self.methods = tuple(modes)
        self._options = {
            "processing_resolution": pipeline.processing_resolution
            if processing_resolution is None
            else processing_resolution,
            "lotus_steps": lotus_steps,
            "seed": seed,
            "fallback": fallback,
            "gate": gate,
            "fit": fit or pipeline.fit,
        }
        self.settings = self._options | {"intrinsics": use_intrinsics} | (names or {})

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """See `Predictor`. The metric depth is a by-product of the other modes."""
        intrinsics = sample.intrinsics if self._use_intrinsics else None
        answers, metric_depth = {}, None
        for mode in sorted(methods, key=MODES.index):  # "metric" last
            if mode == "metric" and metric_depth is not None:
                answers[mode] = metric_depth
                continue
            out = self._pipeline(sample.rgb, intrinsics, mode=mode, **self._options)
            answers[mode], metric_depth = out.depth, out.metric_depth
        return answers


class FilePredictor:
    """Predictions that another program wrote, one file per sample.

    A sample NAME (the image's path below the data set's root, without suffix) is answered by
    NAME.npy, .png, .exr or .tif, or by pred_NAME or pred_N in the same folder, as SharpDepth's and
    Marigold's scripts name them (rgb_0001 becomes pred_0001). Folders may be left out where the
    file names of the data set are unique.

    Args:
        root: the folder.
        method: what to call it.
        names: of all samples of the data set, to know which file names are unique; None for no
            looking without folders.
        png_scale: integers per metre in .png and .tif.
        space: depth in metres, or disparity (which then needs an alignment to be metric).

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the method's name could not be part of a file's.
    """

    def __init__(
        self,
        root: str | Path,
        method: str = "prediction",
        *,
        names: Sequence[str] | None = None,
        png_scale: float = MILLIMETRES,
        space: PredictionSpace = "depth",
    ):
        self.root, self.methods, self.space = Path(root), (method,), space
        self._png_scale = png_scale
        files = Counter(Path(name).name for name in names or ())
        self._unique = {file for file, count in files.items() if count == 1}
        self.settings = {"predictions": str(root), "png_scale": png_scale, "space": space}
        if not re.fullmatch(r"[\w.+-]+", method):
            raise ValueError(f"method {method!r}: take letters, digits and _ . + - for its name")
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root} is not a folder with predictions")

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """See `Predictor`.

        Raises:
            MissingData: there is no file for the sample.
            ValueError: the file's size is not the sample's.
        """
        path = self._path_of(sample.name)
        depth = read_depth(path, self._png_scale)
        if depth.shape != sample.depth.shape:
            raise ValueError(
                f"{path} is {depth.shape} and the ground truth {sample.depth.shape} (height, "
                "width); resize predictions to the images"
            )
        return {self.methods[0]: depth}

    def fingerprint(self, sample: Sample) -> str:
        """Of the content of the sample's file."""
        return fingerprint(file=np.fromfile(self._path_of(sample.name), np.uint8))

    def _path_of(self, name: str) -> Path:
        path = next((path for path in self._candidates(name) if path.is_file()), None)
        if path is None:
            raise MissingData(
                f"no prediction for {name}: {self.root / name}{'|'.join(DEPTH_SUFFIXES)} "
                "is missing. Name predictions like the data set's images, with their folders, or "
                "without where no two images share a name"
            )
        return path

    def _candidates(self, name: str) -> Iterator[Path]:
        """Files that could be the sample's, the surest first."""
        folder, file = Path(name).parent, Path(name).name
        folders = [folder] + ([Path()] if file in self._unique else [])
        published = [f"pred_{file}", f"pred_{file.partition('_')[2] or file}"]
        for place in folders:
            for stem in (file, *published):
                for suffix in DEPTH_SUFFIXES:
                    yield self.root / place / f"{stem}{suffix}"
