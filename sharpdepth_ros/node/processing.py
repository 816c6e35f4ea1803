# SPDX-License-Identifier: Apache-2.0
"""What is done with one frame between its messages and the arrays that are published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from sharpdepth_ros.geometry.calibration import Calibration
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.rectification import RectifiedImage, Rectifier
from sharpdepth_ros.geometry.validity import only_valid
from sharpdepth_ros.node.camera_info import calibration_from_info
from sharpdepth_ros.node.images import compressed_to_rgb, image_to_rgb
from sharpdepth_ros.node.parameters import Parameters
from sharpdepth_ros.node.scale_smoothing import ScaleSmoother
from sharpdepth_ros.pipeline.draft_memory import DraftMemory
from sharpdepth_ros.pipeline.presets import Preset

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from std_msgs.msg import Header

    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthOutput, SharpDepthPipeline


class BadInput(ValueError):
    """A frame that cannot be used, for a reason the sender can put right.

    Attributes:
        cause: the name under which it is counted.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Frame:
    """An image and its CameraInfo as received.

    Attributes:
        received: time.monotonic() when the image arrived, seconds.
    """

    image: Image | CompressedImage
    info: CameraInfo
    received: float


@dataclass(frozen=True)
class Demand:
    """What somebody wants of the next frame: nothing else is computed."""

    depth: bool
    discrepancy: bool
    metric: bool

    def __bool__(self) -> bool:
        return self.depth or self.discrepancy or self.metric


EVERYTHING = Demand(depth=True, discrepancy=True, metric=True)


@dataclass(frozen=True)
class FrameResult:
    """One frame's results on the host.

    Attributes:
        frame: what came in.
        rgb: uint8 [H, W, 3], the rectified picture.
        camera: its pinhole camera.
        depth: float32 [H, W] metres, NaN where invalid; None if not wanted.
        discrepancy: float32 [H, W] in [0, 1]; None if not wanted or the mode has none.
        metric_depth: float32 [H, W] metres; None if not wanted.
        aligned: False if the depth is the metric model's because the fit was degenerate.
        timings: stage -> milliseconds.
    """

    frame: Frame
    rgb: np.ndarray
    camera: CameraModel
    depth: np.ndarray | None
    discrepancy: np.ndarray | None
    metric_depth: np.ndarray | None
    aligned: bool
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def header(self) -> Header:
        """The input image's header, which all outputs carry."""
        return self.frame.image.header


class CameraPictures:
    """Decodes and rectifies the frames of one camera."""

    def __init__(self) -> None:
        self._info_key: object = None
        self._calibration: Calibration
        self._rectifier: Rectifier | None = None

    def __call__(self, frame: Frame, rectify: bool, timings: dict[str, float]) -> RectifiedImage:
        """The rectified picture of a frame and its camera.

        Args:
            frame: image and camera_info.
            rectify: the parameter of this name.
            timings: gets the milliseconds of both steps.

        Raises:
            BadInput: the messages cannot be used.
        """
        with _stage(timings, "convert"):
            rgb = _picture(frame.image)
        with _stage(timings, "rectify"):
            height, width = rgb.shape[:2]
            calibration = self._calibration_of(frame.info, (width, height))
            _check_size(rgb, calibration, frame.info)
            return self._rectified(rgb, calibration, rectify)

    def _calibration_of(self, info: CameraInfo, image_size: tuple[int, int]) -> Calibration:
        """Reads a CameraInfo; a stream repeats the same one, so the last is kept."""
        roi = info.roi
        key = (
            image_size,
            (info.width, info.height, info.distortion_model, info.binning_x, info.binning_y),
            (roi.x_offset, roi.y_offset, roi.width, roi.height),
            np.concatenate((info.k, info.r, info.p, info.d)).tobytes(),
        )
        if key != self._info_key:
            try:
                self._calibration = calibration_from_info(info, image_size)
            except ValueError as error:
                raise BadInput("bad_camera_info", str(error)) from None
            self._info_key, self._rectifier = key, None
        return self._calibration

    def _rectified(
        self, rgb: np.ndarray, calibration: Calibration, rectify: bool
    ) -> RectifiedImage:
        if not rectify:
            if not (calibration.has_projection or calibration.lens.is_pinhole):
                raise BadInput(
                    "bad_camera_info",
                    "camera_info has distortion and no P: with rectify false P is the camera of "
                    "the rectified image; set rectify true, or send P",
                )
            return RectifiedImage(rgb, calibration.rectified)
        if self._rectifier is None:
            try:
                self._rectifier = Rectifier(calibration)
            except ValueError as error:
                raise BadInput("bad_camera_info", f"camera_info: {error}") from None
        return self._rectifier(rgb)


