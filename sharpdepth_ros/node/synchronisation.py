# SPDX-License-Identifier: Apache-2.0
"""Finds the CameraInfo of each image: by equal stamps, by near stamps, or the latest there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from sharpdepth_ros.node import time_synchronizers
from sharpdepth_ros.node.processing import Frame
from sharpdepth_ros.node.time_synchronizers import stamp_of

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

#: Images, and camera infos, that wait for their other half.
_QUEUE = 8
#: Nanoseconds by which stamps must go back for the time to have jumped.
_JUMP = 1_000_000_000


class Synchroniser(Protocol):
    """Takes both streams, gives frames."""

    def add_image(self, image: Image | CompressedImage) -> None: ...

    def add_info(self, info: CameraInfo) -> None: ...


def make_synchroniser(
    policy: str,
    slop: float,
    on_frame: Callable[[Frame], None],
    on_unpaired: Callable[[], None],
    filters: ModuleType = time_synchronizers,
) -> Synchroniser:
    """The synchroniser of a policy.

    Args:
        policy: exact, approximate or latest.
        slop: for approximate, the largest difference of stamps in seconds.
        on_frame: gets each image with its CameraInfo.
        on_unpaired: called for each image that is given up because it has none.
        filters: message_filters, or our equivalent of it.
    """
    if policy == "latest":
        return _LatestInfo(on_frame, on_unpaired)
    return _StampedPairs(None if policy == "exact" else slop, on_frame, on_unpaired, filters)


class _LatestInfo:
    """Pairs each image with the newest CameraInfo received before it."""

    def __init__(self, on_frame: Callable[[Frame], None], on_unpaired: Callable[[], None]) -> None:
        self._on_frame, self._on_unpaired = on_frame, on_unpaired
        self._info: CameraInfo | None = None

    def add_info(self, info: CameraInfo) -> None:
        self._info = info

    def add_image(self, image: Image | CompressedImage) -> None:
        if self._info is None:
            self._on_unpaired()
        else:
            self._on_frame(Frame(image, self._info, time.monotonic()))


class _StampedPairs:
    """Pairs by stamps with message_filters, or with our equivalent of it."""

    def __init__(
        self,
        slop: float | None,
        on_frame: Callable[[Frame], None],
        on_unpaired: Callable[[], None],
        filters: ModuleType,
    ) -> None:
        self._slop, self._on_frame, self._on_unpaired = slop, on_frame, on_unpaired
        self._filters = filters
        self._begin()

    def _begin(self) -> None:
        """Starts with empty queues."""
        filters = self._filters
        self._images, self._infos = filters.SimpleFilter(), filters.SimpleFilter()
        streams = [self._images, self._infos]
        pairs = (
            filters.TimeSynchronizer(streams, _QUEUE)
            if self._slop is None
            else filters.ApproximateTimeSynchronizer(streams, _QUEUE, self._slop)
        )
        pairs.registerCallback(self._paired)
        # Stamp -> when it was received, of the images that wait, oldest first.
        self._waiting: dict[int, float] = {}
        self._newest = 0

    def add_image(self, image: Image | CompressedImage) -> None:
        stamp = stamp_of(image)
        if stamp < self._newest - _JUMP:
            # A recording began again. What waits has later stamps than all that will come, and the
            # queues give up the earliest: nothing would be paired any more.
            self._begin()
        self._newest = max(stamp, self._newest)
        self._waiting[stamp] = time.monotonic()
        while len(self._waiting) > _QUEUE:
            del self._waiting[next(iter(self._waiting))]
            self._on_unpaired()
        self._images.signalMessage(image)

    def add_info(self, info: CameraInfo) -> None:
        self._infos.signalMessage(info)

    def _paired(self, image: Image | CompressedImage, info: CameraInfo) -> None:
        received = self._waiting.pop(stamp_of(image), None) or time.monotonic()
        self._on_frame(Frame(image, info, received))
