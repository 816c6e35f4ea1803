# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag extract`: frames of a bag as a folder for training or evaluation.

    OUT/rgb/STAMP.png|jpg       the rectified pictures
       /intrinsics/STAMP.txt    their pinhole camera, 3 x 3 in pixels
       /intrinsics.txt          the same, where it is one for all
       /depth/STAMP.png|npy     ground truth, where a depth topic is given
       /valid/STAMP.png         0 where the rectified picture shows what the sensor never saw

`valid` is written where there are such pixels, as in the corners of a barrel lens; they hold a
repeated border in the picture, and no depth. JPEGs are taken over as they are, but for their EXIF
orientation: camera and depth are of the sensor's rows and columns, and so is the picture.

With several cameras there is a folder of each camera's namespace below rgb, intrinsics, depth and
valid.

Frames that share a stamp are STAMP, STAMP_000001, ... in recorded order.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.io.atomic_files import written_whole
from sharpdepth_ros.io.depth_files import (
    doubt_about,
    without_orientation,
    write_npy,
    write_rgb,
)
from sharpdepth_ros.io.intrinsics_files import GivenCamera
from sharpdepth_ros.messages.depth_images import depth_of_message
from sharpdepth_ros.messages.images import is_mosaic, message_to_rgb
from sharpdepth_ros.messages.time_synchronizers import ApproximateTimeSynchronizer, SimpleFilter
from sharpdepth_ros.processing.decoding import CameraPictures
from sharpdepth_ros.processing.frame import BadInput, Frame
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.recordings.bags.cameras import Camera
from sharpdepth_ros.recordings.bags.frames import CameraStream, Recorded, Selection, recorded
from sharpdepth_ros.recordings.bags.reading import Bag
from sharpdepth_ros.recordings.bags.topic import Topic
from sharpdepth_ros.recordings.run_problems import BAD_INPUT, Problems

#: Frames, and depth images, that wait for their other half.
_QUEUE = 30
_JPEG_BEGIN = b"\xff\xd8"
#: What may lie in a folder for a frame, by earlier runs too.
_SUFFIXES = {"rgb": (".png", ".jpg"), "depth": (".png", ".npy")}


@dataclass(frozen=True)
class Extraction:
    """What to take out of a bag.

    Attributes:
        cameras: whose frames; one without camera_info gives pictures as they are.
        parameters: of the node: rectify, intensity_range, sync and sync_slop are read.
        selection: part of the bag and frames.
        depth: topic of depth images of the same view; with several cameras below each namespace.
            A frame is then taken only with its depth.
        image_format: png, jpg, or auto: the recorded JPEG where the picture is not changed.
        intrinsics: instead of the bag's camera_info.
        tell: called with what the user should know of how these are used.
    """

    cameras: Sequence[Camera]
    parameters: Parameters
    selection: Selection
    depth: str | None = None
    image_format: str = "auto"
    intrinsics: GivenCamera | None = None
    tell: Callable[[str], object] = print


def extract_frames(
    bag: Bag, output: Path, run: Extraction, on_frame: Callable[[], object] = lambda: None
) -> tuple[int, Problems]:
    """Writes the frames; files that are there already are replaced.

    Returns:
        The number of frames whose pictures are there, and what could not be used.

    Raises:
        ValueError: the bag has no depth images on the topic.
    """
    takers = [_Taker(bag, camera, output, run, on_frame) for camera in run.cameras]
    infos = [topic for camera in run.cameras for topic in camera.info]
    wanted = [topic for taker in takers for topic in taker.topics]
    for message in recorded(bag, run.selection, infos, wanted):
        for taker in takers:
            taker.add(message)
    for taker in takers:
        taker.finish()
    common = {camera for taker in takers for camera in taker.found}
    if len(common) == 1:
        _write_camera(output / "intrinsics.txt", common.pop())
    return sum(taker.count for taker in takers), bag.problems


