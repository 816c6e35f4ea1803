# SPDX-License-Identifier: Apache-2.0
"""Reads camera intrinsics as people write them: four numbers, or a file."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from sharpdepth_ros.export.depth_files import read_array

FORMS = (
    "give fx,fy,cx,cy in pixels, or a file: .npy or .txt with a 3 x 3 matrix, .json or .yaml with "
    "K, camera_matrix or intrinsics"
)
KEYS = ("K", "k", "camera_matrix", "intrinsics")


SUFFIXES = (".txt", ".npy", ".json", ".yaml")
"""Of the files that hold a camera."""


def cameras_of(text: str | None) -> Callable[[Path], np.ndarray | None]:
    """The camera of each image, from a command-line argument.

    Args:
        text: what `read_intrinsics` takes, for all images; or a folder that has, for an image
            a/b.png below the images' folder, a/b.txt or another such file; None for no camera.

    Returns:
        A function of the image's path below its folder, without suffix; [3, 3] pixels or None. It
        raises FileNotFoundError for an image that has no file.
    """
    if text is None:
        return lambda name: None
    folder = Path(text)
    if not folder.is_dir():
        camera = read_intrinsics(text)
        return lambda name: camera

    def camera_of(name: Path) -> np.ndarray:
        files = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise FileNotFoundError(f"{folder / name} has no file {', '.join(SUFFIXES)}")
        return read_intrinsics(str(file))

    return camera_of


def read_intrinsics(text: str) -> np.ndarray:
    """Intrinsics from a command-line argument.

    Args:
        text: "fx,fy,cx,cy" in pixels, or the path of a file: .npy or .txt with [3, 3]; .json or
            .yaml with the matrix under K, camera_matrix (as camera_calibration writes it, with
            `data`) or intrinsics.

    Returns:
        float64 [3, 3], pixels.

    Raises:
        ValueError: the text is neither, or the matrix is not a camera's.
    """
    path = Path(text)
    values = _read_file(path) if path.suffix and path.is_file() else _parse_numbers(text)
    if values.size == 4:
        fx, fy, cx, cy = values.ravel()
        values = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if values.size != 9:
        raise ValueError(f"intrinsics {text!r} hold {values.size} numbers; {FORMS}")
    matrix = values.reshape(3, 3).astype(np.float64)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError(
            f"intrinsics {text!r} have fx {matrix[0, 0]:g} and fy {matrix[1, 1]:g}; focal lengths "
            "are positive, in pixels"
        )
    return matrix


def _parse_numbers(text: str) -> np.ndarray:
    try:
        return np.array([float(part) for part in text.replace(",", " ").split()])
    except ValueError:
        raise ValueError(f"intrinsics {text!r} are neither numbers nor a file; {FORMS}") from None


def _read_file(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return read_array(path)
        if path.suffix == ".txt":
            return np.loadtxt(path)
        tree = json.loads(path.read_text()) if path.suffix == ".json" else _load_yaml(path)
        value = next(tree[key] for key in KEYS if key in tree)
        return np.asarray(value["data"] if isinstance(value, dict) else value, dtype=np.float64)
    except (ValueError, KeyError, TypeError, StopIteration, yaml.YAMLError) as error:
        raise ValueError(
            f"{path} holds no intrinsics ({error or 'no known key'}); {FORMS}"
        ) from error


def _load_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text())
