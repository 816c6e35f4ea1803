# SPDX-License-Identifier: Apache-2.0
"""Reading of the published UniDepth JSON configurations, with errors that name the key."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_REQUIRED = object()


def lookup(config: Mapping[str, Any], path: str, kind: type[T], default: Any = _REQUIRED) -> T:
    """Return the value at a dotted path, e.g. "model.pixel_decoder.hidden_dim".

    Raises:
        ValueError: the key is missing and has no default, or its value is not a `kind`.
    """
    value: Any = config
    for depth, key in enumerate(path.split(".")):
        if not isinstance(value, Mapping):
            parent = ".".join(path.split(".")[:depth]) or "the configuration"
            raise ValueError(f"UniDepth config: {parent} is {value!r}, expected a JSON object")
        if key not in value:
            if default is _REQUIRED:
                raise ValueError(
                    f"UniDepth config: no key '{path}'; take the config.json published "
                    "beside the weights"
                )
            return default
        value = value[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"UniDepth config: '{path}' is {value!r}, expected {kind.__name__}")
    return value


def lookup_positive(config: Mapping[str, Any], path: str, default: Any = _REQUIRED) -> int:
    """Return the positive integer at a dotted path."""
    value = lookup(config, path, int, default)
    if value <= 0:
        raise ValueError(f"UniDepth config: '{path}' is {value}, expected a positive integer")
    return value


def lookup_numbers(
    config: Mapping[str, Any], path: str, count: int, kind: type[T], default: Any = _REQUIRED
) -> tuple[T, ...]:
    """Return the `count` positive numbers (all `int`, or `float`) listed at a dotted path."""
    values = lookup(config, path, list, default)
    kinds = (int, float) if kind is float else (int,)
    if len(values) != count or not all(type(v) in kinds and v > 0 for v in values):
        raise ValueError(
            f"UniDepth config: '{path}' is {values!r}, expected {count} positive numbers "
            f"({kind.__name__})"
        )
    return tuple(values)


def lookup_levels(
    config: Mapping[str, Any], default: tuple[int, ...], blocks: int
) -> tuple[int, ...]:
    """Return the numbers (from 1) of the encoder blocks that end the four feature levels."""
    path = "model.pixel_encoder.output_idx"
    levels = lookup_numbers(config, path, 4, int, list(default))
    if sorted(set(levels)) != list(levels) or levels[-1] > blocks:
        raise ValueError(
            f"UniDepth config: '{path}' is {list(levels)}, expected increasing block numbers up "
            f"to {blocks}"
        )
    return levels


def lookup_heads(config: Mapping[str, Any], hidden_dim: int, multiple_of: int = 1) -> int:
    """Return "model.num_heads", checked against the decoder's width."""
    heads = lookup_positive(config, "model.num_heads")
    if hidden_dim % heads or heads % multiple_of:
        raise ValueError(
            f"UniDepth config: 'model.num_heads' is {heads}, expected a multiple of {multiple_of} "
            f"that divides 'model.pixel_decoder.hidden_dim' {hidden_dim}"
        )
    return heads


def check_architecture(config: Mapping[str, Any], expected: str) -> None:
    """Refuse the configuration of another architecture, e.g. V2's given to V1.

    Raises:
        ValueError: "model.name" is not `expected`.
    """
    name = lookup(config, "model.name", str)
    if name != expected:
        raise ValueError(
            f"UniDepth config: 'model.name' is '{name}', but this class is '{expected}'"
        )


def check_encoder(config: Mapping[str, Any], known: Collection[str]) -> str:
    """Return the encoder's name.

    Raises:
        ValueError: it is not among the known ones, or has register tokens (no published one does).
    """
    path = "model.pixel_encoder"
    name = lookup(config, f"{path}.name", str)
    if name not in known:
        raise ValueError(
            f"UniDepth config: unknown encoder '{path}.name' '{name}', expected one of "
            f"{', '.join(known)}"
        )
    registers = lookup(config, f"{path}.num_register_tokens", int, 0)
    if registers:
        raise ValueError(
            f"UniDepth config: '{path}.num_register_tokens' is {registers}, only 0 is supported"
        )
    return name
