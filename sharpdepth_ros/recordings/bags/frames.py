# SPDX-License-Identifier: Apache-2.0
"""The frames of a bag's cameras: messages in recorded order, paired as the node pairs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sharpdepth_ros.io.intrinsics_files import GivenCamera
from sharpdepth_ros.messages.camera_info import raw_camera_info
from sharpdepth_ros.messages.images import size_of
from sharpdepth_ros.messages.time_synchronizers import stamp_of
from sharpdepth_ros.processing.frame import Frame
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.processing.synchronizer import make_synchroniser
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.recordings.bags.cameras import Camera
from sharpdepth_ros.recordings.bags.reading import Bag
from sharpdepth_ros.recordings.bags.topic import Topic
from sharpdepth_ros.recordings.run_problems import Problems

#: Numbers from here on are a Unix time in seconds (1973), below they count from the bag's begin.
_UNIX_TIME = 1e8


@dataclass(frozen=True)
class Selection:
    """Which part of a bag, and which of its frames.

    Attributes:
        start: seconds from the beginning of the recording, or a Unix time; None for the beginning.
        end: likewise, None for the end.
        every: take every n-th frame of a camera.
        min_interval: seconds between the stamps of frames that are taken.
    """

    start: float | None = None
    end: float | None = None
    every: int = 1
    min_interval: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every is {self.every}; 1 takes all frames, 2 every other one")
        if self.min_interval < 0:
            raise ValueError(f"min_interval is {self.min_interval} seconds; it cannot be negative")

    def limits(self, bag: Bag) -> tuple[int | None, int | None]:
        """The part of the bag in nanoseconds of recording; the end is not in it.

        Raises:
            ValueError: nothing of the bag is in it.
        """
        first, last = bag.span or (0, 0)

        def nanoseconds(time: float | None) -> int | None:
            if time is None:
                return None
            return round(time * 1e9) if time >= _UNIX_TIME else first + round(time * 1e9)

        start, end = nanoseconds(self.start), nanoseconds(self.end)
        if (start or first) > last or (end is not None and end <= max(start or first, first)):
            raise ValueError(
                f"nothing was recorded from {self.start} to {self.end}: {bag.path} is "
                f"{(last - first) / 1e9:.3f} s long and begins at {first / 1e9:.3f}"
            )
        return start, end


@dataclass(frozen=True)
class Recorded:
    """A message of the bag.

    Attributes:
        topic: it was recorded on.
        stamp: nanoseconds of recording. What was latched before the selected part is in it from its
            beginning.
        data: its bytes.
        within: whether it belongs to the selected part; a camera_info before it is only known.
    """

    topic: Topic
    stamp: int
    data: bytes
    within: bool = True


def recorded(
    bag: Bag, selection: Selection, infos: Sequence[Topic], topics: Sequence[Topic] | None = None
) -> Iterator[Recorded]:
    """The selected part of a bag, and before it what a subscriber of that time would know.

    Args:
        bag: it is open.
        selection: the part.
        infos: topics whose earlier messages are needed, too.
        topics: only these; None for all.
    """
    start, end = selection.limits(bag)
    if start is not None:
        latched = {t for t in bag.topics if t.latched and (topics is None or t in topics)}
        for topic, _, data in bag.messages(latched | set(infos), end=start):
            yield Recorded(topic, start, data, within=topic in latched)
    for topic, stamp, data in bag.messages(topics, start, end):
        yield Recorded(topic, stamp, data)


class CameraStream:
    """Takes one camera's messages in recorded order and gives its frames.

    Attributes:
        camera: whose.
        images: received so far.
    """

    def __init__(
        self,
        camera: Camera,
        parameters: Parameters,
        selection: Selection,
        problems: Problems,
        intrinsics: GivenCamera | None = None,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        """Starts with nothing received.

        Args:
            camera: its topics.
            parameters: sync and sync_slop are read.
            selection: every and min_interval are read.
            problems: gets what cannot be used.
            intrinsics: instead of the bag's camera_info.
            tell: called with what the user should know of how these are used.
        """
        self.camera, self.images = camera, 0
        self._sync, self._selection, self._problems = parameters.sync, selection, problems
        self._intrinsics, self._tell = intrinsics, tell
        self._paired: list[Frame] = []
        self._frames = 0
        self._newest: int | None = None
        self._taken: int | None = None
        self._pairs = make_synchroniser(
            parameters.sync, parameters.sync_slop, self._paired.append, lambda: None
        )

    def add(self, message: Recorded) -> list[Frame]:
        """The frames that a message completes, those of the selection only.

        A camera that has no camera_info at all gives frames whose `info` is None.
        """
        is_image = message.topic in self.camera.image
        if not (is_image or message.topic in self.camera.info):
            return []
        try:
            content = messages.read(message.data, message.topic.type)
        except ValueError as error:
            what = f"{message.topic.name} has messages that cannot be read"
            self._problems.add(what, str(error))
            return []
        if not is_image:
            self._pairs.add_info(content)
            return self._completed()
        if not message.within:
            return []
        self.images += 1
        self._watch_stamps(content)
        if self._intrinsics is not None:
            self._with_own_info(content)
        elif self.camera.info:
            self._pairs.add_image(content)
        else:
            self._paired.append(Frame(content, None, time.monotonic()))
        return self._completed()

    def finish(self) -> None:
        """Tells of the images that stayed without camera_info."""
        alone = self.images - self._frames
        if alone:
            advice = "" if self._sync == "latest" else "; --param sync=latest takes any before it"
            self._problems.note(
                f"{self.camera.image_name}: {alone} of {self.images} images have no camera_info on "
                f"{self.camera.info_name} that fits (sync is {self._sync}{advice})"
            )

    def _completed(self) -> list[Frame]:
        frames = [frame for frame in self._paired if self._is_selected(frame)]
        self._paired.clear()
        return frames

    def _is_selected(self, frame: Frame) -> bool:
        self._frames += 1
        if (self._frames - 1) % self._selection.every:
            return False
        stamp = stamp_of(frame.image)
        interval = round(self._selection.min_interval * 1e9)
        # A stamp that jumped back begins anew.
        if self._taken is not None and 0 <= stamp - self._taken < interval:
            return False
        self._taken = stamp
        return True

    def _watch_stamps(self, image: object) -> None:
        stamp = stamp_of(image)
        if self._newest is not None and stamp < self._newest:
            self._problems.add(
                f"{self.camera.image_name}: stamps jump back",
                f"by {(self._newest - stamp) / 1e9:.3f} s to {stamp / 1e9:.3f}",
            )
        self._newest = stamp

    def _with_own_info(self, image: object) -> None:
        try:
            width, height = size_of(image)
        except ValueError as error:
            what = f"{self.camera.image_name} has images that cannot be read"
            self._problems.add(what, str(error))
            self._frames += 1
            return
        try:
            calibration = self._intrinsics.calibration(width, height)
        except ValueError as error:
            self._problems.add(f"{self.camera.image_name}: images of another size", str(error))
            self._frames += 1
            return
        for remark in self._intrinsics.remarks(width, height):
            self._tell(remark)
        self._pairs.add_info(
            raw_camera_info(calibration, image.header, messages.MESSAGES.camera_info)
        )
        self._pairs.add_image(image)
