# SPDX-License-Identifier: Apache-2.0
"""Reads a video frame by frame; frames that cannot be decoded are counted, not fatal."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sharpdepth_ros.recordings.run_problems import Problems

#: Decoded frames that wait for the model.
_AHEAD = 8


@dataclass(frozen=True)
class VideoFrame:
    """One frame.

    Attributes:
        number: counted from 0 in the whole video.
        time: in the video's ticks (see `Video.time_base`).
        rgb: uint8 [H, W, 3].
    """

    number: int
    time: int
    rgb: np.ndarray


class Video:
    """A video file.

    Attributes:
        path: of it.
        time_base: seconds per tick.
        rate: frames per second on average.
        frames: about how many there are, as far as the file says; None if it does not.
        problems: what cannot be read.
    """

    def __init__(self, path: Path, problems: Problems, upright: bool = True) -> None:
        """Reads its head.

        Args:
            path: of the file.
            problems: gets what cannot be read.
            upright: turn the frames as the file says. Otherwise they are the sensor's rows and
                columns.

        Raises:
            ValueError: it is no video.
        """
        self.path, self.problems, self._upright = path, problems, upright
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise ValueError(f"{path} has no video in it")
                stream = container.streams.video[0]
                self.time_base: Fraction = stream.time_base
                self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
                self.begin = stream.start_time or 0
                duration = stream.duration
                if duration is None and container.duration is not None:
                    duration = round(container.duration / 1e6 / self.time_base)
                self._duration = duration
                expected = round(duration * self.time_base * self.rate) if duration else None
                self._listed = stream.frames
                self.frames = stream.frames or expected
        except av.FFmpegError as error:
            raise ValueError(f"{path} is not a video that can be read: {error}") from error

    def read(self) -> Iterator[VideoFrame]:
        """All frames, decoded by a thread ahead of the caller."""
        ahead: queue.Queue = queue.Queue(_AHEAD)
        given_up = threading.Event()

        def put(item: object) -> bool:
            while not given_up.is_set():
                try:
                    ahead.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def decode() -> None:
            try:
                for frame in self._decoded():
                    if not put(frame):
                        return
                put(None)
            except Exception as error:  # handed over: it is raised where frames are taken
                put(error)

        thread = threading.Thread(target=decode, name="sharpdepth-video", daemon=True)
        thread.start()
        try:
            while (item := ahead.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            given_up.set()
            thread.join()

    def sample(self, count: int) -> Iterator[np.ndarray]:
        """Up to `count` pictures from all over the video; from its beginning if it has no index."""
        if not self._duration:
            for frame, _ in zip(self.read(), range(count), strict=False):
                yield frame.rgb
            return
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            for index in range(count):
                wanted = self.begin + self._duration * (2 * index + 1) // (2 * count)
                try:
                    # To the key frame before it, and on from there.
                    container.seek(wanted, stream=stream)
                    frame = None
                    for frame in container.decode(stream):
                        if frame.pts is None or frame.pts >= wanted:
                            break  # else the last one, which is shown to the end
                except av.FFmpegError:
                    continue  # read() counts what is damaged
                if frame is not None:
                    yield self._pixels(frame)

    def _decoded(self) -> Iterator[VideoFrame]:
        number, last, step = 0, None, max(round(1 / (self.rate * self.time_base)), 1)
        longest = step
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in self._frames(container, stream):
                time = frame.pts
                if time is None or (last is not None and time <= last):
                    if time is not None:
                        self.problems.add("time jumps back", f"at frame {number}")
                    time = (self.begin if last is None else last) + step
                yield VideoFrame(number, time, self._pixels(frame))
                longest = max(longest, frame.duration or 0, 0 if last is None else time - last)
                number, last = number + 1, time
        self._look_at_end(number, last, longest)

    def _look_at_end(self, count: int, last: int | None, longest: int) -> None:
        """Tell of frames that the file speaks of and that were not there.

        Args:
            count: frames that were read.
            last: time of the last one, in ticks; None without any.
            longest: time that one of them was shown, in ticks.
        """
        if self._listed:
            if count < self._listed - 1:
                self.problems.note(f"{count} of {self._listed} frames could be read")
        elif last is not None and self._duration:
            # No list of frames: their rate may vary, so the number that it stands for says little.
            rest = self.begin + self._duration - last
            if rest > 2 * longest:
                ends = [float(t * self.time_base) for t in (last - self.begin, self._duration)]
                self.problems.note(
                    f"the last frame that could be read is at {ends[0]:.3f} s of {ends[1]:.3f} s"
                )

    def _frames(self, container, stream) -> Iterator[av.VideoFrame]:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                yield from packet.decode()
            except av.InvalidDataError as error:
                self.problems.add("damaged parts were skipped", str(error))
            except av.FFmpegError as error:
                self.problems.note("reading ended early", str(error))
                return

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        rgb = frame.to_ndarray(format="rgb24")
        turns = round(getattr(frame, "rotation", 0) / 90) % 4 if self._upright else 0
        return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb
