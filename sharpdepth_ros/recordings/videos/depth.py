# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth video`: depth of a video's frames, in pieces that a killed run keeps."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from sharpdepth_ros.io.atomic_files import written_whole
from sharpdepth_ros.io.colormap import NEAR_FAR_QUANTILES
from sharpdepth_ros.io.intrinsics_files import GivenCamera
from sharpdepth_ros.pipeline.distributed import Processes
from sharpdepth_ros.pipeline.provenance import changes
from sharpdepth_ros.recordings.images import picture_of, why_again, write_depth_files
from sharpdepth_ros.recordings.prefetch import (
    FAILURES,
    Done,
    Infer,
    Picture,
    infer_pictures,
    run_jobs,
)
from sharpdepth_ros.recordings.run_problems import Problems
from sharpdepth_ros.recordings.videos.reading import Video, VideoFrame
from sharpdepth_ros.recordings.videos.side_by_side import SideBySide
from sharpdepth_ros.recordings.videos.writing import PieceOfVideo, frame_times, join_pieces

#: Frames of a piece: what a kill may cost, and what one process of several does at a time.
_PIECE = 64
#: Frames whose depth decides what the colours mean.
_SAMPLES = 16


@dataclass(frozen=True)
class VideoRun:
    """What to do with a video.

    Attributes:
        source: the file.
        output: folder for NAME_depth.mp4, NAME_depth.json and the folder NAME.
        formats: video, and of each frame any of `images.FORMATS`.
        every: take every n-th frame.
        start: seconds of the video.
        end: likewise; None for its end.
        near: metres of the brightest colour; None: from a look at the whole video.
        far: metres of the darkest colour; likewise.
        intrinsics: the camera, or None.
        facts: what else decides the result; JSON values.
        workers: threads that write files.
        batch: frames at once.
        piece: frames of a piece.
        tell: called with what the user should know of how the camera is used.
    """

    source: Path
    output: Path
    formats: Sequence[str] = ("video",)
    every: int = 1
    start: float = 0.0
    end: float | None = None
    near: float | None = None
    far: float | None = None
    intrinsics: GivenCamera | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 2
    batch: int = 1
    piece: int = _PIECE
    tell: Callable[[str], object] = print

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}; 1 takes all frames, 2 every other one")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"nothing lies between {self.start} and {self.end} seconds")
        for name in ("near", "far"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} is {value} metres; give a positive number")
        if self.near is not None and self.far is not None and self.near >= self.far:
            raise ValueError(f"near {self.near} has to be below far {self.far}")

    @property
    def name(self) -> str:
        return self.source.stem

    @property
    def video(self) -> Path | None:
        """The video to write, if one is."""
        return self.output / f"{self.name}_depth.mp4" if "video" in self.formats else None

    @property
    def frame_formats(self) -> list[str]:
        """What to write of each frame."""
        return [name for name in self.formats if name != "video"]

    def files_of(self, number: int) -> Path:
        """Name of a frame's files, as `images.write_depth_files` takes it."""
        return self.output / self.name / f"{number:06d}"

    @property
    def frame_facts(self) -> dict[str, Any]:
        """What decides the files of a frame."""
        return {"run": self.identity}

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what comes out."""
        return json.loads(
            json.dumps(
                {
                    "formats": sorted(self.formats),
                    "every": self.every,
                    "start": self.start,
                    "end": self.end,
                    "near": self.near,
                    "far": self.far,
                    "piece": self.piece,
                    **self.facts,
                }
            )
        )

    def frames_expected(self, video: Video) -> int | None:
        """How many frames there will be, as far as the file tells."""
        if video.frames is None:
            return None
        first = round(self.start * video.rate)
        last = video.frames if self.end is None else round(self.end * video.rate)
        return max(-(-(min(last, video.frames) - first) // self.every), 0)


def depth_of_video(
    run: VideoRun,
    infer: Infer,
    processes: Processes,
    restart: bool = False,
    remark: Callable[[str], object] = lambda text: None,
) -> tuple[int, Problems]:
    """Writes the depth of a video, going on where an earlier run was killed.

    Several processes share the pieces; the main one joins them.

    Args:
        run: what to do.
        infer: depth of pictures.
        processes: this one, and how many there are.
        restart: do again what an earlier run has done.
        remark: told in the main process why something is done again.

    Returns:
        The number of frames (of this process; the main one counts those on the disk), and what
        could not be done (the main one tells).

    Raises:
        ValueError: the file is no video, or holds no frame of the chosen part; or what was written
            does not hold all frames.
    """
    problems = Problems()
    # A camera is of the sensor's rows and columns.
    video = Video(run.source, problems, upright=run.intrinsics is None)
    work = run.output / f"{run.name}_depth.part"
    summary = run.output / f"{run.name}_depth.json"
    if not restart and not work.exists():
        differs = _why_again(run, summary)
        if differs == {}:
            known = json.loads(summary.read_text())
            return known["frames"], Problems(known["problems"])
        for sentence in (differs or {}).values() if processes.is_main else ():
            remark(f"done again: {sentence}")
    if processes.is_main:
        _prepare(work, run, restart, remark)
    processes.wait()
    near_far = _range_of(run, video, infer, work, processes)
    with tqdm(
        total=run.frames_expected(video),
        unit="frame",
        desc=run.name,
        disable=not processes.is_main,
    ) as bar:
        count = _do_pieces(run, video, infer, near_far, work, processes, bar)
    processes.wait()
    if processes.is_main:
        records = sorted(work.glob("*.json"))
        pieces = [json.loads(record.read_text()) for record in records]
        frames = sum(piece["frames"] for piece in pieces)
        for piece in pieces:
            for what, (number, case) in piece["problems"].items():
                problems.add(what, case, number)
        if not frames:
            shutil.rmtree(work)
            raise ValueError(
                f"{run.source} has no frame between {run.start} and {run.end or 'its end'} s that "
                "can be used" + "".join(f"; {line}" for line in problems.lines())
            )
        if run.video:
            parts = [r for r, piece in zip(records, pieces, strict=True) if piece["frames"]]
            parts = [record.with_suffix(PieceOfVideo.SUFFIX) for record in parts]
            count = join_pieces(parts, run.video)
        if run.frame_formats:
            count = sum(_has_files(run, number) for piece in pieces for number in piece["numbers"])
            if others := len(_frames_there(run)) - count:
                remark(f"{run.files_of(0).parent} also holds {others} frames of other runs")
        if count != frames:
            raise ValueError(
                f"{count} of {frames} frames are on the disk; the same command goes on from the "
                f"pieces in {work}"
            )
        facts = {
            "frames": frames,
            "frames_with_metric_depth_alone": sum(piece["fallbacks"] for piece in pieces),
            "near": near_far[0],
            "far": near_far[1],
            "problems": problems.as_dict(),
            "run": run.identity,
        }
        with written_whole(summary) as file:
            file.write_text(json.dumps(facts, indent=2))
        shutil.rmtree(work)
    processes.wait()
    return count, problems


def _why_again(run: VideoRun, summary: Path) -> dict[str, str] | None:
    """What differs from an earlier run and what it left; empty: it can be kept, None: there is
    none."""
    try:
        known = json.loads(summary.read_text())
        found, frames = changes(known["run"], run.identity), known["frames"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not found and run.video:
        try:
            there = len(frame_times(run.video))
        except (OSError, av.FFmpegError):
            there = 0
        if there != frames:
            found["video"] = f"{run.video} holds {there} of {frames} frames"
    if not found and run.frame_formats:
        there = sum(_has_files(run, number) for number in _frames_there(run))
        if there < frames:
            found["frames"] = f"{run.files_of(0).parent} holds {there} of {frames} frames"
    return found


def _frames_there(run: VideoRun) -> list[int]:
    """Numbers of the frames that have files, of whatever run."""
    names = (path.name.partition("_")[0] for path in run.files_of(0).parent.glob("*_depth.json"))
    return [int(name) for name in names if name.isdigit()]


def _has_files(run: VideoRun, number: int) -> bool:
    """Whether a frame has all its files, as this run writes them."""
    return why_again(run.files_of(number), run.frame_formats, run.frame_facts) == {}


def _prepare(work: Path, run: VideoRun, restart: bool, remark: Callable[[str], object]) -> None:
    """The folder of this run's pieces; pieces of another run are thrown away."""
    record = work / "run"
    try:
        found = changes(json.loads(record.read_text()), run.identity)
    except (OSError, ValueError, AttributeError):
        found = {"run": f"{record} cannot be read"} if work.exists() else {}
    if restart or found:
        for sentence in () if restart else found.values():
            remark(f"unfinished work is begun again: {sentence}")
        shutil.rmtree(work, ignore_errors=True)
    with written_whole(record) as file:
        file.write_text(json.dumps(run.identity))


