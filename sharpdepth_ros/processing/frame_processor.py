# SPDX-License-Identifier: Apache-2.0
"""One frame from its messages to the arrays that are published: decode, infer, filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.rectification import RectifiedImage
from sharpdepth_ros.geometry.validity import only_valid
from sharpdepth_ros.pipeline.generator_cache import DraftMemory
from sharpdepth_ros.pipeline.presets import Preset
from sharpdepth_ros.processing.decoding import CameraPictures, stage
from sharpdepth_ros.processing.frame import Demand, Frame, FrameResult
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.processing.scale_smoothing import ScaleSmoother

if TYPE_CHECKING:
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthOutput, SharpDepthPipeline


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

    @property
    def memory(self) -> dict[str, Any]:
        """What earlier frames decide about later ones, as JSON values; given back to it, work goes
        on as if it had not been interrupted."""
        scale, held = self.steady_scale.memory, self._pictures.intensity.held
        return {"scale": scale and [array.tolist() for array in scale], "intensity": held}

    @memory.setter
    def memory(self, memory: Mapping[str, Any]) -> None:
        scale, held = memory["scale"], memory["intensity"]
        self.steady_scale.memory = scale and tuple(np.asarray(a, np.float32) for a in scale)
        self._pictures.intensity.held = held and tuple(held)

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
        self._pictures.set_intensity(parameters.intensity_range)
        image = self._pictures(frame, parameters.rectify, timings)
        rgb, camera = image.rgb, image.camera
        only_metric = demand.metric and not (demand.depth or demand.discrepancy)
        output = self._infer(image, parameters, "metric" if only_metric else parameters.mode)
        with stage(timings, "filter"):
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
        with stage(timings, "to_host"):
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


def _host(values: torch.Tensor | None) -> np.ndarray | None:
    return None if values is None else values.cpu().numpy()
