# SPDX-License-Identifier: Apache-2.0
"""Depth for image files: finds them, and writes the depth of each in every form that is asked."""

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sharpdepth_ros.export.colormap import colorize_depth
from sharpdepth_ros.export.depth_files import (
    is_turned,
    read_rgb,
    write_depth_exr,
    write_depth_png,
    write_npy,
    write_ply,
    write_rgb,
)
from sharpdepth_ros.export.whole_files import written_whole
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.pipeline.provenance import changes
from sharpdepth_ros.recordings.intrinsics_files import GivenCamera
from sharpdepth_ros.recordings.stages import Picture

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_ENDINGS = {
    "png": "depth.png",
    "npy": "depth.npy",
    "exr": "depth.exr",
    "preview": "preview.png",
    "ply": "cloud.ply",
    "metric": "metric.npy",
    "discrepancy": "discrepancy.npy",
}
FORMATS = tuple(_ENDINGS)


@dataclass(frozen=True)
class ImageJob:
    """An image to read and the name, without suffix, of what is written for it."""

    source: Path
    target: Path


def find_images(inputs: Iterable[Path], output: Path) -> list[ImageJob]:
    """The images that the inputs stand for.

    Args:
        inputs: image files; folders, which are searched with their subfolders; patterns such as
            "run*/**/*.png". Results keep the structure of a folder, or of what is below a pattern's
            part without wildcards.
        output: folder for the results.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: a folder holds no image, or two images would write the same files.
    """
    jobs: dict[Path, ImageJob] = {}
    for given in inputs:
        root, found = _expanded(given, output)
        if not found:
            raise ValueError(f"{given} holds no image ({', '.join(sorted(SUFFIXES))})")
        for source in found:
            target = output / source.relative_to(root).with_suffix("")
            twin = jobs.setdefault(target, ImageJob(source, target)).source
            if twin.resolve() != source.resolve():
                raise ValueError(
                    f"{twin} and {source} would both be written as {target}_depth.*; run them "
                    "with different --output folders"
                )
    return list(jobs.values())


def _expanded(given: Path, output: Path) -> tuple[Path, list[Path]]:
    """The folder that results are named from, and the images."""
    if given.is_file():
        return given.parent, [given]
    if given.is_dir():
        return given, sorted(_images_below(given, output))
    pattern = str(given)
    matches = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else []
    if not matches:
        raise FileNotFoundError(
            f"{given} matches nothing" if glob.has_magic(pattern) else f"{given} does not exist"
        )
    plain = []
    for part in given.parts[:-1]:
        if glob.has_magic(part):
            break
        plain.append(part)
    files = [Path(match) for match in matches]
    images = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
    return Path(*plain), sorted(images)


def _images_below(folder: Path, output: Path) -> Iterator[Path]:
    """Images of a folder, without what an earlier run wrote into an output folder below it."""
    for path in folder.rglob("*"):
        written_here = output.resolve() in path.resolve().parents and output != folder
        if path.suffix.lower() in SUFFIXES and path.is_file() and not written_here:
            yield path


