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
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.serde import SerdeError

from sharpdepth_ros.export.depth_files import without_orientation, write_npy, write_rgb
from sharpdepth_ros.export.whole_files import written_whole
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.node.images import compressed_to_rgb, image_to_rgb
from sharpdepth_ros.node.parameters import Parameters
from sharpdepth_ros.node.processing import BadInput, CameraPictures, Frame
from sharpdepth_ros.node.time_synchronizers import ApproximateTimeSynchronizer, SimpleFilter
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.recordings.bags.cameras import Camera
from sharpdepth_ros.recordings.bags.depth_images import depth_of_message
from sharpdepth_ros.recordings.bags.frames import CameraStream, Recorded, Selection, recorded
from sharpdepth_ros.recordings.bags.reading import Bag
from sharpdepth_ros.recordings.bags.topic import Topic
from sharpdepth_ros.recordings.intrinsics_files import GivenCamera
from sharpdepth_ros.recordings.problems import Problems

#: Frames, and depth images, that wait for their other half.
_QUEUE = 30


@dataclass(frozen=True)
class Extraction:
    """What to take out of a bag.

    Attributes:
        cameras: whose frames; one without camera_info gives pictures as they are.
        parameters: of the node: rectify, sync and sync_slop are read.
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
        The number of frames, and what could not be used.

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
        self.count, self.found = 0, set()
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
                content = messages.TYPES.deserialize_cdr(message.data, message.topic.type)
            except SerdeError as error:
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
        stamp = frame.image.header.stamp
        name = Path(self._folder) / f"{stamp.sec}_{stamp.nanosec:09d}"
        try:
            if self._without_info:
                rgb, camera, seen, resampled = _as_it_is(frame), None, None, False
            else:
                image = self._pictures(frame, self._run.parameters.rectify, {})
                rgb, camera, seen = image.rgb, image.camera, image.seen
                resampled = image.resampled
            metres = None if depth is None else self._fitting_depth(depth, rgb, seen)
        except (BadInput, ValueError) as error:
            cause = f", {error.cause}" if isinstance(error, BadInput) else ""
            self._problems.add(f"{self._name}: frames left out{cause}", str(error))
            return
        if metres is not None:
            _write_depth(self._output / "depth" / name, metres)
        if camera is not None:
            self.found.add(camera)
            _write_camera(self._output / "intrinsics" / f"{name}.txt", camera)
        mask = _with_suffix(self._output / "valid" / name, ".png")
        if seen is None:
            mask.unlink(missing_ok=True)  # of an earlier extraction with another lens
        else:
            _write_mask(mask, seen)
        # The picture last: readers list pictures, and look for the rest beside them.
        self._write_picture(self._output / "rgb" / name, rgb, None if resampled else frame)
        self.count += 1
        self._on_frame()

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

    def _write_picture(self, path: Path, rgb: np.ndarray, frame: Frame | None) -> None:
        """Args: the picture, and the frame that has it as it is, if one has."""
        kind = self._run.image_format
        if kind == "auto":
            data = bytes(frame.image.data) if hasattr(frame and frame.image, "format") else b""
            if data.startswith(b"\xff\xd8"):
                with written_whole(_with_suffix(path, ".jpg")) as file:
                    file.write_bytes(without_orientation(data))
                return
            kind = "png"
        with written_whole(_with_suffix(path, f".{kind}")) as file:
            write_rgb(file, rgb)


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


def _as_it_is(frame: Frame) -> np.ndarray:
    image = frame.image
    return compressed_to_rgb(image) if hasattr(image, "format") else image_to_rgb(image)


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _write_camera(path: Path, camera: CameraModel) -> None:
    with written_whole(path) as file:
        np.savetxt(file, camera.matrix, fmt="%.12g")


def _write_mask(path: Path, mask: np.ndarray) -> None:
    with written_whole(path) as file:
        file.write_bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())


def _write_depth(path: Path, depth: np.ndarray) -> None:
    """Without loss: millimetres as 16-bit PNG, metres as .npy."""
    whole = depth.dtype == np.uint16
    with written_whole(_with_suffix(path, ".png" if whole else ".npy")) as file:
        if whole:
            file.write_bytes(cv2.imencode(".png", depth)[1].tobytes())
        else:
            write_npy(file, depth)
