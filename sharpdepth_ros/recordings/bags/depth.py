# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag`: a copy of a bag with the depth that the node would have published."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Writer

from sharpdepth_ros.io.intrinsics_files import GivenCamera
from sharpdepth_ros.messages.topics import (
    DEPTH,
    DEPTH_CAMERA_INFO,
    DISCREPANCY,
    METRIC,
    OUTPUTS,
    POINTS,
    PREVIEW,
)
from sharpdepth_ros.pipeline.provenance import model_facts
from sharpdepth_ros.processing.depth_messages import DepthMessages, demand_of
from sharpdepth_ros.processing.frame import BadInput, Frame, FrameResult
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.recordings.bags.cameras import Camera
from sharpdepth_ros.recordings.bags.definitions import add_topic, is_known
from sharpdepth_ros.recordings.bags.frames import CameraStream, Recorded, Selection, recorded
from sharpdepth_ros.recordings.bags.reading import Bag
from sharpdepth_ros.recordings.bags.topic import Topic
from sharpdepth_ros.recordings.bags.work_folder import BagForm, WorkFolder
from sharpdepth_ros.recordings.run_problems import Problems

if TYPE_CHECKING:
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

#: Output topics by the short names of the command line.
OUTPUT_NAMES = {
    "depth": DEPTH,
    "camera_info": DEPTH_CAMERA_INFO,
    "points": POINTS,
    "preview": PREVIEW,
    "discrepancy": DISCREPANCY,
    "metric": METRIC,
}
_TYPES = {DEPTH_CAMERA_INFO: messages.CAMERA_INFO, POINTS: messages.POINT_CLOUD}

#: Bytes of messages after which a piece of work is finished, whatever the time it took.
_PIECE_BYTES = 2**29
#: Messages and results that may wait to be written.
_WAITING = 32
#: Frames in a row that may fail for a reason that is not theirs; then the run ends.
_FAILURES = 5
#: Parameters that do not change what a frame's messages are, and why.
NOT_DECIDING = {
    "autostart": "it is of the node alone",
    "device": "the arithmetic that it gives the precision is recorded",
    "compile": "it is the same arithmetic, rounded otherwise",
    "cuda_graphs": "it replays the same arithmetic",
    "max_rate": "a bag is not live: every frame is done",
    "snapshot_folder": "it is of the node alone",
    "image_transport": "the cameras' topics are recorded",
}


class CannotGoOn(RuntimeError):
    """The device or the disk fails, and no later frame can do better. The cause is chained."""


class Interrupted(Exception):
    """The run was asked to stop; what it did is kept."""


@dataclass
class Progress:
    """How far a run is; kept with every finished piece.

    Attributes:
        consumed: messages of the input that are done with.
        frames: of all cameras that have depth.
        copied: messages of the input in the output.
        added: messages of depth in the output.
        fallbacks: frames whose depth is the metric model's alone.
        problems: met so far that reading the input again does not show.
        memory: per camera, what its frames decide about later ones.
    """

    consumed: int = 0
    frames: int = 0
    copied: int = 0
    added: int = 0
    fallbacks: int = 0
    problems: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What became of a run.

    Attributes:
        progress: what was done.
        problems: what could not be done.
        remarks: what was done, but may surprise.
    """

    progress: Progress
    problems: Problems
    remarks: Problems


@dataclass(frozen=True)
class DepthRun:
    """What to do with a bag.

    Attributes:
        cameras: to make depth for.
        parameters: of the node.
        outputs: names of its output topics, some of `node.topics.OUTPUTS`.
        selection: part of the bag and frames.
        form: of the new bag.
        intrinsics: instead of the bag's camera_info.
        checkpoint: seconds of work that a kill may cost.
    """

    cameras: Sequence[Camera]
    parameters: Parameters
    outputs: Sequence[str]
    selection: Selection
    form: BagForm
    intrinsics: GivenCamera | None = None
    checkpoint: float = 300.0

    def identity(self, bag: Bag) -> dict[str, Any]:
        """Everything that decides what comes out."""
        parameters = self.parameters
        return {
            "input": str(bag.path.resolve()),
            "files": [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in bag.files],
            "cameras": [[c.namespace, c.image_name, c.info_name] for c in self.cameras],
            **{k: v for k, v in asdict(parameters).items() if k not in NOT_DECIDING},
            **model_facts(
                parameters.model,
                parameters.metric_model,
                generator=parameters.generator,
                tiny_vae=parameters.tiny_vae,
                preset=parameters.preset,
                precision=parameters.precision,
                device=parameters.device,
            ),
            "outputs": sorted(self.outputs),
            "selection": asdict(self.selection),
            "form": asdict(self.form),
            "intrinsics": None if self.intrinsics is None else repr(self.intrinsics),
        }

    def frames_expected(self, bag: Bag) -> int:
        """How many frames there will be, as far as the bag's counts tell."""
        images = sum(bag.topics[topic] for camera in self.cameras for topic in camera.image)
        first, last = bag.span or (0, 0)
        start, end = self.selection.limits(bag)
        part = (min(end or last, last) - max(start or first, first)) / max(last - first, 1)
        return max(round(images * min(max(part, 0), 1) / self.selection.every), 1)


