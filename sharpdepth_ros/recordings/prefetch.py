# SPDX-License-Identifier: Apache-2.0
"""Keeps the model busy: what comes next is read ahead, what is done is written behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np

from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.recordings.run_problems import BAD_INPUT

if TYPE_CHECKING:
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

Job = TypeVar("Job")

#: What ends a job and not the run. RuntimeError: of the device.
FAILURES = (*BAD_INPUT, RuntimeError)

#: Of images and their cameras; and of `Picture.seen`, by that name, where an image has it.
Infer = Callable[..., list[SharpDepthOutput]]


@dataclass(frozen=True)
class Picture:
    """An image and what is known of its camera.

    Attributes:
        rgb: uint8 [H, W, 3].
        intrinsics: [3, 3] pixels, or None.
        seen: bool [H, W], False where the camera saw nothing; None where it saw every pixel.
        form: what was done to the file's picture: "sensor" is nothing, "upright" turned by its EXIF
            orientation, "rectified" resampled.
    """

    rgb: np.ndarray
    intrinsics: np.ndarray | None = None
    seen: np.ndarray | None = None
    form: Literal["sensor", "upright", "rectified"] = "sensor"


@dataclass(frozen=True)
class Done(Generic[Job]):
    """A job that is over: with its output, or with the reason why it has none."""

    job: Job
    picture: Picture | None = None
    output: SharpDepthOutput | None = None
    error: Exception | None = None


def batches_of(pipe: SharpDepthPipeline, **options: object) -> Infer:
    """How a pipeline answers several images of one size: at once where it can.

    Args:
        pipe: loaded.
        options: of each call, such as mode.
    """

    def infer(images, cameras, seen=None):
        if hasattr(pipe, "batch"):
            masks = {} if seen is None else {"seen": seen}
            return pipe.batch(images, cameras, **masks, **options)
        masks = [{} if mask is None else {"seen": mask} for mask in seen or [None] * len(images)]
        return [
            pipe(rgb, camera, **mask, **options)
            for rgb, camera, mask in zip(images, cameras, masks, strict=True)
        ]

    return infer


def infer_pictures(infer: Infer, pictures: Sequence[Picture]) -> list[SharpDepthOutput]:
    """The outputs of pictures of one size."""
    masks = [picture.seen for picture in pictures]
    partly_seen = any(mask is not None for mask in masks)
    return infer(
        [picture.rgb for picture in pictures],
        [picture.intrinsics for picture in pictures],
        **({"seen": masks} if partly_seen else {}),
    )


def run_jobs(
    jobs: Iterable[Job],
    read: Callable[[Job], Picture],
    infer: Infer,
    write: Callable[[Job, Picture, SharpDepthOutput], None],
    *,
    workers: int = 2,
    batch: int = 1,
    in_order: bool = False,
) -> Iterator[Done[Job]]:
    """Reads, infers and writes every job; gives each when it is over.

    Args:
        jobs: taken as they are needed.
        read: called on a worker.
        infer: called here, with images of one size.
        write: called on a worker.
        workers: threads that read and write.
        batch: largest number of images at once.
        in_order: give the jobs in their order; images of another size then end a batch.
    """
    with ThreadPoolExecutor(workers, "sharpdepth-files") as pool:
        run = _Run(pool, infer, write, batch, in_order)
        remaining = iter(jobs)
        reading: deque[tuple[Job, Future]] = deque()
        try:
            while True:
                while len(reading) < workers + batch and (job := next(remaining, None)) is not None:
                    reading.append((job, pool.submit(read, job)))
                if not reading:
                    break
                job, future = reading.popleft()
                try:
                    run.take(job, future.result())
                except FAILURES as error:
                    run.fail(job, error)
                yield from run.over(wait_for=2 * workers + batch)
            run.flush()
            yield from run.over(wait_for=0)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Run(Generic[Job]):
    def __init__(self, pool, infer: Infer, write: Callable, batch: int, in_order: bool) -> None:
        self._pool, self._infer, self._write = pool, infer, write
        self._batch, self._in_order = batch, in_order
        self._groups: dict[tuple, list[tuple[Job, Picture]]] = {}
        self._writing: deque[tuple[Done[Job], Future | None]] = deque()

    def take(self, job: Job, picture: Picture) -> None:
        kind = picture.rgb.shape, picture.intrinsics is None
        if self._in_order and self._groups and kind not in self._groups:
            self.flush()
        group = self._groups.setdefault(kind, [])
        group.append((job, picture))
        if len(group) >= self._batch:
            self._flush(kind)
        elif sum(map(len, self._groups.values())) > 4 * self._batch:  # many sizes: do not hoard
            self._flush(max(self._groups, key=lambda k: len(self._groups[k])))

    def fail(self, job: Job, error: Exception) -> None:
        if self._in_order:
            self.flush()
        self._writing.append((Done(job, error=error), None))

    def flush(self) -> None:
        for kind in list(self._groups):
            self._flush(kind)

    def over(self, wait_for: int) -> Iterator[Done[Job]]:
        """What is written by now; waits until no more than `wait_for` are left to be written."""
        while self._writing:
            done, future = self._writing[0]
            if future is not None and not future.done() and len(self._writing) <= wait_for:
                return
            self._writing.popleft()
            try:
                if future is not None:
                    future.result()
                yield done
            except FAILURES as error:
                yield Done(done.job, error=error)

    def _flush(self, kind: tuple) -> None:
        group = self._groups.pop(kind)
        pictures = [picture for _, picture in group]
        try:
            outputs = infer_pictures(self._infer, pictures)
        except FAILURES as error:
            if len(group) == 1:
                self._writing.append((Done(group[0][0], error=error), None))
                return
            for job, picture in group:  # one of them may be to blame, or together they are too much
                self._groups[kind] = [(job, picture)]
                self._flush(kind)
            return
        for (job, picture), output in zip(group, outputs, strict=True):
            future = self._pool.submit(self._write, job, picture, output)
            self._writing.append((Done(job, picture, output), future))
