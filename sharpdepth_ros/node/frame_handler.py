# SPDX-License-Identifier: Apache-2.0
"""What the worker's threads do for the node: load the models, process frames, publish results."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING

import torch

from sharpdepth_ros.node.statistics import NOBODY_LISTENS, SUPERSEDED, FrameStatistics
from sharpdepth_ros.node.worker import CannotContinue
from sharpdepth_ros.processing.frame import EVERYTHING, BadInput, Demand, Frame, FrameResult
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters

if TYPE_CHECKING:
    from sharpdepth_ros.node.publishers import Outputs
    from sharpdepth_ros.node.throttled_log import ProblemReporter
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline


def build_pipeline(parameters: Parameters) -> SharpDepthPipeline:
    """Loads the models that the parameters name.

    Raises:
        ValueError: a name, device or precision that is not known.
        OSError: weights that are not there or cannot be read.
    """
    # Here, because importing the networks takes seconds: on the device thread, while the node is
    # already there to answer.
    from sharpdepth_ros.pipeline.engine import EngineOptions
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

    return SharpDepthPipeline.from_pretrained(
        parameters.model,
        metric_model=parameters.metric_model,
        generator=parameters.generator or None,
        device=parameters.device,
        precision=parameters.precision,
        compile=parameters.compile,
        preset=parameters.preset,
        tiny_vae=parameters.tiny_vae or None,
        engine=EngineOptions(cuda_graphs=parameters.cuda_graphs, backend=parameters.backend),
    )


class FrameWork:
    """The node's `Work` (see worker.py).

    Attributes:
        last_result: the last frame that was published; None before the first.
    """

    def __init__(
        self,
        parameters: Callable[[], Parameters],
        outputs: Outputs,
        statistics: FrameStatistics,
        problems: ProblemReporter,
        on_lost: Callable[[CannotContinue], None],
        pipeline_factory: Callable[[Parameters], SharpDepthPipeline],
    ) -> None:
        self._parameters = parameters
        self._outputs = outputs
        self._statistics = statistics
        self._problems = problems
        self._on_lost = on_lost
        self._pipeline_factory = pipeline_factory
        self._processor: FrameProcessor | None = None
        self._requests: deque[Future[FrameResult]] = deque()
        self.device = torch.device("cpu")
        self.last_result: FrameResult | None = None

    def load(self) -> None:
        pipeline = self._pipeline_factory(self._parameters())
        self.device = torch.device(pipeline.device)
        pipeline.on_notice = lambda notice: self._problems.warning("precision", notice)
        self._processor = FrameProcessor(pipeline, self._parameters)
        self._processor.warm_up()

    def request_frame(self) -> Future[FrameResult]:
        """Asks for the next frame with everything in it, whoever listens; any thread.

        Returns:
            The frame to come; cancelled if none can come any more. It cannot be cancelled any more
            while the frame is in work. The error with which that frame failed, if it did.
        """
        request: Future[FrameResult] = Future()
        self._requests.append(request)
        return request

    def process(self, frame: Frame) -> FrameResult | None:
        demand = self._outputs.demand()
        requests = [r for r in self._take_requests() if r.set_running_or_notify_cancel()]
        if not (demand or requests):
            self._statistics.dropped(NOBODY_LISTENS)
            return None
        try:
            result = self._process(frame, EVERYTHING if requests else demand)
        except BaseException as error:  # who waits hears of an exit too
            for request in requests:
                request.set_exception(error)
            raise
        for request in requests:
            request.set_result(result)
        return result if demand else None

    def _take_requests(self) -> Iterator[Future[FrameResult]]:
        while self._requests:
            yield self._requests.popleft()

    def _process(self, frame: Frame, demand: Demand) -> FrameResult:
        try:
            return self._processor(frame, demand)
        except BadInput:
            raise
        except Exception as error:
            if self.device.type == "cuda" and not _is_out_of_memory(error):
                # An error that stays after the queue has been waited for is the device's own.
                try:
                    torch.cuda.synchronize(self.device)
                except RuntimeError as fault:
                    raise CannotContinue(f"{self.device} is lost: {fault}") from error
            raise

    def publish(self, result: FrameResult) -> None:
        stages = result.timings | self._outputs.publish(result)
        age = (time.monotonic() - result.frame.received) * 1e3
        self._statistics.published(age, stages)
        self.last_result = result
        if not result.aligned:
            self._problems.warning(
                "not_aligned",
                "the sharpened depth could not be fitted to the metric depth; this frame's depth "
                "is the metric model's alone",
            )

    def failed(self, stage: str, error: Exception) -> None:
        if isinstance(error, BadInput):
            self._statistics.dropped(error.cause)
            self._problems.warning(error.cause, str(error))
        elif _is_out_of_memory(error):
            # The frames of the traceback still hold the tensors that were too many.
            traceback.clear_frames(error.__traceback__)
            _free_memory()
            self._statistics.dropped("out_of_memory")
            self._problems.error(
                "out_of_memory",
                f"out of memory on {self.device}; the frame is dropped and the cache emptied. If "
                "this goes on, lower processing_resolution (now "
                f"{self._parameters().processing_resolution}; -1: what the model was trained for)",
            )
        else:
            self._statistics.dropped(f"{stage}_failed")
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._problems.error(
                f"{stage}_failed",
                f"a frame failed to {stage}: {type(error).__name__}: {error} "
                f"({where.filename}:{where.lineno})",
            )

    def superseded(self, frame: Frame) -> None:
        self._statistics.dropped(SUPERSEDED)

    def lost(self, error: CannotContinue) -> None:
        self._on_lost(error)

    def unload(self) -> None:
        self._processor = None
        self.last_result = None
        for request in self._take_requests():
            request.cancel()
        _free_memory()


def _is_out_of_memory(error: Exception) -> bool:
    # The CPU's allocator, and cuBLAS and cuDNN (..._ALLOC_FAILED), have no exception of their own.
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("can't allocate memory", "ALLOC_FAILED"))
    )


def _free_memory() -> None:
    """Gives memory that nothing refers to back to the device and to the system."""
    gc.collect()
    # A lost device raises here again; it has nothing left to free.
    with contextlib.suppress(RuntimeError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    # Another C library than glibc decides by itself when to give memory back.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