class FrameProcessor:
    """Turns frames into results. Used by one thread only.

    Attributes:
        steady_scale: what remembers the last frame, for scale_smoothing.
    """

    def __init__(self, pipeline: SharpDepthPipeline, parameters: Callable[[], Parameters]) -> None:
        """Args: the loaded pipeline; what gives the current parameter values."""
        self._pipeline = pipeline
        self._parameters = parameters
        self._pictures = CameraPictures()
        self.steady_scale = ScaleSmoother()
        self._memory: DraftMemory | None = None

    @torch.inference_mode()
    def warm_up(self, width: int = 640, height: int = 480) -> None:
        """One frame of nothing, so that the first real one finds everything allocated."""
        camera = CameraModel(width, height, width, width, width / 2, height / 2)
        rgb = np.full((height, width, 3), 127, np.uint8)
        image = RectifiedImage(rgb, camera)
        output = self._infer(image, self._parameters(), self._parameters().mode)
        output.depth.cpu()
        self._memory = None  # no picture of a camera's

    @torch.inference_mode()
    def __call__(self, frame: Frame, demand: Demand) -> FrameResult:
        """Processes a frame.

        Raises:
            BadInput: the frame's messages cannot be used.
        """
        parameters = self._parameters()
        timings: dict[str, float] = {}
        image = self._pictures(frame, parameters.rectify, timings)
        rgb, camera = image.rgb, image.camera
        only_metric = demand.metric and not (demand.depth or demand.discrepancy)
        output = self._infer(image, parameters, "metric" if only_metric else parameters.mode)
        with _stage(timings, "filter"):
            depth = None
            if demand.depth:
                depth = self.steady_scale(output.depth, rgb, parameters.scale_smoothing)
                depth = only_valid(
                    depth,
                    camera,
                    parameters.min_depth,
                    parameters.max_depth,
                    output.discrepancy,
                    1 - parameters.min_confidence,
                    parameters.edge_filter,
                )
        with _stage(timings, "to_host"):
            result = FrameResult(
                frame=frame,
                rgb=rgb,
                camera=camera,
                depth=_host(depth),
                discrepancy=_host(output.discrepancy) if demand.discrepancy else None,
                metric_depth=_host(output.metric_depth) if demand.metric else None,
                aligned=output.aligned or parameters.mode == "metric" or only_metric,
                timings=timings,
            )
        timings.update(output.timings)
        return result

    def _infer(self, image: RectifiedImage, parameters: Parameters, mode: str) -> SharpDepthOutput:
        longest_edge = parameters.processing_resolution
        return self._pipeline(
            torch.from_numpy(image.rgb),
            torch.from_numpy(image.camera.matrix),
            seen=image.seen,
            mode=mode,
            processing_resolution=None if longest_edge < 0 else longest_edge,
            fit=None if parameters.fit == "auto" else parameters.fit,
            lotus_steps=parameters.lotus_steps,
            seed=parameters.seed,
            memory=self._draft_memory(parameters.generator_every),
        )

    def _draft_memory(self, every: int) -> DraftMemory | None:
        """The camera's memory of the generator pass; a live change of its length starts it anew."""
        every = every or getattr(self._pipeline, "preset", Preset()).generator_every
        if self._memory is None or self._memory.every != every:
            self._memory = DraftMemory(every)
        return self._memory


def _picture(image: Image | CompressedImage) -> np.ndarray:
    decode = compressed_to_rgb if hasattr(image, "format") else image_to_rgb
    try:
        return decode(image)
    except ValueError as error:
        raise BadInput("bad_image", str(error)) from None


def _check_size(rgb: np.ndarray, calibration: Calibration, info: CameraInfo) -> None:
    height, width = rgb.shape[:2]
    raw = calibration.raw
    if (width, height) != (raw.width, raw.height):
        raise BadInput(
            "size_mismatch",
            f"the image is {width}x{height}, but camera_info ({info.width}x{info.height} before "
            f"region of interest and binning) describes {raw.width}x{raw.height}: the camera was "
            "calibrated at another resolution",
        )


def _host(values: torch.Tensor | None) -> np.ndarray | None:
    return None if values is None else values.cpu().numpy()


@contextmanager
def _stage(timings: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    timings[name] = (time.perf_counter() - begun) * 1e3
