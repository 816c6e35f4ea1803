# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth` in a process of its own, with a model that tests control."""

import sys
import time
from dataclasses import dataclass, field

import torch

from sharpdepth_ros.cli import main
from sharpdepth_ros.node import frame_handler as frame_work


@dataclass(frozen=True)
class Output:
    depth: torch.Tensor
    metric_depth: torch.Tensor
    discrepancy: torch.Tensor | None
    aligned: bool
    timings: dict = field(default_factory=dict)


class StandIn:
    """A pipeline whose depth in metres is 1 + red / 100: each picture's own.

    Attributes:
        calls: so far.
        fail_at: numbers of the calls that fail.
        seconds: that a call takes.
    """

    device = torch.device("cpu")

    def __init__(self, seconds: float = 0.0):
        self.calls, self.seconds = 0, seconds
        self.fail_at: set[int] = set()

    def __call__(self, rgb, intrinsics, *, mode, **_):
        self.calls += 1
        time.sleep(self.seconds)
        if self.calls in self.fail_at:
            raise RuntimeError("the device had enough")
        depth = 1 + rgb[..., 0].float() / 100
        discrepancy = rgb[..., 1].float() / 255
        return Output(depth, depth + 1, None if mode == "metric" else discrepancy, True)


if __name__ == "__main__":
    frame_work.build_pipeline = lambda _: StandIn(seconds=0.1)
    sys.exit(main(sys.argv[1:]))
