# SPDX-License-Identifier: Apache-2.0
"""Depth for image files: finds them, runs the pipeline, writes every result or says why not."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sharpdepth_ros.export.colormap import colorize_depth
from sharpdepth_ros.export.depth_files import read_rgb, write_depth_png, write_ply, write_rgb
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.pipeline.output import SharpDepthOutput

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
FORMATS = ("png", "npy", "preview", "ply")


@dataclass(frozen=True)
class ImageJob:
    """An image to read and the name, without suffix, of what is written for it."""

    source: Path
    target: Path


def find_images(inputs: Iterable[Path], output: Path) -> list[ImageJob]:
    """The images that the inputs stand for.

    Args:
        inputs: image files, and folders, which are searched with their subfolders. Results of a
            folder keep its structure.
        output: folder for the results.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: a folder holds no image, or two images would write the same files.
    """
    jobs: dict[Path, ImageJob] = {}
    for given in inputs:
        if not given.exists():
            raise FileNotFoundError(f"{given} does not exist")
        found = [given] if given.is_file() else sorted(_images_below(given, output))
        if not found:
            raise ValueError(f"{given} holds no image ({', '.join(sorted(SUFFIXES))})")
        root = given.parent if given.is_file() else given
        for source in found:
            target = output / source.relative_to(root).with_suffix("")
            twin = jobs.setdefault(target, ImageJob(source, target)).source
            if twin.resolve() != source.resolve():
                raise ValueError(
                    f"{twin} and {source} would both be written as {target}_depth.*; run them "
                    "with different --output folders"
                )
    return list(jobs.values())


def _images_below(folder: Path, output: Path) -> Iterator[Path]:
    """Images of a folder, without what an earlier run wrote into an output folder below it."""
    for path in folder.rglob("*"):
        written_here = output.resolve() in path.resolve().parents and output != folder
        if path.suffix.lower() in SUFFIXES and path.is_file() and not written_here:
            yield path


def process_images(
    jobs: list[ImageJob],
    infer: Callable[[np.ndarray], SharpDepthOutput],
    formats: Iterable[str] = FORMATS,
    on_done: Callable[[ImageJob, SharpDepthOutput], None] = lambda job, out: None,
) -> dict[Path, str]:
    """Write the depth of every image.

    Args:
        jobs: from `find_images`.
        infer: uint8 [H, W, 3] to an output with numpy maps.
        formats: some of png (16 bit, millimetres), npy (float32, metres), preview (colours), ply.
        on_done: called after each image that was written.

    Returns:
        For each image that failed, why. The others are written whatever fails.
    """
    failures: dict[Path, str] = {}
    for job in jobs:
        try:
            rgb = read_rgb(job.source)
            out = infer(rgb)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            _write(job.target, rgb, out, formats)
        except (ValueError, OSError) as error:
            failures[job.source] = str(error)
        else:
            on_done(job, out)
    return failures


def _write(target: Path, rgb: np.ndarray, out: SharpDepthOutput, formats: Iterable[str]) -> None:
    def file(ending: str) -> Path:
        return target.with_name(f"{target.name}_{ending}")

    if "png" in formats:
        write_depth_png(file("depth.png"), out.depth)
    if "npy" in formats:
        np.save(file("depth.npy"), out.depth)
    if "preview" in formats:
        write_rgb(file("preview.png"), np.concatenate([rgb, colorize_depth(out.depth)], axis=1))
    if "ply" in formats:
        if out.intrinsics is None:
            raise ValueError(
                "no point cloud without intrinsics: the metric model estimates none; give "
                "--intrinsics"
            )
        height, width = out.depth.shape
        camera = CameraModel.from_matrix(out.intrinsics, width, height)
        valid = np.where(out.depth > 0, out.depth, np.nan)
        write_ply(file("cloud.ply"), unproject(valid, camera), rgb)
    summary = {
        "intrinsics": None if out.intrinsics is None else out.intrinsics.tolist(),
        "aligned": out.aligned,
        "scale": out.scale if np.isfinite(out.scale) else None,
        "shift": out.shift if np.isfinite(out.shift) else None,
        "milliseconds": out.timings,
    }
    file("depth.json").write_text(json.dumps(summary, indent=2))
