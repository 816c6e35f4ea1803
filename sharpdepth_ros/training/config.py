# SPDX-License-Identifier: Apache-2.0
"""What a training run is told: a YAML file of four sections, and key=value overrides."""

import dataclasses
import math
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import yaml

NULL = ("null", "none", "")
"""Texts that leave an option out where it may be left out."""

BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Bounds:
    """The numbers that an option takes: `least` to `most`, or above `above`, or multiples."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    multiple: int = 0

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and not (self.multiple and value % self.multiple)
        )

    def __str__(self) -> str:
        if self.above is not None:
            return f"a number above {self.above:g}"
        if self.multiple:
            return f"a multiple of {self.multiple}"
        return f"{self.least:g} " + ("or more" if self.most is None else f"to {self.most:g}")


Count = Annotated[int, Bounds(least=1)]
Natural = Annotated[int, Bounds(least=0)]
Size = Annotated[int, Bounds(least=8)]
Channels = Annotated[int, Bounds(least=8, multiple=8)]  # of group normalisation in eights
Positive = Annotated[float, Bounds(above=0)]
Weight = Annotated[float, Bounds(least=0)]
Share = Annotated[float, Bounds(least=0, most=1)]


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
    width: Size = 768
    height: Size = 576
    native_crop: bool = False
    scale: Positive = 1.0
    flip: bool = True
    intrinsics: str | None = None
    frames: Count | None = None
    in_memory: bool = False
    workers: Natural = 0


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

    learning_rate: Positive = 1e-6
    scale_learning_rate: bool = False
    batch_size: Count = 1
    accumulate: Count = 1
    steps: Count = 1000
    minutes: Positive | None = None
    warmup_steps: Natural = 0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Weight = 1e-2
    clip: Positive = 1.0
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
        allow_changes: options by name, such as `data.path`, that may differ from those of the
            checkpoint that a resumed run continues from.
    """

    output: str = "output/train"
    seed: Natural = 42
    resume: bool = False
    checkpoint_every: Count = 1000
    keep: Count = 2
    log_every: Count = 10
    cpu: bool = False
    allow_changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingConfig:
    """Everything of one run. `stage` holds the options of the stage (its own dataclass)."""

    stage: Any
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)


def load_config(path: str | Path | None, overrides: list[str], stage: type) -> TrainingConfig:
    """Read a configuration. An option's type, not the look of its text, decides how it is read.

    Args:
        path: YAML with some of the sections stage, data, optimizer and run; None for defaults.
        overrides: "section.key=value", applied in order; a list is [a, b] or a,b.
        stage: the dataclass of the stage's own options.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not YAML, an unknown key, or a value of the wrong type or out of its bounds.
    """
    tree = {} if path is None else _read(Path(path).expanduser())
    sections = {
        "stage": stage,
        "data": DataConfig,
        "optimizer": OptimizerConfig,
        "run": RunConfig,
    }
    for override in overrides:
        key, equals, value = override.partition("=")
        section, _, name = key.strip().partition(".")
        if not (equals and name):
            raise ValueError(f"override {override!r}: write section.key=value")
        tree.setdefault(section, {})[name] = _unquoted(value.strip())
    if unknown := sorted(set(tree) - set(sections)):
        raise ValueError(
            f"unknown section {unknown[0]!r}{did_you_mean(unknown[0], sections)}; known are "
            f"{', '.join(sections)}"
        )
    config = TrainingConfig(
        **{name: _build(kind, tree.get(name, {}), name) for name, kind in sections.items()}
    )
    if config.data.scale != 1 and not config.data.native_crop:
        raise ValueError(
            f"data.scale is {config.data.scale} without data.native_crop: the image is scaled to "
            "cover data.width x data.height; leave data.scale out"
        )
    return config


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that is most like a mistyped one, as part of a message; or nothing."""
    lower = {k.lower(): k for k in known}
    nearest = get_close_matches(name.lower(), lower, n=1)
    return f" (did you mean {lower[nearest[0]]!r}?)" if nearest else ""


class _TextLoader(yaml.SafeLoader):
    """Guesses no types: to YAML 1.1, 2026_11_30, 0123 and 12:30 are numbers, and no is false."""

    yaml_implicit_resolvers: ClassVar[dict] = {}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a file, every value as text or a list of texts."""
    if not path.is_file():
        raise FileNotFoundError(f"configuration {path} does not exist")
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_TextLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not plain YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds no sections (stage, data, optimizer, run)")
    sections = {name: {} if values == "" else values for name, values in tree.items()}
    for name, values in sections.items():
        if not isinstance(values, dict):
            raise ValueError(f"{path}: section {name} is {values!r}; give options, one a line")
    # The null of YAML, which in an override is the user's home.
    return {
        section: {name: "null" if value == "~" else value for name, value in values.items()}
        for section, values in sections.items()
    }


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _build(kind: type, values: dict[str, Any], section: str) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    if unknown := sorted(set(values) - set(hints)):
        raise ValueError(
            f"unknown option {section}.{unknown[0]}{did_you_mean(unknown[0], hints)}; known are "
            f"{', '.join(hints)}"
        )
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


def _convert(value: str | list, hint: Any, name: str) -> Any:
    """The value of an option from its text."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        converted = _convert(value, arguments[0], name)
        if converted not in arguments[1]:
            raise ValueError(f"{name} is {converted}; give {arguments[1]}")
        return converted
    if origin in (Union, types.UnionType):
        if isinstance(value, str) and value.lower() in NULL:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), name)
    if origin is tuple:
        return tuple(_convert(item, arguments[0], name) for item in _items(value, name))
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}; give one value")
    if origin is Literal:
        if value not in arguments:
            raise ValueError(
                f"{name} is {value!r}{did_you_mean(value, arguments)}; choose one of "
                f"{', '.join(arguments)}"
            )
        return value
    if hint is bool:
        if value.lower() not in BOOLEANS:
            raise ValueError(f"{name} is {value!r}; give true or false")
        return BOOLEANS[value.lower()]
    return _text(value, name) if hint is str else _number(value, hint, name)


def _items(value: str | list, name: str) -> list:
    """The texts of a list: of YAML's, or separated by commas."""
    if isinstance(value, list):
        return value
    if value.lower() in NULL:
        return []
    try:
        items = yaml.load(value, Loader=_TextLoader) if value.startswith("[") else None
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is {value!r}; give a list, such as [1, 2]") from error
    return [item.strip() for item in value.split(",")] if items is None else items


def _text(value: str, name: str) -> str:
    if not value:
        raise ValueError(f"{name} is empty; give a value")
    try:
        return str(Path(value).expanduser()) if value.startswith("~") else value
    except RuntimeError as error:
        raise ValueError(f"{name} is {value!r}: {error}") from error


def _number(value: str, kind: type, name: str) -> float | int:
    try:
        number = float(value)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {value!r}; give {what}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; give a finite number")
    if kind is not int:
        return number
    if number != int(number):
        raise ValueError(f"{name} is {value}; give a whole number")
    return int(value) if value.lstrip("+-").isdecimal() else int(number)
