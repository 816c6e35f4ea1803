# SPDX-License-Identifier: Apache-2.0
"""Chooses a stage by name, builds it from its configuration and trains it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sharpdepth_ros.training.config import TrainingConfig, load_config
from sharpdepth_ros.training.run_checkpoints import CheckpointNotWritten, checkpoints_of
from sharpdepth_ros.training.stages.base import Stage
from sharpdepth_ros.training.stages.lotus import LotusOptions, LotusStage
from sharpdepth_ros.training.stages.metric import MetricOptions, MetricStage
from sharpdepth_ros.training.stages.sharpen import SharpenOptions, SharpenStage
from sharpdepth_ros.training.stages.tiny_vae import TinyVaeOptions, TinyVaeStage
from sharpdepth_ros.training.stages.vae import VaeOptions, VaeStage
from sharpdepth_ros.training.trainer import LossNotFinite, Trainer

STAGES = {
    "metric": (MetricStage, MetricOptions),
    "vae": (VaeStage, VaeOptions),
    "tiny-vae": (TinyVaeStage, TinyVaeOptions),
    "lotus": (LotusStage, LotusOptions),
    "sharpen": (SharpenStage, SharpenOptions),
}
"""Each training by the name that the command line knows, and its options."""

FAILED = 1


def run_stage(name: str, config_path: str | Path | None, overrides: list[str]) -> int:
    """Train; the exit status: 0, or 1 when the run stopped before its end."""
    if name not in STAGES:
        raise ValueError(f"no training {name!r}; choose one of {', '.join(STAGES)}")
    stage, options = STAGES[name]
    return run_training(stage, load_config(config_path, overrides, options))


def run_training(make_stage: Callable[[Any], Stage], config: TrainingConfig) -> int:
    """Train the stage that is made of the configuration's options; the exit status."""
    torch.manual_seed(config.run.seed)  # of the initial weights
    trainer = Trainer(make_stage(config.stage), config)
    try:
        checkpoint = trainer.run()
    except (LossNotFinite, CheckpointNotWritten) as error:
        print(f"sharpdepth: training stopped: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"sharpdepth: training stopped: {error}; {_last(trainer)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"sharpdepth: stopped at step {trainer.step}; {_last(trainer)}", file=sys.stderr)
        raise
    trainer.accelerator.print(f"trained {trainer.step} steps: {checkpoint}")
    return 0


def _last(trainer: Trainer) -> str:
    kept = checkpoints_of(trainer.output)
    if not kept:
        return "there is no checkpoint yet"
    return f"run.resume=true continues from {kept[-1]}"