def _range_of(
    run: VideoRun, video: Video, infer: Infer, work: Path, processes: Processes
) -> tuple[float, float]:
    """Near and far, from depth all over the video: one range, so the colours do not flicker."""
    if "video" not in run.formats:
        return 0.0, 0.0
    record = work / "range"
    if processes.is_main and not record.exists():
        values = []
        for rgb in video.sample(_SAMPLES) if None in (run.near, run.far) else ():
            with contextlib.suppress(*FAILURES):  # told when the frame's turn comes
                picture = picture_of(rgb, run.intrinsics, run.tell)
                depth = infer_pictures(infer, [picture])[0].depth[::4, ::4]
                values.append(depth[np.isfinite(depth) & (depth > 0)])
        pooled = np.concatenate([*values, np.zeros(0, np.float32)])
        near, far = np.quantile(pooled, NEAR_FAR_QUANTILES).tolist() if pooled.size else (1.0, 10.0)
        near, far = run.near or near, run.far or far
        with written_whole(record) as file:
            file.write_text(json.dumps([near, max(far, near * 1.01)]))
    processes.wait()
    near, far = json.loads(record.read_text())
    return near, far


def _do_pieces(
    run: VideoRun,
    video: Video,
    infer: Infer,
    near_far: tuple[float, float],
    work: Path,
    processes: Processes,
    bar: tqdm,
) -> int:
    count = 0
    whole: dict[int, bool] = {}

    def jobs() -> Iterator[tuple[int, VideoFrame]]:
        """The frames that are not done, with the number of their piece."""
        for place, frame in enumerate(_chosen(run, video)):
            piece = place // run.piece
            if piece % processes.count != processes.index:
                continue
            if piece not in whole:
                whole[piece] = _is_whole(run, work / f"{piece:06d}.json")
            if whole[piece]:
                bar.update()
                nonlocal count
                count += 1
            else:
                yield piece, frame

    def write(job: tuple[int, VideoFrame], picture: Picture, out: Any) -> None:
        if run.frame_formats:
            write_depth_files(
                run.files_of(job[1].number),
                picture.rgb,
                out,
                run.frame_formats,
                run.frame_facts,
                form=picture.form,
            )

    piece: _Piece | None = None
    with contextlib.ExitStack() as stack:
        for done in run_jobs(
            jobs(),
            lambda job: picture_of(job[1].rgb, run.intrinsics, run.tell),
            infer,
            write,
            workers=run.workers,
            batch=run.batch,
            in_order=True,
        ):
            number, frame = done.job
            if piece is None or piece.number != number:
                if piece is not None:
                    piece.finish()
                piece = _Piece(run, video, near_far, work, number)
                stack.callback(piece.abort)
            bar.update()
            if done.error is None:
                piece.add(done)
                count += 1
            else:
                piece.problems.add("frames without depth", f"frame {frame.number}: {done.error}")
        if piece is not None:
            piece.finish()
    return count


