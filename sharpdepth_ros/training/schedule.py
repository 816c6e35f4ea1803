# SPDX-License-Identifier: Apache-2.0
"""The learning rate and the end of a run, as functions of steps and time."""

import math

from sharpdepth_ros.training.config import OptimizerConfig


def progress(config: OptimizerConfig, step: int, seconds: float) -> float:
    """How much of the run is over, 0 to 1: of its steps or its minutes, whichever ends first."""
    done = step / config.steps
    if config.minutes is not None:
        done = max(done, seconds / (60 * config.minutes))
    return min(done, 1.0)


def learning_rate(config: OptimizerConfig, step: int, seconds: float, processes: int) -> float:
    """The rate of update number `step` (from 0): linear warm-up, then the schedule.

    The cosine and the linear schedule end at zero.
    """
    rate = config.learning_rate
    if config.scale_learning_rate:
        rate *= config.batch_size * config.accumulate * processes
    if step < config.warmup_steps:
        return rate * (step + 1) / config.warmup_steps
    begin = config.warmup_steps / config.steps
    done = max(progress(config, step, seconds) - begin, 0.0) / max(1 - begin, 1e-9)
    if config.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * done))
    return rate * (1 - done) if config.schedule == "linear" else rate
