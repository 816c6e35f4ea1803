# SPDX-License-Identifier: Apache-2.0
"""What the pipeline answers: maps of the image's size, the fit, and the time each stage took."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from sharpdepth_ros.pipeline.alignment import Alignment
from sharpdepth_ros.pipeline.timing import StageTimer

Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class SharpDepthOutput:
    """Depth of one image. Maps are [H, W], numpy for a numpy image and torch for a torch image.

    Attributes:
        depth: float32 metres; the answer.
        metric_depth: float32 metres; f_D alone.
        discrepancy: float32 in [0, 1], where the generator and f_D disagree; None in mode
            "metric", which has no generator.
        affine_depth: float32; the map before the alignment: the sharpener's, about [-1, 1], or
            in mode "aligned" the generator's in [0, 1], which is affine to disparity where the
            generator's space is. None in mode "metric".
        intrinsics: float32 [3, 3] pixels of the H x W image: the camera that was given, else the
            metric model's estimate, else None.
    """

    depth: Array
    metric_depth: Array
    discrepancy: Array | None
    affine_depth: Array | None
    intrinsics: Array | None
    _alignment: Alignment | None = field(repr=False)
    _timer: StageTimer = field(repr=False)

    @property
    def scale(self) -> float:
        """Metres per unit of `affine_depth`, as fitted; nan in mode "metric"."""
        return float("nan") if self._alignment is None else self._alignment.scale.item()

    @property
    def shift(self) -> float:
        """Metres at `affine_depth` 0, as fitted; nan in mode "metric"."""
        return float("nan") if self._alignment is None else self._alignment.shift.item()

    @property
    def aligned(self) -> bool:
        """Whether `depth` is the sharpened depth. False: the fit was degenerate (or the mode is
        "metric"), and `depth` is the metric depth."""
        return self._alignment is not None and bool(self._alignment.sound.item())

    @cached_property
    def timings(self) -> dict[str, float]:
        """Milliseconds per stage, in order. On a GPU, reading it waits for the frame to end."""
        return self._timer.milliseconds()


def converter_for(rgb: Array) -> Callable[[torch.Tensor | None], Array | None]:
    """How to hand maps [1, 1, H, W] back: as numpy for a numpy image, on the device for torch."""

    def torch_map(maps: torch.Tensor | None) -> torch.Tensor | None:
        return None if maps is None else maps[0, 0].float()

    def numpy_map(maps: torch.Tensor | None) -> np.ndarray | None:
        return None if maps is None else maps[0, 0].float().cpu().numpy()

    return torch_map if isinstance(rgb, torch.Tensor) else numpy_map