def _is_whole(run: VideoRun, record: Path) -> bool:
    """Whether a piece was finished and is still there; what is left of one that is not goes."""
    try:
        said = json.loads(record.read_text())
        whole = not (run.video and said["frames"]) or said["frames"] == len(
            frame_times(record.with_suffix(PieceOfVideo.SUFFIX))
        )
        whole &= all(_has_files(run, n) for n in said["numbers"] if run.frame_formats)
    except (OSError, ValueError, KeyError, TypeError, av.FFmpegError):
        whole = False
    if not whole:
        record.unlink(missing_ok=True)
    return whole


def _chosen(run: VideoRun, video: Video) -> Iterator[VideoFrame]:
    place = 0
    for frame in video.read():
        seconds = (frame.time - video.begin) * video.time_base
        if seconds < run.start:
            continue
        if run.end is not None and seconds >= run.end:
            return
        if place % run.every == 0:
            yield frame
        place += 1


class _Piece:
    """One piece in work: its part of the video and the record that makes it count."""

    def __init__(
        self, run: VideoRun, video: Video, near_far: tuple[float, float], work: Path, number: int
    ) -> None:
        self.number, self.problems = number, Problems()
        self._run, self._video, self._near_far = run, video, near_far
        self._record = work / f"{number:06d}.json"
        # Over what a killed run left.
        self._file = self._record.with_suffix(PieceOfVideo.SUFFIX)
        self._numbers: list[int] = []
        self._fallbacks = 0
        self._compose: SideBySide | None = None
        self._part: PieceOfVideo | None = None

    def add(self, done: Done[tuple[int, VideoFrame]]) -> None:
        out, frame, rgb = done.output, done.job[1], done.picture.rgb
        self._numbers.append(frame.number)
        self._fallbacks += not out.aligned and self._run.facts.get("mode") != "metric"
        if "video" not in self._run.formats:
            return
        if self._compose is None:
            height, width = _first_size(self._record.parent, rgb)
            self._compose = SideBySide(width, height, *self._near_far)
            self._part = PieceOfVideo(
                self._file, self._compose.size, self._video.rate, self._video.time_base
            )
        self._part.add(self._compose(rgb, out.depth), frame.time - self._video.begin)

    def finish(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            part.close()
            found = len(frame_times(self._file))
            if found != len(self._numbers):
                raise ValueError(f"{self._file} holds {found} of {len(self._numbers)} frames")
        with written_whole(self._record) as file:
            record = {
                "frames": len(self._numbers),
                "numbers": self._numbers,
                "fallbacks": self._fallbacks,
                "problems": self.problems.as_dict(),
            }
            file.write_text(json.dumps(record))

    def abort(self) -> None:
        if self._part is not None:
            self._part.abort()


def _first_size(work: Path, rgb: np.ndarray) -> tuple[int, int]:
    """Height and width of the first frame of all, whichever process met it: pieces must agree."""
    record = work / "size"
    if not record.exists():
        with written_whole(record) as file:
            file.write_text(json.dumps(rgb.shape[:2]))
    height, width = json.loads(record.read_text())
    return height, width
