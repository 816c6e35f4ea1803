# SPDX-License-Identifier: Apache-2.0
"""The node's output topics: who listens, and the messages for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from sharpdepth_ros.export.colormap import colorize_depth
from sharpdepth_ros.export.depth_files import to_millimetres
from sharpdepth_ros.node.camera_info import depth_camera_info
from sharpdepth_ros.node.images import ImageWriter
from sharpdepth_ros.node.parameters import Parameters
from sharpdepth_ros.node.point_cloud import PointCloudWriter
from sharpdepth_ros.node.processing import Demand, FrameResult
from sharpdepth_ros.node.topics import (
    DEPTH,
    DEPTH_CAMERA_INFO,
    DISCREPANCY,
    METRIC,
    POINTS,
    PREVIEW,
)

_TYPES: dict[str, type] = {
    DEPTH_CAMERA_INFO: CameraInfo,
    DEPTH: Image,
    POINTS: PointCloud2,
    PREVIEW: Image,
    DISCREPANCY: Image,
    METRIC: Image,
}


class Outputs:
    """The publishers of the node. Made on configure, removed on cleanup."""

    def __init__(self, node: LifecycleNode, parameters: Callable[[], Parameters]) -> None:
        self._node = node
        self._parameters = parameters
        # Reliable serves every subscriber; a depth of one because only the newest frame matters.
        self._publishers: dict[str, LifecyclePublisher] = {
            topic: node.create_lifecycle_publisher(
                kind,
                topic,
                QoSProfile(depth=1),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for topic, kind in _TYPES.items()
        }
        self._writers = {topic: ImageWriter() for topic, kind in _TYPES.items() if kind is Image}
        self._cloud = PointCloudWriter()

    def destroy(self) -> None:
        """Removes the publishers from the graph."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def wanted(self) -> set[str]:
        """The topics somebody subscribes to."""
        return {t for t, p in self._publishers.items() if p.get_subscription_count() > 0}

    def demand(self) -> Demand:
        """What the next frame has to bring for the topics that are wanted."""
        wanted = self.wanted()
        confidence = POINTS in wanted and self._parameters().point_confidence
        return Demand(
            depth=bool(wanted & {DEPTH, DEPTH_CAMERA_INFO, POINTS, PREVIEW}),
            discrepancy=DISCREPANCY in wanted or confidence,
            metric=METRIC in wanted,
        )

    def publish(self, result: FrameResult) -> dict[str, float]:
        """Publishes a frame to those who listen.

        A topic that was not wanted when the frame was begun is left out.

        Returns:
            Milliseconds for making and sending each message, by topic.
        """
        parameters = self._parameters()
        makers = {DEPTH_CAMERA_INFO: self._camera_info}
        if result.depth is not None:
            makers |= {DEPTH: self._depth_image, POINTS: self._points, PREVIEW: self._preview}
        if result.discrepancy is not None:
            makers[DISCREPANCY] = self._discrepancy
        if result.metric_depth is not None:
            makers[METRIC] = self._metric
        timings, wanted = {}, self.wanted()
        for topic in (topic for topic in makers if topic in wanted):
            begun = time.perf_counter()
            self._publishers[topic].publish(makers[topic](result, parameters))
            timings[f"publish {topic}"] = (time.perf_counter() - begun) * 1e3
        return timings

    def _camera_info(self, result: FrameResult, _: Parameters) -> CameraInfo:
        return depth_camera_info(result.camera, result.header, result.frame.info)

    def _depth_image(self, result: FrameResult, parameters: Parameters) -> Image:
        encoding = parameters.depth_encoding
        pixels = to_millimetres(result.depth) if encoding == "16UC1" else result.depth
        return self._writers[DEPTH](pixels, encoding, result.header)

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

    def _preview(self, result: FrameResult, _: Parameters) -> Image:
        return self._writers[PREVIEW](colorize_depth(result.depth), "rgb8", result.header)

    def _discrepancy(self, result: FrameResult, _: Parameters) -> Image:
        return self._writers[DISCREPANCY](result.discrepancy, "32FC1", result.header)

    def _metric(self, result: FrameResult, _: Parameters) -> Image:
        return self._writers[METRIC](result.metric_depth, "32FC1", result.header)
