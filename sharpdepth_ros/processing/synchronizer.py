# SPDX-License-Identifier: Apache-2.0
"""Finds the CameraInfo of each image: by equal stamps, by near stamps, or the latest there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from sharpdepth_ros.messages import time_synchronizers
from sharpdepth_ros.messages.time_synchronizers import stamp_of
from sharpdepth_ros.processing.frame import Frame

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

#: Images, and camera infos, that wait for their other half.
_QUEUE = 8
#: Nanoseconds from one message to the next that are a jump of the time.
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
    """Pairs by stamps with message_filters, or with our equivalent of it.

    Their queues give up what has the earliest stamp. When the time jumps back, or one message has
    come from the future, what waits there is later than all that will come, and nothing would be
    paired any more. So at each jump the queues begin anew with what is not later than the new time.
    """

    def __init__(
        self,
        slop: float | None,
        on_frame: Callable[[Frame], None],
        on_unpaired: Callable[[], None],
        filters: ModuleType,
    ) -> None:
        self._slop, self._on_frame, self._on_unpaired = slop, on_frame, on_unpaired
        self._filters = filters
        # What waits, by stamp, in the order of arrival: images with the time of their receipt.
        self._images: dict[int, tuple[Image | CompressedImage, float]] = {}
        self._infos: dict[int, CameraInfo] = {}
        self._begin_at(0)

    def add_image(self, image: Image | CompressedImage) -> None:
        stamp = stamp_of(image)
        self._follow(stamp)
        self._images[stamp] = image, time.monotonic()
        while len(self._images) > _QUEUE:
            del self._images[next(iter(self._images))]
            self._on_unpaired()
        self._image_filter.signalMessage(image)

    def add_info(self, info: CameraInfo) -> None:
        stamp = stamp_of(info)
        self._follow(stamp)
        self._infos[stamp] = info
        while len(self._infos) > _QUEUE:
            del self._infos[next(iter(self._infos))]
        self._info_filter.signalMessage(info)

    def _follow(self, stamp: int) -> None:
        if abs(stamp - self._now) > _JUMP:
            self._begin_at(stamp)
        else:
            self._now = max(stamp, self._now)

    def _begin_at(self, now: int) -> None:
        """Fills new queues with what waits and is not later than this time."""
        self._now = now
        filters = self._filters
        self._image_filter, self._info_filter = filters.SimpleFilter(), filters.SimpleFilter()
        streams = [self._image_filter, self._info_filter]
        pairs = (
            filters.TimeSynchronizer(streams, _QUEUE)
            if self._slop is None
            else filters.ApproximateTimeSynchronizer(streams, _QUEUE, self._slop)
        )
        pairs.registerCallback(self._paired)
        # Copies: what pairs now leaves them.
        for stamp, (image, _) in list(self._images.items()):
            if stamp <= now + _JUMP:
                self._image_filter.signalMessage(image)
        for stamp, info in list(self._infos.items()):
            if stamp <= now + _JUMP:
                self._info_filter.signalMessage(info)

    def _paired(self, image: Image | CompressedImage, info: CameraInfo) -> None:
        self._infos.pop(stamp_of(info), None)
        _, received = self._images.pop(stamp_of(image), (None, time.monotonic()))
        self._on_frame(Frame(image, info, received))