class Once:
    """Tells each text once, from any thread."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell, self._told = tell, set()

    def __call__(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


def read_picture(path: Path, camera: GivenCamera | None, tell: Callable[[str], object]) -> Picture:
    """An image file as it is given to the pipeline.

    A camera is of the sensor's rows and columns: its picture is not turned by an EXIF orientation,
    and it is rectified where the camera has a lens. A photo of an unknown camera is turned upright.

    Args:
        path: of the file.
        camera: of the picture; None where it is not known.
        tell: called with what the user should know of how both are used.

    Raises:
        ValueError: the file is no image, or the camera is another's.
    """
    turned = is_turned(path)
    if camera is None:
        if turned:
            tell("photos with an EXIF orientation are turned upright, and so is their depth")
        return Picture(read_rgb(path, upright=True), form="upright")
    if turned:
        tell(
            "the EXIF orientation of pictures is ignored, for --intrinsics are those of the "
            "sensor's rows and columns; depth is of the picture as the sensor has it"
        )
    return picture_of(read_rgb(path), camera, tell)


def picture_of(
    rgb: np.ndarray, camera: GivenCamera | None, tell: Callable[[str], object]
) -> Picture:
    """A picture, uint8 [H, W, 3], without lens; arguments as in `read_picture`."""
    if camera is None:
        return Picture(rgb)
    height, width = rgb.shape[:2]
    for remark in camera.remarks(width, height):
        tell(remark)
    image = camera.rectify(rgb)
    form = "rectified" if image.resampled else "sensor"
    return Picture(image.rgb, image.camera.matrix, image.seen, form)


def write_depth_files(
    target: Path,
    rgb: np.ndarray,
    out: SharpDepthOutput,
    formats: Iterable[str],
    facts: Mapping[str, Any] | None = None,
    form: str = "sensor",
) -> None:
    """Write the depth of an image, each file whole or not at all, and last the .json beside them.

    Args:
        target: name of the files up to `_depth.png` and the like.
        rgb: uint8 [H, W, 3].
        out: with numpy maps.
        formats: some of png (16 bit, millimetres), npy and exr (float32, metres), preview
            (colours), ply, metric (npy, metres: the metric model alone), discrepancy (npy, 0 to 1).
        facts: what decides the result, for the .json; JSON values.
        form: for it, too: `Picture.form`.
    """
    writers = {
        "png": lambda file: write_depth_png(file, out.depth),
        "npy": lambda file: write_npy(file, out.depth),
        "exr": lambda file: write_depth_exr(file, out.depth),
        "preview": lambda file: write_rgb(
            file, np.concatenate([rgb, colorize_depth(out.depth)], axis=1)
        ),
        "ply": lambda file: _write_cloud(file, rgb, out),
        "metric": lambda file: write_npy(file, out.metric_depth),
        "discrepancy": lambda file: write_npy(file, out.discrepancy),
    }
    files = {}
    if facts and (earlier := _summary(target)) and not changes(_facts_in(earlier, facts), facts):
        files = dict(earlier.get("files", {}))  # also of other formats: they are of these facts
    else:  # a run that dies here must not leave new files beside old facts
        _file(target, "depth.json").unlink(missing_ok=True)
    for name in formats:
        with written_whole(_file(target, _ENDINGS[name])) as file:
            writers[name](file)
        files[name] = _file(target, _ENDINGS[name]).stat().st_size
    summary = {
        "intrinsics": None if out.intrinsics is None else out.intrinsics.tolist(),
        "picture": form,
        "aligned": out.aligned,
        "scale": out.scale if np.isfinite(out.scale) else None,
        "shift": out.shift if np.isfinite(out.shift) else None,
        "milliseconds": out.timings,
        "files": files,
        **(facts or {}),
    }
    with written_whole(_file(target, "depth.json")) as file:
        file.write_text(json.dumps(summary, indent=2))


def why_again(
    target: Path, formats: Iterable[str], facts: Mapping[str, Any]
) -> dict[str, str] | None:
    """Compares what is on the disk with what a run would write.

    Returns:
        What differs, each with a sentence: facts, and files that are missing or not as they were
        written. Empty: all is there. None: no run has finished here.
    """
    summary = _summary(target)
    if summary is None:
        return None
    found = changes(_facts_in(summary, facts), facts)
    sizes = summary.get("files", {})
    for name in formats:
        file = _file(target, _ENDINGS[name])
        size = file.stat().st_size if file.is_file() else None
        if size is None or size != sizes.get(name):
            written = f"has {size} bytes, {sizes.get(name, 'none')} were written with these facts"
            found[name] = f"{file} {'is missing' if size is None else written}"
    return found


def _summary(target: Path) -> dict[str, Any] | None:
    """What was written last beside the depth of an image; None where there is nothing whole."""
    try:
        summary = json.loads(_file(target, "depth.json").read_text())
    except (OSError, ValueError):
        return None
    return summary if isinstance(summary, dict) else None


def _facts_in(summary: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: summary[name] for name in facts if name in summary}


def _file(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}_{ending}")


def _write_cloud(file: Path, rgb: np.ndarray, out: SharpDepthOutput) -> None:
    if out.intrinsics is None:
        raise ValueError(
            "no point cloud without intrinsics: the metric model estimates none; give --intrinsics"
        )
    height, width = out.depth.shape
    camera = CameraModel.from_matrix(out.intrinsics, width, height)
    valid = np.where(out.depth > 0, out.depth, np.nan)
    write_ply(file, unproject(valid, camera), rgb)
