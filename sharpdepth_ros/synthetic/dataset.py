# SPDX-License-Identifier: Apache-2.0
"""Writes frames to disk as a data set, and reads them back.

Layout of ``out_dir`` (N is the frame number, six digits or more):

    dataset.json    the options everything follows from, and this layout's version
    rgb/N.png       8-bit RGB
    depth/N.png     16-bit grey, millimetres of z-depth; 0 = sky, or farther than 65.535 m
    depth/N.npy     float32 [H, W] metres; 0 = sky          (either or both, see depth_format)
    valid/N.png     8-bit grey, 255 = a surface, 0 = sky
    frames/N.json   intrinsics [3][3] (pixels, integer pixel centres), pose [4][4] (camera to
                    world; camera x right, y down, z forward), time (s), kind, scene_seed

A frame is complete once its JSON file exists: that one is written last, and every file appears
under its name in one step. So a run that was stopped can simply be started again; frames with files
that are missing or empty, as after a power cut, are then rendered again.
"""

from __future__ import annotations

import dataclasses
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from sharpdepth_ros.io.depth_files import decode_image, read_array, read_rgb
from sharpdepth_ros.synthetic.renderer import Frame
from sharpdepth_ros.synthetic.sampling import Sample, SampleOptions, render_sample

_VERSION = 1
_MAX_MILLIMETRES = 65535
DEPTH_FORMATS = ("png", "npy", "both")


@dataclass(frozen=True)
class DatasetReport:
    """What ``write_dataset`` did: frames written now, and frames found complete before."""

    path: Path
    written: int
    skipped: int


