# SPDX-License-Identifier: Apache-2.0
"""What a training run is told: a YAML file of four sections, and key=value overrides."""

import dataclasses
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml


@dataclass(frozen=True)
class DataConfig:
    """Where images come from and the size they are trained at.

    Attributes:
        source: "images" (any folder of images), "frames" (a data set written by `sharpdepth
            synth`, with depth) or "scenes" (the same, rendered while training).
        path: the folder of "images" or "frames".
        width, height: pixels that the networks see; multiples of the VAE's stride.
        native_crop: take a random width x height window of the image at its own size, instead of
            scaling the image to cover width x height.
        scale: with native_crop, scale the image by this before the window is taken: a network
            that will see smaller images learns from windows of smaller images.
        flip: mirror half of the images.
        intrinsics: camera of all images of "images", as `sharpdepth image --intrinsics` takes it;
            None where it is unknown. Frames and scenes bring their own.
        frames: how many, for "scenes"; for the others a limit, None for all.
        in_memory: keep decoded images; every worker keeps its own.
        workers: loader processes.
    """

    source: Literal["images", "frames", "scenes"] = "images"
    path: str | None = None
    width: int = 768
    height: int = 576
    native_crop: bool = False
    scale: float = 1.0
    flip: bool = True
    intrinsics: str | None = None
    frames: int | None = None
    in_memory: bool = False
    workers: int = 0


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and decay.

    Attributes:
        learning_rate: at its peak.
        scale_learning_rate: multiply it by the effective batch (images per update over all
            processes), as the released training does.
        batch_size: images per process and pass.
        accumulate: passes per update.
        steps: updates.
        minutes: stop, and finish the decay, after this time if it is shorter than the steps.
        warmup_steps: linear warm-up, updates.
        schedule: of the learning rate after the warm-up.
        weight_decay: AdamW's.
        clip: largest norm of the gradient.
        precision: "fp32", or mixed precision, "bf16" or "fp16"; "auto" is bf16 where the device
            multiplies it, else fp32. "no", accelerate's word, is fp32.
        gradient_checkpointing: compute activations twice to save memory.
    """

    learning_rate: float = 1e-6
    scale_learning_rate: bool = False
    batch_size: int = 1
    accumulate: int = 1
    steps: int = 1000
    minutes: float | None = None
    warmup_steps: int = 0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = 1e-2
    clip: float = 1.0
    precision: Literal["auto", "fp32", "bf16", "fp16", "no"] = "fp32"
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class RunConfig:
    """Where results go and how the run can be stopped and continued.

    Attributes:
        output: folder of the run.
        seed: of data order and noise.
        resume: continue from the last checkpoint in `output`.
        checkpoint_every: updates.
        keep: how many checkpoints; older ones are removed.
        log_every: updates between lines of log.jsonl and TensorBoard.
        cpu: stay on the CPU even where there is a GPU.
    """

    output: str = "output/train"
    seed: int = 42
    resume: bool = False
    checkpoint_every: int = 1000
    keep: int = 2
    log_every: int = 10
    cpu: bool = False


@dataclass(frozen=True)
class TrainingConfig:
    """Everything of one run. `stage` holds the options of the stage (its own dataclass)."""

    stage: Any
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)


def load_config(path: str | Path | None, overrides: list[str], stage: type) -> TrainingConfig:
    """Read a configuration.

    Args:
        path: YAML with some of the sections stage, data, optimizer and run; None for defaults.
        overrides: "section.key=value", applied in order; values are YAML.
        stage: the dataclass of the stage's own options.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not YAML, an unknown key, or a value of the wrong type.
    """
    tree = {} if path is None else _read(Path(path))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"override {override!r}: write section.key=value")
        section, _, name = key.strip().partition(".")
        tree.setdefault(section, {})
        if not isinstance(tree[section], dict) or not name:
            raise ValueError(f"override {override!r}: write section.key=value")
        try:
            tree[section][name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"override {override!r}: no plain YAML value: {error}") from error
    sections = {
        "stage": stage,
        "data": DataConfig,
        "optimizer": OptimizerConfig,
        "run": RunConfig,
    }
    if unknown := sorted(set(tree) - set(sections)):
        raise ValueError(f"unknown section {unknown[0]!r}; known are {', '.join(sections)}")
    config = TrainingConfig(
        **{name: _build(kind, tree.get(name) or {}, name) for name, kind in sections.items()}
    )
    _check(config)
    return config


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"configuration {path} does not exist")
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not plain YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds no sections (stage, data, optimizer, run)")
    return tree


def _build(kind: type, values: dict[str, Any], section: str) -> Any:
    hints = get_type_hints(kind)
    if unknown := sorted(set(values) - set(hints)):
        raise ValueError(f"unknown option {section}.{unknown[0]}; known are {', '.join(hints)}")
    given = {}
    for name, value in values.items():
        given[name] = _convert(value, hints[name], f"{section}.{name}")
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in given
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{section}.{missing[0]} is not given; it has no default")
    return kind(**given)


def _convert(value: Any, hint: Any, name: str) -> Any:
    """The value as its field's type: YAML reads 1e-4 as text and [1, 2] as a list."""
    origin, choices = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value is False:  # what YAML makes of no
            value = "no"
        if value not in choices:
            raise ValueError(f"{name} is {value!r}; choose one of {', '.join(map(str, choices))}")
        return value
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _convert(value, next(c for c in choices if c is not type(None)), name)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} is {value!r}; give a list")
        return tuple(_convert(item, choices[0], name) for item in value)
    if hint is bool or isinstance(value, bool):
        if hint is not bool or not isinstance(value, bool):
            raise ValueError(
                f"{name} is {value!r}; give {'true or false' if hint is bool else hint.__name__}"
            )
        return value
    try:
        converted = hint(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {value!r}; give a value of type {hint.__name__}") from None
    if hint is int and converted != float(value):
        raise ValueError(f"{name} is {value!r}; give a whole number")
    return converted


def _check(config: TrainingConfig) -> None:
    """Refuse numbers that no run can have."""
    least = {
        "data": {"width": 8, "height": 8, "workers": 0, "frames": 1},
        "optimizer": {"batch_size": 1, "accumulate": 1, "steps": 1, "warmup_steps": 0},
        "run": {"checkpoint_every": 1, "keep": 1, "log_every": 1, "seed": 0},
    }
    for section, limits in least.items():
        for name, limit in limits.items():
            value = getattr(getattr(config, section), name)
            if value is not None and value < limit:
                raise ValueError(f"{section}.{name} is {value}; give {limit} or more")
    positive = {"data": ("scale",), "optimizer": ("learning_rate", "clip", "minutes")}
    for section, names in positive.items():
        for name in names:
            value = getattr(getattr(config, section), name)
            if value is not None and not value > 0:
                raise ValueError(f"{section}.{name} is {value}; give a positive number")
    if config.data.scale != 1 and not config.data.native_crop:
        raise ValueError(
            f"data.scale is {config.data.scale} without data.native_crop: the image is scaled to "
            "cover data.width x data.height; leave data.scale out"
        )
