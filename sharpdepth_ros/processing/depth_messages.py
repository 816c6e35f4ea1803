# SPDX-License-Identifier: Apache-2.0
"""The messages of one frame's results, by output topic: what the node publishes and a bag gets."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.io.depth_files import to_millimetres
from sharpdepth_ros.messages.camera_info import depth_camera_info
from sharpdepth_ros.messages.images import ImageWriter
from sharpdepth_ros.messages.message_types import MessageTypes
from sharpdepth_ros.messages.point_cloud import PointCloudWriter
from sharpdepth_ros.messages.topics import (
    DEPTH,
    DEPTH_CAMERA_INFO,
    DISCREPANCY,
    METRIC,
    POINTS,
    PREVIEW,
)
from sharpdepth_ros.processing.frame import Demand, FrameResult
from sharpdepth_ros.processing.parameters import Parameters

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2


def demand_of(topics: Collection[str], parameters: Parameters) -> Demand:
    """What a frame has to bring for these output topics."""
    wanted = set(topics)
    confidence = POINTS in wanted and parameters.point_confidence
    return Demand(
        depth=bool(wanted & {DEPTH, DEPTH_CAMERA_INFO, POINTS, PREVIEW}),
        discrepancy=DISCREPANCY in wanted or confidence,
        metric=METRIC in wanted,
    )


class DepthMessages:
    """Makes the messages of one frame after the other, in the same memory.

    A message is good until the next one of its topic is made.
    """

    def __init__(self, types: MessageTypes) -> None:
        self._types = types
        self._writers = {
            topic: ImageWriter(types.image) for topic in (DEPTH, PREVIEW, DISCREPANCY, METRIC)
        }
        self._cloud = PointCloudWriter(types.point_cloud, types.point_field)

    def topics(self, result: FrameResult) -> list[str]:
        """The topics for which the frame has what they need, in the order of publication."""
        topics = [DEPTH_CAMERA_INFO]
        if result.depth is not None:
            topics += [DEPTH, POINTS, PREVIEW]
        if result.discrepancy is not None:
            topics.append(DISCREPANCY)
        if result.metric_depth is not None:
            topics.append(METRIC)
        return topics

    def make(
        self, topic: str, result: FrameResult, parameters: Parameters
    ) -> Image | CameraInfo | PointCloud2:
        """The message of one of `topics(result)`."""
        header = result.header
        if topic == DEPTH_CAMERA_INFO:
            return depth_camera_info(
                result.camera, header, result.frame.info, self._types.camera_info
            )
        if topic == DEPTH:
            encoding = parameters.depth_encoding
            pixels = to_millimetres(result.depth) if encoding == "16UC1" else result.depth
            return self._writers[DEPTH](pixels, encoding, header)
        if topic == POINTS:
            return self._points(result, parameters)
        if topic == PREVIEW:
            return self._writers[PREVIEW](colorize_depth(result.depth), "rgb8", header)
        pixels = {DISCREPANCY: result.discrepancy, METRIC: result.metric_depth}[topic]
        return self._writers[topic](pixels, "32FC1", header)

    def _points(self, result: FrameResult, parameters: Parameters) -> PointCloud2:
        confidence = None
        if parameters.point_confidence:
            # Without a discrepancy map (mode metric) nobody knows: NaN.
            confidence = (
                np.full_like(result.depth, np.nan)
                if result.discrepancy is None
                else 1 - result.discrepancy
            )
        return self._cloud(
            result.depth,
            result.camera,
            result.header,
            result.rgb if parameters.point_color else None,
            confidence,
            parameters.point_stride,
        )