class _Taker:
    """Takes the frames of one camera."""

    def __init__(
        self,
        bag: Bag,
        camera: Camera,
        output: Path,
        run: Extraction,
        on_frame: Callable[[], object],
    ) -> None:
        self.found: set[CameraModel] = set()
        self._written: set[Path] = set()
        self._stamps: Counter[str] = Counter()
        self._output, self._folder = output, camera.namespace.strip("/")
        self._run, self._problems, self._on_frame = run, bag.problems, on_frame
        self._name = camera.image_name
        self._without_info = not camera.info and run.intrinsics is None
        self._stream = CameraStream(
            camera, run.parameters, run.selection, bag.problems, run.intrinsics, run.tell
        )
        if self._without_info:
            self._problems.note(f"{self._name} has no camera_info: pictures are taken as they are")
        self._pictures = CameraPictures()
        self._pictures.set_intensity(run.parameters.intensity_range)
        self._depth: tuple[Topic, ...] = ()
        if run.depth is not None:
            self._depth = _depth_topics(bag, camera, run.depth)
        self.topics = [*camera.image, *camera.info, *self._depth]
        self._frames, self._depths = SimpleFilter(), SimpleFilter()
        slop = max(run.parameters.sync_slop, 1e-9)
        ApproximateTimeSynchronizer(
            [self._frames, self._depths], _QUEUE, slop
        ).registerCallback(self._take)  # fmt: skip
        self._offered = self._joined = 0

    def add(self, message: Recorded) -> None:
        if message.topic in self._depth:
            try:
                content = messages.read(message.data, message.topic.type)
            except ValueError as error:
                what = f"{message.topic.name} has messages that cannot be read"
                self._problems.add(what, str(error))
                return
            self._depths.signalMessage(content)
        for frame in self._stream.add(message):
            self._offered += 1
            if self._depth:
                self._frames.signalMessage(_StampedFrame(frame))
            else:
                self._take(_StampedFrame(frame), None)

    @property
    def count(self) -> int:
        """Frames whose pictures are on the disk."""
        return sum(path.is_file() for path in self._written)

    def finish(self) -> None:
        self._stream.finish()
        if self._offered > self._joined:
            self._problems.note(
                f"{self._name}: {self._offered - self._joined} of {self._offered} frames have no "
                f"depth on {self._depth[0].name} within {self._run.parameters.sync_slop} s "
                "(sync_slop) and are left out"
            )

    def _take(self, stamped: _StampedFrame, depth: Any | None) -> None:
        self._joined += 1
        frame = stamped.frame
        name = self._name_of(frame)
        try:
            if self._without_info:
                rgb = message_to_rgb(frame.image, self._pictures.intensity)
                camera, seen, resampled = None, None, False
            else:
                image = self._pictures(frame, self._run.parameters.rectify, {})
                rgb, camera, seen = image.rgb, image.camera, image.seen
                resampled = image.resampled
            values = None if depth is None else self._fitting_depth(depth, rgb, seen)
            kept = not resampled and self._is_kept(frame.image)
            picture = self._file(name, "rgb", self._picture_suffix(kept))
            truth = None if values is None else self._file(name, "depth", _depth_suffix(values))
        except BAD_INPUT as error:
            cause = f", {error.cause}" if isinstance(error, BadInput) else ""
            self._problems.add(f"{self._name}: frames left out{cause}", str(error))
            return
        if truth is not None:
            if (doubt := doubt_about(values)) is not None:
                self._problems.add(f"{self._depth[0].name}: {doubt}", f"first in {name}")
            _write_depth(truth, values)
        if camera is not None:
            self.found.add(camera)
            _write_camera(self._output / "intrinsics" / f"{name}.txt", camera)
        mask = self._output / "valid" / f"{name}.png"
        if seen is None:
            mask.unlink(missing_ok=True)  # of an earlier extraction with another lens
        else:
            _write_mask(mask, seen)
        # The picture last: readers list pictures, and look for the rest beside them.
        with written_whole(picture) as file:
            if kept:
                file.write_bytes(without_orientation(bytes(frame.image.data)))
            else:
                write_rgb(file, rgb)
        self._written.add(picture)
        self._on_frame()

    def _name_of(self, frame: Frame) -> Path:
        """A name of its own for each frame: drivers repeat stamps, or leave them at zero."""
        stamp = frame.image.header.stamp
        name = f"{stamp.sec}_{stamp.nanosec:09d}"
        again = self._stamps[name]
        self._stamps[name] += 1
        return Path(self._folder) / (f"{name}_{again:06d}" if again else name)

    def _file(self, name: Path, folder: str, suffix: str) -> Path:
        """The file to write; there must be no other of this frame, which readers may take instead.

        Raises:
            ValueError: there is one.
        """
        path = self._output / folder / f"{name}{suffix}"
        for other in _SUFFIXES[folder]:
            twin = path.with_suffix(other)
            if other != suffix and twin.exists():
                raise ValueError(
                    f"{twin} is there already, and this run would write {path.name} beside it: "
                    "remove it, give another output folder, or the same --image-format and --depth "
                    "as before"
                )
        return path

    def _fitting_depth(self, message: Any, rgb: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
        depth = depth_of_message(message)
        if depth.shape != rgb.shape[:2]:
            raise ValueError(
                f"the depth is {depth.shape[1]}x{depth.shape[0]} and the image "
                f"{rgb.shape[1]}x{rgb.shape[0]}: ground truth has to be registered to the image"
            )
        if seen is not None:
            depth[~seen] = 0 if depth.dtype == np.uint16 else np.nan
        return depth

    def _picture_suffix(self, kept: bool) -> str:
        if kept:
            return ".jpg"
        return ".png" if self._run.image_format == "auto" else f".{self._run.image_format}"

    def _is_kept(self, image: Any) -> bool:
        """Whether the recorded data are the picture's file, but for its orientation."""
        if self._run.image_format != "auto" or not hasattr(image, "format") or is_mosaic(image):
            return False
        return bytes(image.data[:2]) == _JPEG_BEGIN


@dataclass(frozen=True)
class _StampedFrame:
    """A frame as the synchroniser takes it: by the stamp of its image."""

    frame: Frame

    @property
    def header(self) -> Any:
        return self.frame.image.header


def _depth_topics(bag: Bag, camera: Camera, name: str) -> tuple[Topic, ...]:
    kinds = (messages.IMAGE, messages.COMPRESSED_IMAGE)
    full = posixpath.join(camera.namespace or "/", name)
    found = tuple(t for t, n in bag.topics.items() if n and t.name == full and t.type in kinds)
    if not found:
        images = sorted(t.name for t, n in bag.topics.items() if n and t.type in kinds)
        raise ValueError(f"the bag has no depth images on {full}; images are on {images}")
    return found


def _write_camera(path: Path, camera: CameraModel) -> None:
    with written_whole(path) as file:
        np.savetxt(file, camera.matrix, fmt="%.12g")


def _write_mask(path: Path, mask: np.ndarray) -> None:
    with written_whole(path) as file:
        file.write_bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())


def _depth_suffix(depth: np.ndarray) -> str:
    return ".png" if depth.dtype == np.uint16 else ".npy"


def _write_depth(path: Path, depth: np.ndarray) -> None:
    """Without loss: millimetres as 16-bit PNG, metres as .npy."""
    with written_whole(path) as file:
        if path.suffix == ".png":
            file.write_bytes(cv2.imencode(".png", depth)[1].tobytes())
        else:
            write_npy(file, depth)
