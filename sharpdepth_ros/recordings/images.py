# SPDX-License-Identifier: Apache-2.0
"""Depth for image files: finds them, and writes the depth of each in every form that is asked."""

import fnmatch
import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.unproject import unproject
from sharpdepth_ros.io.atomic_files import written_whole
from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.io.depth_files import (
    is_turned,
    read_rgb,
    write_depth_exr,
    write_depth_png,
    write_npy,
    write_ply,
    write_rgb,
)
from sharpdepth_ros.io.intrinsics_files import GivenCamera
from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.pipeline.provenance import changes
from sharpdepth_ros.recordings.prefetch import Picture
from sharpdepth_ros.recordings.run_problems import BAD_INPUT

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm",
                      ".pnm", ".gif", ".avif", ".jp2"})  # fmt: skip
#: Picture files that are not read. They are named, so that nobody misses their depth.
NOT_READ = frozenset({".heic", ".heif", ".jxl", ".svg", ".psd", ".tga", ".ico", ".dng", ".cr2",
                      ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"})  # fmt: skip
#: Names that a remark lists.
_NAMED = 3
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
#: Endings of results that are picture files.
_PICTURES = tuple(ending for ending in _ENDINGS.values() if ending.endswith(".png"))
#: Pictures of a snapshot of the node that are results; image.png is what the camera saw.
_SNAPSHOT_PICTURES = ("depth.png", "preview.png", "discrepancy.png")
#: What the .json of every result has.
_SUMMARY = {"aligned", "intrinsics", "milliseconds"}


@dataclass(frozen=True)
class ImageJob:
    """An image to read, and where its results go.

    Attributes:
        source: the file.
        target: name, without ending, of what is written for it.
        name: of the file below its input, without suffix: what belongs to it, such as a camera, has
            this name too.
    """

    source: Path
    target: Path
    name: Path


@dataclass(frozen=True)
class FoundImages:
    """What inputs stand for.

    Attributes:
        jobs: one per image.
        not_read: picture files beside them, in formats that are not read.
    """

    jobs: list[ImageJob]
    not_read: list[Path]

    def remarks(self) -> list[str]:
        """What people should know; empty if there is nothing."""
        if not self.not_read:
            return []
        named = ", ".join(str(path) for path in self.not_read[:_NAMED])
        rest = len(self.not_read) - _NAMED
        return [
            f"picture files of a format that is not read: {len(self.not_read)} ({named}"
            + (f" and {rest} more" if rest > 0 else "")
            + "); convert them to JPEG or PNG"
        ]


def find_images(inputs: Iterable[Path], output: Path) -> FoundImages:
    """The images that the inputs stand for.

    Results of earlier runs are none, wherever they lie: they are known by the .json beside them.

    Args:
        inputs: image files; folders, which are searched with their subfolders, also behind links;
            patterns such as "run*/**/*.png". Results keep the structure of a folder, or of what is
            below a pattern's part without wildcards.
        output: folder for the results. Two images that differ in their suffix alone keep it in the
            names of their results.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: a folder holds no image, or two images would write the same files.
    """
    named: dict[Path, dict[Path, Path]] = {}  # name without suffix -> real file -> as it was found
    not_read: list[Path] = []
    for given in inputs:
        root, files = _expanded(given, output)
        images = [file for file in files if not _is_result(file)]
        if not given.is_file():  # one that was named is tried
            not_read += [file for file in images if file.suffix.lower() in NOT_READ]
            images = [file for file in images if file.suffix.lower() in SUFFIXES]
        if not images:
            raise ValueError(
                f"{given} holds no image ({', '.join(sorted(SUFFIXES))}) that is not a result of "
                "an earlier run"
            )
        for source in images:
            name = source.relative_to(root).with_suffix("")
            named.setdefault(name, {}).setdefault(source.resolve(), source)
    jobs = [job for name, files in named.items() for job in _jobs(name, [*files.values()], output)]
    # What a killed run left has no .json yet.
    written = {_file(job.target, ending).absolute() for job in jobs for ending in _PICTURES}
    return FoundImages([job for job in jobs if job.source.absolute() not in written], not_read)


def _jobs(name: Path, sources: list[Path], output: Path) -> Iterator[ImageJob]:
    if len(sources) == 1:
        yield ImageJob(sources[0], output / name, name)
        return
    by_target: dict[Path, Path] = {}
    for source in sources:
        target = output / name.with_name(name.name + source.suffix)
        twin = by_target.setdefault(target, source)
        if twin != source:
            raise ValueError(
                f"{twin} and {source} would both be written as {output / name}_depth.*; run "
                "them with different --output folders"
            )
        yield ImageJob(source, target, name)


def _is_result(file: Path) -> bool:
    """Whether an earlier run wrote the picture: `image`, `video`, or a snapshot of the node."""
    summaries = [
        file.with_name(f"{file.name.removesuffix('_' + ending)}_depth.json")
        for ending in _PICTURES
        if file.name.endswith(f"_{ending}")
    ]
    if file.name in _SNAPSHOT_PICTURES:
        summaries.append(file.with_name("frame.json"))
    return any((_read_summary(summary) or {}).keys() >= _SUMMARY for summary in summaries)


def _expanded(given: Path, output: Path) -> tuple[Path, list[Path]]:
    """The folder that results are named from, and the picture files."""
    if given.is_file():
        return given.parent, [given]
    if given.is_dir():
        return given, sorted(path for path in _files_below(given, output) if _is_picture(path))
    is_pattern = glob.has_magic(str(given))
    matches = _matching(given, output) if is_pattern else []
    if not matches:
        raise FileNotFoundError(f"{given} {'matches nothing' if is_pattern else 'does not exist'}")
    plain = []
    for part in given.parts[:-1]:
        if glob.has_magic(part):
            break
        plain.append(part)
    return Path(*plain), sorted(path for path in matches if _is_picture(path) and path.is_file())


def _matching(pattern: Path, output: Path) -> list[Path]:
    parts = pattern.parts
    if "**" not in parts:
        return [Path(match) for match in glob.glob(str(pattern))]
    # Not by glob, which follows links in a circle for ever.
    start = parts.index("**")
    above, below = Path(*parts[:start]), parts[start:]
    tops = map(Path, glob.glob(str(above))) if glob.has_magic(str(above)) else [above]
    return [
        path
        for top in tops
        for path in _files_below(top, output)
        if _matches(path.relative_to(top).parts, below)
    ]


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path is what glob means by the pattern."""
    if not (parts and pattern):
        return not parts and all(part == "**" for part in pattern)
    if parts[0].startswith(".") and not pattern[0].startswith("."):
        return pattern[0] == "**" and _matches(parts, pattern[1:])
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES | NOT_READ


def _files_below(folder: Path, output: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders, also behind links, each folder once.

    Nothing in an output folder that lies below it.
    """
    seen = {os.path.realpath(output)} - {os.path.realpath(folder)}
    tops = [folder]
    for top in tops:  # links that are met are added: what is no link comes first
        for parent, folders, files in os.walk(top):
            if (real := os.path.realpath(parent)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders.sort()
            tops += [Path(parent, name) for name in folders if os.path.islink(f"{parent}/{name}")]
            yield from (path for name in files if (path := Path(parent, name)).is_file())


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
    return _read_summary(_file(target, "depth.json"))


def _read_summary(path: Path) -> dict[str, Any] | None:
    try:
        summary = json.loads(path.read_text())
    except BAD_INPUT:
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
