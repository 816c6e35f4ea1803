# SPDX-License-Identifier: Apache-2.0
"""Reads the file formats in which data sets and other programs keep depth and disparity."""

from pathlib import Path

import cv2
import numpy as np

from sharpdepth_ros.io.depth_files import decode_image, read_array

SINTEL_TAG = 202021.25
"""First number of Sintel's .dpt and .cam files (sintel_io.py)."""


def read_image(path: Path) -> np.ndarray:
    """An image file as it is: [H, W] or [H, W, C], 8 or 16 bits or float."""
    return decode_image(path, cv2.IMREAD_UNCHANGED)


def read_mask(path: Path) -> np.ndarray:
    """bool [H, W]: where an image file, or a .npy array, is not zero."""
    values = read_array(path) if path.suffix == ".npy" else read_image(path)
    return values.any(axis=-1) if values.ndim == 3 else values > 0


def read_numbers(path: Path) -> np.ndarray:
    """All numbers of a text file, separated by spaces, commas or lines; float64 [N]."""
    try:
        return np.array([float(part) for part in path.read_text().replace(",", " ").split()])
    except ValueError as error:
        raise ValueError(f"{path} does not hold numbers alone: {error}") from error


def read_dpt(path: Path) -> np.ndarray:
    """Sintel's depth: a tag, width and height, then float32 metres; [H, W]."""
    data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != SINTEL_TAG:
        raise ValueError(f"{path} is not a Sintel depth file: it does not begin with its tag")
    width, height = np.frombuffer(data, "<i4", 2, offset=4)
    if len(data) != 12 + 4 * int(width) * int(height):
        raise ValueError(f"{path} says {width} x {height} pixels and has {len(data)} bytes")
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width).copy()


def read_cam(path: Path) -> np.ndarray:
    """Intrinsics of Sintel's camera file: a tag, then float64 [3, 3] (then the pose)."""
    data = path.read_bytes()
    if len(data) < 76 or np.frombuffer(data, "<f4", 1)[0] != SINTEL_TAG:
        raise ValueError(f"{path} is not a Sintel camera file: it does not begin with its tag")
    return np.frombuffer(data, "<f8", 9, offset=4).reshape(3, 3).copy()


def read_dsp5(path: Path) -> np.ndarray:
    """Spring's disparity: HDF5 with the data set "disparity"; float [H, W] pixels."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(
            f"{path} is an HDF5 file, and reading it needs h5py: pip install h5py"
        ) from error
    with h5py.File(path) as file:
        if "disparity" not in file:
            raise ValueError(f"{path} holds {sorted(file)}, not 'disparity'")
        return file["disparity"][()].astype(np.float32)
