# SPDX-License-Identifier: Apache-2.0
"""Writes a video in pieces that are whole or not there, and joins them without encoding again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sharpdepth_ros.io.atomic_files import written_whole

#: H.264 that every browser and player shows. No frame refers to a later one, so that pieces join.
_OPTIONS = {"crf": "18", "preset": "veryfast", "bf": "0"}

#: Seconds that containers may round the time of a frame by.
_PUNCTUAL = Fraction(1, 1000)


class PieceOfVideo:
    """One piece, in a container that keeps any time base."""

    SUFFIX = ".nut"

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction, ticks: Fraction) -> None:
        """Opens it.

        Args:
            path: of the piece.
            size: (width, height) of its images, even numbers.
            rate: frames per second, for the encoder's choices alone.
            ticks: seconds per tick.
        """
        self._container = av.open(str(path), "w")
        stream = self._container.add_stream("libx264", rate=rate, options=_OPTIONS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = ticks
        self._stream, self._ticks = stream, ticks

    def add(self, image: np.ndarray, time: int) -> None:
        """A frame: uint8 [height, width, 3], and its time in ticks."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = time, self._ticks
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Writes what is left."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abort(self) -> None:
        """Closes it without finishing."""
        self._container.close()


def join_pieces(pieces: Sequence[Path], path: Path) -> int:
    """One video of all pieces, in order.

    Returns:
        The number of frames in the file, which has been read again.

    Raises:
        ValueError: the pieces hold no frame, or the file does not hold theirs at their times; it
            is then not put in place.
    """
    with written_whole(path) as draft:
        times = _join(pieces, draft)
        found = frame_times(draft) if times else []
        if not times or len(found) != len(times):
            raise ValueError(
                f"{path} was not written: its pieces hold {len(times)} frames and it {len(found)}"
            )
        late = max(abs(one - other) for one, other in zip(found, times, strict=True))
        if late > _PUNCTUAL:
            raise ValueError(
                f"{path} was not written: it has a frame {float(late):.3f} s off its time"
            )
    return len(found)


def frame_times(path: Path) -> list[Fraction]:
    """Seconds of each frame in a video that this module wrote; one packet is one frame.

    Raises:
        av.FFmpegError: it cannot be read.
    """
    with av.open(str(path)) as container:
        packets = container.demux(video=0)
        return [packet.pts * packet.time_base for packet in packets if packet.size]


def _join(pieces: Sequence[Path], path: Path) -> list[Fraction]:
    """Seconds of each frame that was handed to the file."""
    times = []
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as joined:
        stream = None
        for piece in pieces:
            with av.open(str(piece)) as source:
                given = source.streams.video[0]
                if stream is None:
                    stream = joined.add_stream_from_template(given)
                for packet in source.demux(given):
                    if not packet.size:  # it only ends the stream
                        continue
                    times.append(packet.pts * packet.time_base)
                    # The reader cannot tell it where frames are far apart. None is reordered.
                    packet.dts = packet.pts
                    packet.stream = stream
                    joined.mux(packet)
    return times