def write_dataset(
    out_dir: str | os.PathLike,
    frames: int,
    *,
    options: SampleOptions | None = None,
    depth_format: str = "png",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> DatasetReport:
    """Render ``frames`` frames into ``out_dir``; continue there if some are complete already.

    Args:
        out_dir: created if need be.
        frames: total number of frames, those found complete included.
        options: see ``SampleOptions``.
        depth_format: "png", "npy" or "both".
        workers: processes. More than one needs the calling script's ``__main__`` guard.
        progress: called with (frames complete, frames) as the work goes on.

    Raises:
        ValueError: a bad argument, or ``out_dir`` holds a data set made with other options.
    """
    options = SampleOptions() if options is None else options
    if frames != int(frames) or frames < 1:
        raise ValueError(f"frames is {frames!r}; give a whole number, 1 or more")
    if workers != int(workers) or workers < 1:
        raise ValueError(f"workers is {workers!r}; give a whole number, 1 or more")
    if depth_format not in DEPTH_FORMATS:
        raise ValueError(f"depth_format is {depth_format!r}; choose one of {DEPTH_FORMATS}")
    root = Path(out_dir)
    _claim(root, options, depth_format)
    missing = [i for i in range(frames) if not _is_complete(root, i, depth_format)]
    # One scene's frames go to one process, which then builds the scene once.
    groups: dict[int, list[int]] = {}
    for index in missing:
        groups.setdefault(index // options.views_per_scene, []).append(index)
    done = frames - len(missing)
    write = partial(_write_group, root, options, depth_format)
    for count in _run(write, list(groups.values()), workers):
        done += count
        if progress is not None:
            progress(done, frames)
    return DatasetReport(root, len(missing), frames - len(missing))


def read_frame(out_dir: str | os.PathLike, index: int) -> Frame:
    """Frame ``index`` of a data set. Depth is inf where it is not stored: sky and, in PNG, far."""
    root = Path(out_dir)
    path = _file(root, "frames", index, "json")
    if not path.exists():
        raise ValueError(f"{root} has no complete frame {index}; there is no file {path}")
    try:
        about = json.loads(path.read_text())
        intrinsics = np.array(about["intrinsics"], float).reshape(3, 3)
        pose, time = np.array(about["pose"], float).reshape(4, 4), float(about["time"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a frame ({error!r})") from error
    rgb = read_rgb(_file(root, "rgb", index, "png"))
    exact = _file(root, "depth", index, "npy")
    if exact.exists():
        depth = read_array(exact)
    else:
        exact = _file(root, "depth", index, "png")
        depth = decode_image(exact, cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
    if depth.shape != rgb.shape[:2]:
        raise ValueError(f"{exact} has the shape {depth.shape}, its image {rgb.shape[:2]}")
    depth = np.where(depth > 0, depth, np.float32(np.inf))
    return Frame(rgb=rgb, depth=depth, intrinsics=intrinsics, pose=pose, time=time)


def _claim(root: Path, options: SampleOptions, depth_format: str) -> None:
    """Create the folders and dataset.json, or check that the one there says the same."""
    about = {
        "format": "sharpdepth-synthetic",
        "version": _VERSION,
        "depth_format": depth_format,
        "options": dataclasses.asdict(options),
    }
    about = json.loads(json.dumps(about))  # as it reads back: tuples are lists
    path = root / "dataset.json"
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged ({error}); move it elsewhere and run the same command again"
            ) from error
        if found != about:
            raise ValueError(
                f"{path} was made with other settings: {found}, not {about}; use the same ones to "
                "continue it, or another folder"
            )
        return
    for folder in ("rgb", "depth", "valid", "frames"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write(path, (json.dumps(about, indent=2) + "\n").encode())


def _is_complete(root: Path, index: int, depth_format: str) -> bool:
    """Whether all files of a frame hold something: a power cut leaves names of empty files."""
    files = [_file(root, "frames", index, "json")]
    files += [_file(root, folder, index, "png") for folder in ("rgb", "valid")]
    endings = ("png", "npy") if depth_format == "both" else (depth_format,)
    files += [_file(root, "depth", index, ending) for ending in endings]
    return all(file.is_file() and file.stat().st_size for file in files)


def _run(write: Callable[[list[int]], int], groups: list[list[int]], workers: int) -> Iterator[int]:
    if workers == 1 or len(groups) <= 1:
        yield from map(write, groups)
        return
    # Spawned, not forked: the caller may have threads (ROS, torch) that do not survive a fork.
    context = multiprocessing.get_context("spawn")
    # One thread each: OpenCV's own would only wait for the processor beside other processes.
    with ProcessPoolExecutor(
        min(workers, len(groups)), context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        try:
            for future in as_completed([pool.submit(write, group) for group in groups]):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_group(root: Path, options: SampleOptions, depth_format: str, indices: list[int]) -> int:
    for index in indices:
        _write_frame(root, index, render_sample(options, index), depth_format)
    return len(indices)


def _write_frame(root: Path, index: int, sample: Sample, depth_format: str) -> None:
    frame = sample.frame
    depth = np.where(frame.valid, frame.depth, np.float32(0))
    _write_png(_file(root, "rgb", index, "png"), frame.rgb)
    _write_png(_file(root, "valid", index, "png"), frame.valid.astype(np.uint8) * 255)
    if depth_format in ("png", "both"):
        millimetres = np.rint(depth.astype(np.float64) * 1000)
        millimetres[millimetres > _MAX_MILLIMETRES] = 0
        _write_png(_file(root, "depth", index, "png"), millimetres.astype(np.uint16))
    if depth_format in ("npy", "both"):
        buffer = io.BytesIO()
        np.save(buffer, depth)
        _write(_file(root, "depth", index, "npy"), buffer.getvalue())
    about = {
        "intrinsics": frame.intrinsics.tolist(),
        "pose": frame.pose.tolist(),
        "time": frame.time,
        "kind": sample.kind,
        "scene_seed": sample.scene_seed,
    }
    _write(_file(root, "frames", index, "json"), json.dumps(about).encode())


def _write_png(path: Path, image: np.ndarray) -> None:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _write(path, cv2.imencode(".png", bgr)[1].tobytes())


def _write(path: Path, content: bytes) -> None:
    """The file appears complete or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _file(root: Path, folder: str, index: int, ending: str) -> Path:
    return root / folder / f"{index:06d}.{ending}"