def add_depth(
    bag: Bag,
    target: Path,
    run: DepthRun,
    load: Callable[[Parameters], SharpDepthPipeline],
    *,
    restart: bool = False,
    on_frames: Callable[[int], None] = lambda done: None,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Writes a copy of the bag with depth, going on where an earlier run was killed.

    Args:
        bag: the input, open; it is only read.
        target: final name of the new bag.
        run: what to do.
        load: loads the models.
        restart: throw away what an earlier run left.
        on_frames: told the number of frames that are done, at once those of an earlier run.
        stop: asked after each message; true ends the run, to be gone on with later.

    Raises:
        ValueError: the output cannot be written, or would not be unambiguous.
        Interrupted: `stop` said so.
        CannotGoOn: several frames in a row failed, or the disk is full. What was finished before
            is kept.
    """
    _check_free(bag, run)
    remarks = Problems()
    for topic, count in bag.topics.items():
        if count and not is_known(topic):
            remarks.note(
                f"{topic.name}: nothing describes the type {topic.type}; its {count} messages were "
                "copied as they are"
            )
    folder = WorkFolder(target, run.form, run.identity(bag))
    with folder.opened(restart) as earlier:
        done = Progress(**earlier) if earlier else Progress()
        on_frames(done.frames)
        # The streams see the whole bag again, and find what they found; what frames met is kept.
        stream_problems = Problems()
        streams = [
            CameraStream(
                camera,
                run.parameters,
                run.selection,
                stream_problems,
                run.intrinsics,
                remarks.note,
            )
            for camera in run.cameras
        ]
        problems = Problems(done.problems)
        frames = _FrameDepth(run, load, problems, done.memory)
        with _PieceWriter(folder, bag, run) as writer:
            _pass_all(bag, run, streams, frames, writer, done, on_frames, stop)
            done.problems = frames.problems.as_dict()
            writer.finish(done)
        for stream in streams:
            stream.finish()
        folder.put_in_place(done.copied + done.added)
    for found in (stream_problems, problems):
        for what, (count, case) in found.as_dict().items():
            bag.problems.add(what, case, count)
    if done.fallbacks:
        remarks.note(
            f"{done.fallbacks} of {done.frames} frames have the metric model's depth alone: the "
            "sharpened depth could not be fitted to it"
        )
    return Report(done, bag.problems, remarks)


def _pass_all(
    bag: Bag,
    run: DepthRun,
    streams: Sequence[CameraStream],
    frames: _FrameDepth,
    writer: _PieceWriter,
    done: Progress,
    on_frames: Callable[[int], None],
    stop: Callable[[], bool],
) -> None:
    infos = [topic for camera in run.cameras for topic in camera.info]
    for number, message in enumerate(recorded(bag, run.selection, infos), 1):
        is_new = number > done.consumed
        if is_new and message.within:
            writer.copy(message)
            done.copied += 1
        for stream in streams:
            for frame in stream.add(message):
                result = frames(stream.camera, frame) if is_new else None
                if result is not None:
                    done.added += writer.add(stream.camera, result, message.stamp)
                    done.frames += 1
                    done.fallbacks += not result.aligned
                    on_frames(done.frames)
        if is_new:
            done.consumed = number
            stopping = stop()
            if stopping or writer.piece_is_due():
                done.problems, done.memory = frames.problems.as_dict(), frames.memory()
                writer.finish(done)
            if stopping:
                raise Interrupted


def _check_free(bag: Bag, run: DepthRun) -> None:
    """That no output topic is in the bag already, or is another camera's."""
    names = [camera.output(topic) for camera in run.cameras for topic in run.outputs]
    taken = sorted({t.name for t in bag.topics} & set(names))
    if taken:
        raise ValueError(
            f"the bag has {', '.join(taken)} already: --namespace puts the new topics elsewhere"
        )


class _FrameDepth:
    """Depth of frames of several cameras by one pipeline, loaded when the first frame comes."""

    def __init__(
        self,
        run: DepthRun,
        load: Callable[[Parameters], SharpDepthPipeline],
        problems: Problems,
        memory: Mapping[str, Any],
    ) -> None:
        self.problems = problems
        self._run, self._load, self._remembered = run, load, memory
        self._demand = demand_of(run.outputs, run.parameters)
        self._processors: dict[str, FrameProcessor] = {}
        self._failures = 0

    def __call__(self, camera: Camera, frame: Frame) -> FrameResult | None:
        """None if the frame cannot be used; the reason is then in `problems`."""
        processor = self._processor_of(camera)
        if not hasattr(frame.image, "format"):
            # rosbags' arrays are read-only views, which torch does not take.
            frame = replace(frame, image=replace(frame.image, data=frame.image.data.copy()))
        try:
            result = processor(frame, self._demand)
        except BadInput as error:
            what = f"{camera.image_name}: frames without depth, {error.cause}"
            self.problems.add(what, str(error))
            return None
        except (RuntimeError, MemoryError) as error:
            what = f"{camera.image_name}: frames that failed"
            self.problems.add(what, f"{type(error).__name__}: {error}")
            self._failures += 1
            if self._failures >= _FAILURES:
                raise CannotGoOn(
                    f"{_FAILURES} frames in a row failed, the last one with: {error}"
                ) from error
            return None
        self._failures = 0
        return result

    def memory(self) -> dict[str, Any]:
        """What the processors remember, per camera, for a JSON file."""
        return {**self._remembered, **{n: p.memory for n, p in self._processors.items()}}

    def _processor_of(self, camera: Camera) -> FrameProcessor:
        if not self._processors:
            pipeline = self._load(self._run.parameters)
            for other in self._run.cameras:
                self._processors[other.image_name] = FrameProcessor(
                    pipeline, lambda: self._run.parameters
                )
            for name, memory in self._remembered.items():
                self._processors[name].memory = memory
        return self._processors[camera.image_name]


class _PieceWriter:
    """Writes pieces on a thread behind the model, in order."""

    def __init__(self, folder: WorkFolder, bag: Bag, run: DepthRun) -> None:
        self._folder, self._bag, self._run = folder, bag, run
        self._thread = ThreadPoolExecutor(1, "sharpdepth-bag-writer")
        self._waiting: deque[Future] = deque()
        self._depth_messages = DepthMessages(messages.MESSAGES)
        # Of the piece in work, used on the thread alone.
        self._writer: Writer | None = None
        self._copied: dict[Topic, Connection] = {}
        self._added: dict[str, Connection] = {}
        # Of the piece in work, used by the caller.
        self._size, self._begun, self._is_empty = 0, time.monotonic(), True

    def __enter__(self) -> _PieceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._waiting:
            future.cancel()
        # On the thread, to which an SQLite connection belongs. A full disk has been told already.
        with contextlib.suppress(OSError, sqlite3.Error):
            self._thread.submit(self._abort).result()
        self._thread.shutdown()

    def copy(self, message: Recorded) -> None:
        """A message of the input, as it is."""
        self._size += len(message.data)
        self._put(self._copy, message)

    def add(self, camera: Camera, result: FrameResult, stamp: int) -> int:
        """The depth messages of a frame, recorded when its last message was; how many."""
        made = set(self._depth_messages.topics(result)) & set(self._run.outputs)
        topics = [topic for topic in OUTPUTS if topic in made]
        self._size += result.rgb.size // 3 * 20  # about the depth image and the cloud
        self._put(self._add, camera, result, topics, stamp)
        return len(topics)

    def piece_is_due(self) -> bool:
        """Whether the piece in work is large, or has taken long."""
        old = time.monotonic() - self._begun >= self._run.checkpoint
        return not self._is_empty and (old or self._size >= _PIECE_BYTES)

    def finish(self, progress: Progress) -> None:
        """Waits for everything and makes it a finished piece, if there is anything."""
        if not self._is_empty:
            self._put(self._close, asdict(progress))
        while self._waiting:
            self._wait_for_one()
        self._size, self._begun, self._is_empty = 0, time.monotonic(), True

    def _put(self, work: Callable[..., None], *arguments: object) -> None:
        self._is_empty = False
        while len(self._waiting) >= _WAITING or (self._waiting and self._waiting[0].done()):
            self._wait_for_one()
        self._waiting.append(self._thread.submit(work, *arguments))

    def _wait_for_one(self) -> None:
        try:
            self._waiting.popleft().result()
        except (OSError, sqlite3.Error) as error:
            raise CannotGoOn(f"the new bag cannot be written: {error}") from error

    def _open(self) -> Writer:
        if self._writer is None:
            self._writer = self._run.form.writer(self._folder.begin_piece())
            self._writer.open()
            # All topics in every piece, so that a bag of several files reads as one.
            self._copied = {topic: add_topic(self._writer, topic) for topic in self._bag.topics}
            self._added = {
                name: self._writer.add_connection(
                    name,
                    _TYPES.get(topic, messages.IMAGE),
                    typestore=messages.TYPES,
                    offered_qos_profiles=[messages.NODE_QOS],
                )
                for camera in self._run.cameras
                for topic in self._run.outputs
                for name in [camera.output(topic)]
            }
        return self._writer

    def _copy(self, message: Recorded) -> None:
        self._open().write(self._copied[message.topic], message.stamp, message.data)

    def _add(self, camera: Camera, result: FrameResult, topics: Sequence[str], stamp: int) -> None:
        writer = self._open()
        for topic in topics:
            message = self._depth_messages.make(topic, result, self._run.parameters)
            connection = self._added[camera.output(topic)]
            data = messages.TYPES.serialize_cdr(message, connection.msgtype)
            writer.write(connection, stamp, data)

    def _abort(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

    def _close(self, progress: dict[str, Any]) -> None:
        self._writer.close()
        self._folder.finish_piece(self._writer.path, progress)
        self._writer = None
