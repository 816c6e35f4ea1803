# SPDX-License-Identifier: Apache-2.0
"""Compares a run with the one that it continues: what differs is refused, or allowed by name."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharpdepth_ros.models.safe_loading import CheckpointError, read_json
from sharpdepth_ros.training.config import TrainingConfig, did_you_mean
from sharpdepth_ros.training.run_checkpoints import STATE, faults_in

PROGRESS = "progress.json"
"""File in the training state: steps, time, and what the run was."""

PROCESSES = "processes"
"""Not an option, but as decisive: order of the data and size of the batch follow from it."""

FREE = frozenset(
    {
        *("optimizer.steps", "optimizer.minutes", "optimizer.gradient_checkpointing"),
        *("data.workers", "data.in_memory", "stage.metric_cache", "stage.latent_cache"),
        *(f"run.{name}" for name in ("output", "resume", "checkpoint_every", "keep", "log_every")),
        *("run.cpu", "run.allow_changes"),
        "stage.init",  # the weights come from the checkpoint
    }
)
"""Options that may change in a run: they leave its steps as they are, or only say where it ends."""


def described(
    stage: str, config: TrainingConfig, contents: Mapping[str, str], processes: int
) -> dict[str, Any]:
    """What a run is, for `PROGRESS`.

    Args:
        stage: its class.
        config: all options.
        contents: of options that name a folder or a file, a digest of what lies there.
        processes: how many train together.
    """
    return {
        "stage": stage,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "contents": dict(contents),
        PROCESSES: processes,
    }


def require_same_run(before: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path) -> str:
    """Check that a run continues the one of a checkpoint; what of it changes, in words.

    Args:
        before: `described` at the checkpoint; earlier versions wrote the config alone.
        now: of this run.
        checkpoint: for messages.

    Raises:
        ValueError: something differs that `run.allow_changes` does not name, or that cannot change.
    """
    options, old = _options(now), _options(before)
    other = before.get("stage", now["stage"]) != now["stage"]
    if other or before["config"]["stage"].keys() != now["config"]["stage"].keys():
        raise ValueError(
            f"{checkpoint} is of another training ({before.get('stage', 'of other options')}, not "
            f"{now['stage']}); give another run.output"
        )
    allowed = now["config"]["run"]["allow_changes"]
    for name in allowed:
        if name not in options:
            raise ValueError(
                f"run.allow_changes names {name!r}, which is no option{did_you_mean(name, options)}"
            )
    changes = {
        name: _difference(name, old[name], value, before, now)
        for name, value in options.items()
        if name in old
    }
    changes = {name: words for name, words in changes.items() if words}
    if refused := [name for name in changes if name not in allowed]:
        raise ValueError(
            f"{checkpoint} was trained otherwise: "
            f"{'; '.join(changes[name] for name in refused)}. Give what it was trained with, or "
            f"another run.output, or allow it: run.allow_changes=[{','.join(changes)}]"
        )
    return "; ".join(changes.values())


def state_faults(checkpoint: Path) -> list[str]:
    """Why a run cannot continue from a checkpoint; empty where it can. Weights are not read."""
    state = checkpoint / STATE
    if not state.is_dir():
        return [f"it has no {STATE}/"]
    try:
        progress = read_json(state / PROGRESS)
        int(progress["step"]), float(progress["seconds"]), progress["config"]["stage"].keys()
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"{STATE}/{PROGRESS} does not say where the run was ({error})"]
    return faults_in(state)


def _options(run: Mapping[str, Any]) -> dict[str, Any]:
    """Every option as section.name, and the number of processes."""
    options = {
        f"{section}.{name}": value
        for section, values in run["config"].items()
        for name, value in values.items()
    }
    return options | ({PROCESSES: run[PROCESSES]} if PROCESSES in run else {})


def _difference(
    name: str, old: Any, new: Any, before: Mapping[str, Any], now: Mapping[str, Any]
) -> str | None:
    """How an option differs, in words. Of what lies in files, the contents count, not the name."""
    contents = [run.get("contents", {}).get(name) for run in (before, now)]
    if None not in contents:
        if contents[0] == contents[1]:
            return None
        if old == new:
            return f"{name} is still {new!r}, but what lies there has changed"
    elif name in FREE or old == new:
        return None
    return f"{name} was {old!r} and is {new!r}"
