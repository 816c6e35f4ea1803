# SPDX-License-Identifier: Apache-2.0
"""Writes pictures as an animation: GIF, WebP, or MP4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SUFFIXES = (".gif", ".webp", ".mp4")
PALETTE_FRAMES = 6
"""Frames from which a GIF's palette is made: one for all keeps colours from flickering."""

WEBP_QUALITY = 70


def write_animation(path: Path, frames: Sequence[np.ndarray], fps: float, colours: int = 256):
    """Write frames, uint8 [H, W, 3] RGB of one size, as an animation that repeats.

    Args:
        path: its suffix gives the format.
        frames: in order.
        fps: frames per second. GIF counts in hundredths of a second.
        colours: of a GIF's palette, 2 to 256; fewer make a smaller file.

    Raises:
        ValueError: another suffix, no frames, or a video codec that is missing.
    """
    if not frames:
        raise ValueError(f"no frames to write to {path}")
    if not 0 < fps <= 100:
        raise ValueError(f"fps is {fps:g}; give more than 0, and at most 100")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: animations are {', '.join(SUFFIXES)}, not {suffix!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".mp4":
        return _write_video(path, frames, fps)
    pictures = [Image.fromarray(frame) for frame in frames]
    settings = {"save_all": True, "append_images": pictures[1:], "loop": 0}
    duration = round(1000 / fps)
    if suffix == ".webp":
        pictures[0].save(path, duration=duration, quality=WEBP_QUALITY, method=4, **settings)
        return None
    step = max(1, len(frames) // PALETTE_FRAMES)
    mosaic = Image.fromarray(np.concatenate(frames[::step]))
    palette = mosaic.quantize(colours, method=Image.Quantize.MEDIANCUT)
    indexed = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    settings["append_images"] = indexed[1:]
    indexed[0].save(path, duration=duration, optimize=True, disposal=1, **settings)
    return None


def _write_video(path: Path, frames: Sequence[np.ndarray], fps: float) -> None:
    # MPEG-4 Part 2 is what OpenCV's wheels can encode; H.264 they leave out for its license.
    height, width = (edge - edge % 2 for edge in frames[0].shape[:2])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise ValueError(f"this OpenCV cannot write {path}; write .gif or .webp instead")
    try:
        for frame in frames:
            writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
