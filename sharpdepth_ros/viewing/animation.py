# SPDX-License-Identifier: Apache-2.0
"""Writes pictures as an animation: GIF, WebP, or MP4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sharpdepth_ros.io.atomic_files import written_whole

SUFFIXES = (".gif", ".webp", ".mp4")
PALETTE_FRAMES = 6
"""Frames from which a GIF's palette is made: one for all keeps colours from flickering."""

WEBP_QUALITY = 70

LONGEST_EDGE = {".gif": 65535, ".webp": 16383, ".mp4": 8191}
"""Pixels that the formats have numbers for (MPEG-4 Part 2: 13 bits)."""


def check_animation(
    path: Path, width: int, height: int, frames: int, fps: float, colours: int
) -> None:
    """Checks what `write_animation` is to be given, which may take minutes to draw.

    Raises:
        ValueError: another suffix, no frames, or numbers that the format does not have.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: animations are {', '.join(SUFFIXES)}, not {suffix!r}")
    if frames < 1:
        raise ValueError(f"frames is {frames}; give 1 or more")
    if not 0 < fps <= 100:
        raise ValueError(f"fps is {fps:g}; give more than 0, and at most 100")
    if not 2 <= colours <= 256:
        raise ValueError(f"a GIF's palette has 2 to 256 colours, got {colours}")
    if max(width, height) > (most := LONGEST_EDGE[suffix]):
        others = [s for s, edge in LONGEST_EDGE.items() if edge >= max(width, height)]
        cure = f", or {' or '.join(others)}" if others else ""
        raise ValueError(
            f"{path} would have pictures of {width}x{height} pixels; {suffix} takes {most} along "
            f"an edge: give a smaller size{cure}"
        )


def write_animation(
    path: Path, frames: Sequence[np.ndarray], fps: float, colours: int = 256
) -> int:
    """Write frames, uint8 [H, W, 3] RGB of one size, as an animation that repeats.

    Args:
        path: its suffix gives the format; the file appears whole or not at all.
        frames: in order.
        fps: frames per second. GIF counts in hundredths of a second.
        colours: of a GIF's palette, 2 to 256; fewer make a smaller file.

    Returns:
        Frames that the written file has. Of equal neighbours GIF and WebP keep one, for longer.

    Raises:
        ValueError: as `check_animation`; or a video codec is missing, or the video has not all.
        OSError: the file cannot be written.
    """
    height, width = frames[0].shape[:2] if frames else (0, 0)
    check_animation(path, width, height, len(frames), fps, colours)
    with written_whole(path) as draft:
        if path.suffix.lower() == ".mp4":
            return _write_video(draft, frames, fps, path)
        _write_pictures(draft, frames, fps, colours)
        with Image.open(draft) as written:
            return getattr(written, "n_frames", 1)


def _write_pictures(path: Path, frames: Sequence[np.ndarray], fps: float, colours: int) -> None:
    pictures = [Image.fromarray(frame) for frame in frames]
    settings = {"save_all": True, "append_images": pictures[1:], "loop": 0}
    duration = round(1000 / fps)
    if path.suffix.lower() == ".webp":
        pictures[0].save(path, duration=duration, quality=WEBP_QUALITY, method=4, **settings)
        return
    step = max(1, len(frames) // PALETTE_FRAMES)
    mosaic = Image.fromarray(np.concatenate(frames[::step]))
    palette = mosaic.quantize(colours, method=Image.Quantize.MEDIANCUT)
    indexed = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    settings["append_images"] = indexed[1:]
    indexed[0].save(path, duration=duration, optimize=True, disposal=1, **settings)


def _write_video(path: Path, frames: Sequence[np.ndarray], fps: float, target: Path) -> int:
    # MPEG-4 Part 2 is what OpenCV's wheels can encode; H.264 they leave out for its license.
    height, width = (edge - edge % 2 for edge in frames[0].shape[:2])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise ValueError(f"this OpenCV cannot write {target}; write .gif or .webp instead")
    try:
        for frame in frames:
            writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    video, count = cv2.VideoCapture(str(path)), 0
    while video.grab():
        count += 1
    video.release()
    if count != len(frames):  # OpenCV says nothing of a disk that is full
        raise ValueError(
            f"{target} cannot be written: of {len(frames)} frames {count} can be read again; is "
            "the disk full?"
        )
    return count
