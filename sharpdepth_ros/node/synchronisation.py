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
#: Earlier than any stamp.
_NO_TIME = -(2**63)


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
    paired any more: that is thrown away then.
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
        # What waits in the queues, by stamp, oldest first: images with the time of their receipt.
        self._images: dict[int, tuple[Image | CompressedImage, float]] = {}
        self._infos: dict[int, CameraInfo] = {}
        self._newest_image = self._newest_info = _NO_TIME
        self._begin()

    def _begin(self) -> None:
        """Starts with empty queues."""
        filters = self._filters
        self._image_filter, self._info_filter = filters.SimpleFilter(), filters.SimpleFilter()
        streams = [self._image_filter, self._info_filter]
        pairs = (
            filters.TimeSynchronizer(streams, _QUEUE)
            if self._slop is None
            else filters.ApproximateTimeSynchronizer(streams, _QUEUE, self._slop)
        )
        pairs.registerCallback(self._paired)

    def add_image(self, image: Image | CompressedImage) -> None:
        stamp = stamp_of(image)
        if stamp < self._newest_image - _JUMP:
            self._go_back_to(stamp)
        self._newest_image = max(stamp, self._newest_image)
        self._images[stamp] = image, time.monotonic()
        while len(self._images) > _QUEUE:
            self._give_up_image(next(iter(self._images)))
        self._image_filter.signalMessage(image)

    def add_info(self, info: CameraInfo) -> None:
        stamp = stamp_of(info)
        if stamp < self._newest_info - _JUMP:
            self._go_back_to(stamp)
        self._newest_info = max(stamp, self._newest_info)
        self._infos[stamp] = info
        while len(self._infos) > _QUEUE:
            del self._infos[next(iter(self._infos))]
        self._info_filter.signalMessage(info)

    def _go_back_to(self, stamp: int) -> None:
        """Throws away what is later than this time; the rest waits on."""
        horizon = stamp + _JUMP
        for late in [s for s in self._images if s > horizon]:
            self._give_up_image(late)
        self._infos = {s: info for s, info in self._infos.items() if s <= horizon}
        self._newest_image = max(self._images, default=_NO_TIME)
        self._newest_info = max(self._infos, default=_NO_TIME)
        self._begin()
        # Copies: what pairs now leaves them.
        for image, _ in list(self._images.values()):
            self._image_filter.signalMessage(image)
        for info in list(self._infos.values()):
            self._info_filter.signalMessage(info)

    def _give_up_image(self, stamp: int) -> None:
        del self._images[stamp]
        self._on_unpaired()

    def _paired(self, image: Image | CompressedImage, info: CameraInfo) -> None:
        self._infos.pop(stamp_of(info), None)
        _, received = self._images.pop(stamp_of(image), (None, time.monotonic()))
        self._on_frame(Frame(image, info, received))
