# SPDX-License-Identifier: Apache-2.0
"""The node with a model that tests control: what it does is written in the parameter `model`.

`model` is a list of words: sleep=SECONDS; fail=N (every N-th frame raises), oom=N, nan=N, lost=N,
inf=N, stuck=N, exit=N, exitpublish=N (SystemExit in a thread), oddtimes=N (times that are none),
deadthread=N (a thread beside the node's dies); loadfail; loadsleep=SECONDS, unloadsleep=SECONDS;
ballast=MEBIBYTES; leak=KIBIBYTES (each frame). Depth is a ramp from 1 to 3 m, so a result is known.
"""

import threading
import time
from dataclasses import dataclass, field

import torch

from sharpdepth_ros.node.main import run
from sharpdepth_ros.node.sharpdepth_node import SharpDepthNode
from sharpdepth_ros.node.worker import CannotContinue
from sharpdepth_ros.processing.parameters import Parameters


@dataclass(frozen=True)
class Output:
    depth: torch.Tensor
    metric_depth: torch.Tensor
    discrepancy: torch.Tensor | None
    aligned: bool
    timings: dict = field(default_factory=dict)


class StandIn:
    device = torch.device("cpu")

    def __init__(self, parameters: Parameters) -> None:
        words = (word.partition("=") for word in parameters.model.split())
        self.behaviour = {name: float(value or 1) for name, _, value in words}
        time.sleep(self.behaviour.get("loadsleep", 0))
        if "loadfail" in self.behaviour:
            raise ValueError("the weights are not what they seem")
        size = int(self.behaviour.get("ballast", 0) * 2**20)
        self.ballast = torch.ones(size, dtype=torch.uint8)
        self.leaked: list[torch.Tensor] = []
        self.frames = -1  # the warm-up frame is number 0

    def __call__(self, rgb, intrinsics, *, mode, seen=None, **_):
        self.frames += 1
        time.sleep(self.behaviour.get("sleep", 0))
        if self._now("stuck"):
            print(f"frame {self.frames} is stuck", flush=True)
            time.sleep(600)
        if self._now("fail"):
            raise RuntimeError(f"frame {self.frames} is not to the model's taste")
        if self._now("oom"):
            raise torch.cuda.OutOfMemoryError("tried to allocate all of it")
        if self._now("lost"):
            raise CannotContinue("the device fell off the bus")
        if self._now("exit"):
            raise SystemExit("a library wants to leave")
        if self._now("deadthread"):
            threading.Thread(target=_die, name="helper").start()
        if "leak" in self.behaviour:
            self.leaked.append(torch.ones(int(self.behaviour["leak"] * 2**10), dtype=torch.uint8))
        height, width = rgb.shape[:2]
        depth = torch.linspace(1, 3, width).repeat(height, 1)
        if self._now("nan"):
            depth.fill_(torch.nan)
        if self._now("inf"):
            depth.fill_(torch.inf)
        if seen is not None:
            depth[~torch.as_tensor(seen)] = torch.nan
        discrepancy = torch.linspace(0, 1, height)[:, None].repeat(1, width)
        aligned = LeavesWhenPublished() if self._now("exitpublish") else mode != "metric"
        timings = {"metric": "soon"} if self._now("oddtimes") else {}
        discrepancy = None if mode == "metric" else discrepancy
        return Output(depth, depth + 1, discrepancy, aligned, timings)

    def __del__(self) -> None:
        if seconds := self.behaviour.get("unloadsleep"):
            print("the model is being unloaded", flush=True)
            time.sleep(seconds)

    def _now(self, word: str) -> bool:
        every = self.behaviour.get(word)
        return every is not None and self.frames > 0 and self.frames % every == 0


class LeavesWhenPublished:
    """True, until the publishing thread asks."""

    def __bool__(self) -> bool:
        if threading.current_thread().name == "sharpdepth-publish":
            raise SystemExit("a library wants to leave")
        return True


def _die() -> None:
    raise RuntimeError("nobody catches this")


if __name__ == "__main__":
    run(lambda: SharpDepthNode(StandIn))
