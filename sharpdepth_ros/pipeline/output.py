# SPDX-License-Identifier: Apache-2.0
"""What the pipeline answers: maps of the image's size, the fit, and the time each stage took."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch

from sharpdepth_ros.pipeline.pinned_transfers import HostMaps
from sharpdepth_ros.pipeline.timing import StageTimer

Array = np.ndarray | torch.Tensor


class SharpDepthOutput:
    """Depth of one image. Maps are [H, W], numpy for a numpy image and torch for a torch image.

    On a GPU the pipeline does not wait for the frame: reading a numpy map, the fit or the timings
    does. Whoever gives the next image before reading keeps the GPU busy meanwhile.
    """

    def __init__(
        self,
        answers: HostMaps | Mapping[str, Array | None],
        index: int,
        timer: StageTimer,
    ) -> None:
        """Wrap one image of a batch; the pipeline makes these.

        Args:
            answers: depth, metric_depth, discrepancy, affine_depth, each [B, 1, H, W]; intrinsics,
                [B, 3, 3]; scale, shift and sound, each [B]. All but the first two may be None.
            index: of the image in them.
            timer: of the batch.
        """
        self._answers, self._index, self._timer = answers, index, timer

    def __repr__(self) -> str:
        height, width = self.depth.shape
        return f"{type(self).__name__}({width}x{height}, aligned={self.aligned})"

    @cached_property
    def depth(self) -> Array:
        """float32 [H, W] metres; the answer."""
        return self._map("depth")

    @cached_property
    def metric_depth(self) -> Array:
        """float32 [H, W] metres; f_D alone."""
        return self._map("metric_depth")

    @cached_property
    def discrepancy(self) -> Array | None:
        """float32 [H, W] in [0, 1], where the generator and f_D disagree; None in mode "metric",
        which has no generator."""
        return self._map("discrepancy")

    @cached_property
    def affine_depth(self) -> Array | None:
        """float32 [H, W]; the map before the alignment: the sharpener's, about [-1, 1], or in mode
        "aligned" the generator's in [0, 1], which is affine to disparity where the generator's
        space is. None in mode "metric"."""
        return self._map("affine_depth")

    @cached_property
    def intrinsics(self) -> Array | None:
        """float32 [3, 3] pixels of the H x W image: the camera that was given, else the metric
        model's estimate, else None."""
        cameras = self._answers["intrinsics"]
        return None if cameras is None else cameras[self._index]

    @property
    def scale(self) -> float:
        """Metres per unit of `affine_depth`, as fitted; nan in mode "metric"."""
        return self._fitted("scale", float("nan"))

    @property
    def shift(self) -> float:
        """Metres at `affine_depth` 0, as fitted; nan in mode "metric"."""
        return self._fitted("shift", float("nan"))

    @property
    def aligned(self) -> bool:
        """Whether `depth` is the sharpened depth. False: the fit was degenerate (or the mode is
        "metric"), and `depth` is the metric depth."""
        return bool(self._fitted("sound", False))

    @cached_property
    def timings(self) -> dict[str, float]:
        """Milliseconds per stage of the batch, in order. On a GPU, reading it waits for the frame
        to end, and stages that ran beside each other add up to more than the frame."""
        return self._timer.milliseconds()

    def _map(self, name: str) -> Array | None:
        maps = self._answers[name]
        return None if maps is None else maps[self._index, 0]

    def _fitted(self, name: str, absent: float) -> float:
        values = self._answers[name]
        return absent if values is None else values[self._index].item()
