# SPDX-License-Identifier: Apache-2.0
"""Where predictions come from: a SharpDepth pipeline in its modes, or files made elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sharpdepth_ros.evaluation.alignment import PredictionSpace
from sharpdepth_ros.evaluation.datasets.base import MissingData, Sample
from sharpdepth_ros.evaluation.files import MILLIMETRES, SUFFIXES, read_depth

if TYPE_CHECKING:  # the networks take seconds to import, and files need none
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

MODES = ("sharpdepth", "aligned", "metric")


class Predictor(Protocol):
    """Answers one or several methods for a sample.

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
        processing_resolution: longest edge in pixels, 0 for the image's own.
        lotus_steps: of the generator.
        seed: of the noise.
        names: what the models are called, for the record.
    """

    space: PredictionSpace = "depth"

    def __init__(
        self,
        pipeline: "SharpDepthPipeline",
        modes: Sequence[str] = MODES,
        *,
        use_intrinsics: bool = True,
        processing_resolution: int = 768,
        lotus_steps: int = 1,
        seed: int = 0,
        names: dict[str, str] | None = None,
    ):
        if unknown := set(modes) - set(MODES):
            raise ValueError(f"modes {', '.join(sorted(unknown))}: known are {', '.join(MODES)}")
        if not modes:
            raise ValueError(f"no mode to evaluate; give some of {', '.join(MODES)}")
        self._pipeline, self._use_intrinsics = pipeline, use_intrinsics
        self.methods = tuple(modes)
        self._options = {
            "processing_resolution": processing_resolution,
            "lotus_steps": lotus_steps,
            "seed": seed,
        }
        self.settings = self._options | {"intrinsics": use_intrinsics} | (names or {})

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """See `Predictor`. The metric depth is a by-product of the other modes."""
        intrinsics = sample.intrinsics if self._use_intrinsics else None
        answers = {}
        for mode in sorted(methods, key=MODES.index):
            if mode == "metric" and answers:
                answers[mode] = out.metric_depth  # noqa: F821 - of the mode before
                continue
            out = self._pipeline(sample.rgb, intrinsics, mode=mode, **self._options)
            answers[mode] = out.depth
        return answers


class FilePredictor:
    """Predictions that another program wrote, one file per sample.

    Args:
        root: holds NAME.npy, .png, .exr or .tif for every sample NAME (the image's path below the
            data set's root, without suffix), or a file of the image's base name.
        method: what to call it.
        png_scale: integers per metre in .png and .tif.
        space: depth in metres, or disparity (which then needs an alignment to be metric).
    """

    def __init__(
        self,
        root: str | Path,
        method: str = "prediction",
        *,
        png_scale: float = MILLIMETRES,
        space: PredictionSpace = "depth",
    ):
        self.root, self.methods, self.space = Path(root), (method,), space
        self._png_scale = png_scale
        self.settings = {
            "predictions": str(root),
            "png_scale": png_scale,
            "space": space,
        }
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root} is not a folder with predictions")

    def predict(self, sample: Sample, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """See `Predictor`.

        Raises:
            MissingData: there is no file for the sample.
            ValueError: the file's size is not the sample's.
        """
        names = dict.fromkeys([sample.name, Path(sample.name).name])
        candidates = [self.root / f"{name}{suffix}" for name in names for suffix in SUFFIXES]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise MissingData(
                f"no prediction for {sample.name}: {self.root / sample.name}{'|'.join(SUFFIXES)} "
                "is missing. Name predictions like the data set's images, with their folders or "
                "without"
            )
        depth = read_depth(path, self._png_scale)
        if depth.shape != sample.depth.shape:
            raise ValueError(
                f"{path} is {depth.shape} and the ground truth {sample.depth.shape} (height, "
                "width); resize predictions to the images"
            )
        return {self.methods[0]: depth}
