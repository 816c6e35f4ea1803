# SPDX-License-Identifier: Apache-2.0
"""Takes images as people have them: as uint8 [H, W, 3], or a sentence says what to give."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from sharpdepth_ros.pipeline.output import Array

_WANTED = "give RGB, uint8 [H, W, 3]"
_CHANNELS = (1, 3, 4)


def as_rgb8(image: Any) -> Array:
    """An image as uint8 [H, W, 3]; a tensor stays one, where it is, and all else becomes numpy.

    Args:
        image: uint8 [H, W, 3], or what can mean nothing else: a PIL image; grey [H, W] or
            [H, W, 1]; RGBA [H, W, 4], whose alpha is dropped; the channels first ([3, H, W]); a
            batch of one; floats in [0, 1].

    Raises:
        ValueError: it is something else, or empty; the message has its type and shape.
    """
    if isinstance(image, torch.Tensor):
        array = image
    elif hasattr(image, "getbands") and hasattr(image, "convert"):  # Pillow's, without importing it
        array = _of_pillow(image)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise ValueError(_not_an_array(image))
    shape, dtype = list(array.shape), array.dtype
    array = _channels_last(array)
    if array is None:
        raise ValueError(f"rgb is {dtype} {shape}; {_WANTED}")
    if 0 in shape:
        raise ValueError(f"rgb is {dtype} {shape} and has no pixel; {_WANTED} that is not empty")
    array = _eight_bit(array, f"rgb is {dtype} {shape}")
    if array.shape[-1] == 1:
        array = array[..., [0, 0, 0]]
    array = array[..., :3]
    return array.contiguous() if isinstance(array, torch.Tensor) else array


def _of_pillow(image: Any) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"rgb is a PIL image of mode {image.mode!r}, whose range is not known; scale it to 8 "
            "bits and give mode 'L' or 'RGB'"
        )
    return np.asarray(image.convert("RGB"))


def _not_an_array(image: Any) -> str:
    if isinstance(image, str | os.PathLike):
        return (
            f"rgb is the path {os.fspath(image)!r}; read the file first, such as with "
            "sharpdepth_ros.io.depth_files.read_rgb(path)"
        )
    if isinstance(image, list | tuple):
        return (
            f"rgb is a {type(image).__name__} of {len(image)}; a call takes one image and batch() "
            f"takes several: {_WANTED}, as an array each"
        )
    return f"rgb is a {type(image).__module__}.{type(image).__name__}; {_WANTED}, as an array"


def _channels_last(array: Array) -> Array | None:
    """[H, W, C] with 1, 3 or 4 channels; None if the shape is no image's."""
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        return None
    if array.shape[-1] in _CHANNELS:
        return array
    if array.shape[0] not in _CHANNELS:
        return None
    return array.permute(1, 2, 0) if isinstance(array, torch.Tensor) else array.transpose(1, 2, 0)


def _eight_bit(array: Array, what: str) -> Array:
    if array.dtype in (torch.uint8, np.uint8):
        return array
    is_tensor = isinstance(array, torch.Tensor)
    if not (array.is_floating_point() if is_tensor else array.dtype.kind == "f"):
        raise ValueError(f"{what}, whose range is not known; {_WANTED}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # not a number compares false
        raise ValueError(
            f"{what} with values from {low:g} to {high:g}; floats have to be in [0, 1], "
            f"or {_WANTED}"
        )
    scaled = (array * 255).round()
    return scaled.to(torch.uint8) if is_tensor else scaled.astype(np.uint8)
