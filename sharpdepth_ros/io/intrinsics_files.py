# SPDX-License-Identifier: Apache-2.0
"""Reads cameras as people write them down: four numbers, or a file of one of many kinds."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from sharpdepth_ros.geometry.calibration import Calibration, calibration_of
from sharpdepth_ros.geometry.rectification import RectifiedImage, Rectifier
from sharpdepth_ros.io.depth_files import read_array

FORMS = (
    "give fx,fy,cx,cy in pixels, or a file: .npy or .txt with a 3 x 3 matrix, .json, .yaml or .xml "
    "with fx, fy, cx and cy, or with K, camera_matrix or intrinsics"
)

SUFFIXES = (".txt", ".npy", ".json", ".yaml", ".yml", ".xml")
"""Of the files that hold a camera."""

#: Field of CameraInfo -> the names it has in files of camera_calibration, OpenCV, Kalibr, EuRoC and
#: nerfstudio, in lower case.
_NAMES = {
    "k": ("k", "camera_matrix", "cameramatrix", "intrinsics", "intrinsic_matrix"),
    "d": (
        *("d", "distortion_coefficients", "distortion_coeffs", "dist_coeffs", "distcoeffs"),
        "distortion",
    ),
    "r": ("r", "rectification_matrix"),
    "p": ("p", "projection_matrix"),
    "width": ("width", "image_width", "w"),
    "height": ("height", "image_height", "h"),
    "size": ("image_size", "resolution"),
    "distortion_model": ("distortion_model",),
}
_FLAT = (("fx", "fl_x"), ("fy", "fl_y"), ("cx",), ("cy",))
_COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3")
_MODELS = {"radtan": "plumb_bob", "radial-tangential": "plumb_bob", "fisheye": "equidistant"}

#: Numbers below these cannot be in pixels: a picture of one or two pixels.
_NORMALISED_FOCAL, _NORMALISED_CENTRE = 20, 1


@dataclass(frozen=True)
class Region:
    """sensor_msgs/RegionOfInterest, pixels of the sensor."""

    x_offset: int = 0
    y_offset: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class GivenCamera:
    """A camera as somebody wrote it down, in the fields of sensor_msgs/CameraInfo.

    Attributes:
        source: what was given, for messages.
        k, d, r, p, distortion_model, roi, binning_x, binning_y: as in CameraInfo.
        width: of the images it was calibrated with, in pixels; 0 where that is not told.
        height: likewise.
        assumed: what the file leaves open and how it was read; empty for nothing.
    """

    source: str
    k: tuple[float, ...]
    width: int = 0
    height: int = 0
    distortion_model: str = "plumb_bob"
    d: tuple[float, ...] = ()
    r: tuple[float, ...] = (0.0,) * 9
    p: tuple[float, ...] = (0.0,) * 12
    roi: Region = Region()
    binning_x: int = 0
    binning_y: int = 0
    assumed: str = ""

    @property
    def is_normalised(self) -> bool:
        """Whether K is in widths and heights of the image."""
        fx, _, cx, _, fy, cy = self.k[:6]
        centred = 0 < cx < _NORMALISED_CENTRE and 0 < cy < _NORMALISED_CENTRE
        return centred and max(fx, fy) < _NORMALISED_FOCAL

    def calibration(self, width: int, height: int) -> Calibration:
        """The calibration of pictures of this size.

        A camera that was calibrated at another size of the same shape is scaled.

        Raises:
            ValueError: it was calibrated with images of another shape, or is no camera.
        """
        calibration = self._as_calibrated(width, height)
        raw = calibration.raw
        if (raw.width, raw.height) == (width, height):
            return calibration
        # Sizes are whole numbers: 641x480 is half of 1281x960.
        across, down = raw.width * height / raw.height, raw.height * width / raw.width
        if min(abs(across - width), abs(down - height)) > 1:
            raise ValueError(
                f"intrinsics {self.source} are those of {raw.width}x{raw.height} images, and this "
                f"picture is {width}x{height}, of another shape: it was cropped or turned after "
                "the calibration, or is another camera's; give its own intrinsics"
            )
        return calibration.resized(width, height)

    def _as_calibrated(self, width: int, height: int) -> Calibration:
        """The calibration for the size it was made at; that of the picture where none is told."""
        camera = self
        if self.is_normalised:
            size = (self.width or width, self.height or height)
            camera = replace(self, k=_in_pixels(self.k, *size), p=_in_pixels(self.p, *size))
        try:
            return calibration_of(camera, (width, height))
        except ValueError as error:
            raise ValueError(f"intrinsics {self.source}: {error}") from None

    def remarks(self, width: int, height: int, rectified: bool = True) -> list[str]:
        """What the user should know of how the camera is used for pictures of this size.

        Args:
            width: of the pictures, pixels.
            height: likewise.
            rectified: whether its lens is undone here.
        """
        calibration = self.calibration(width, height)
        told = [self.assumed] if self.assumed else []
        if self.is_normalised:
            told.append(f"they are in widths and heights, and scaled to {width}x{height} pixels")
        sensor = self._as_calibrated(width, height).raw
        if (sensor.width, sensor.height) != (width, height):
            told.append(
                f"they are those of {sensor.width}x{sensor.height} images, and scaled to "
                f"{width}x{height}"
            )
        if rectified and not calibration.is_rectified:
            reason = "R and P" if calibration.lens.is_pinhole else calibration.lens.model
            told.append(
                f"pictures are rectified with them ({reason}); depth and camera are those of the "
                "rectified picture, and what the sensor never saw has no depth"
            )
        return [f"intrinsics {self.source}: {text}" for text in told]

    def rectify(self, rgb: np.ndarray) -> RectifiedImage:
        """A picture, uint8 [H, W, 3], without lens; maps are kept for pictures of one size.

        Raises:
            ValueError: as in `calibration`.
        """
        return _rectifier(self, rgb.shape[1], rgb.shape[0])(rgb)

    def rectifier(self, width: int, height: int) -> Rectifier:
        """What rectifies pictures of this size."""
        return _rectifier(self, width, height)


@lru_cache(maxsize=8)
def _rectifier(camera: GivenCamera, width: int, height: int) -> Rectifier:
    return Rectifier(camera.calibration(width, height))


def _in_pixels(matrix: tuple[float, ...], width: int, height: int) -> tuple[float, ...]:
    """K or P by rows, from widths and heights; 0.5 is the middle of the image."""
    scaled = np.array(matrix).reshape(3, -1)
    if scaled[0, 0]:
        scaled[0] *= width
        scaled[1] *= height
        scaled[:2, 2] -= 0.5
    return tuple(scaled.ravel().tolist())


def cameras_of(text: str | None) -> Callable[[Path], GivenCamera | None]:
    """The camera of each image, from a command-line argument.

    Args:
        text: what `read_intrinsics` takes, for all images; or a folder that has, for an image
            a/b.png below the images' folder, a/b.txt or another such file; None for no camera.

    Returns:
        A function of the image's path below its folder, without suffix; None for no camera. It
        raises FileNotFoundError for an image that has no file.
    """
    if text is None:
        return lambda name: None
    folder = Path(text)
    if not folder.is_dir():
        camera = read_intrinsics(text)
        return lambda name: camera

    def camera_of(name: Path) -> GivenCamera:
        files = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise FileNotFoundError(f"{folder / name} has no file {', '.join(SUFFIXES)}")
        return read_intrinsics(str(file))

    return camera_of


def read_intrinsics(text: str) -> GivenCamera:
    """A camera from a command-line argument.

    Args:
        text: "fx,fy,cx,cy" in pixels, or the path of a file: .npy or .txt with [3, 3]; .json,
            .yaml or .xml with the matrix under K, camera_matrix or intrinsics, or with fx, fy, cx
            and cy. Such are those of camera_calibration and camera_info_manager, of OpenCV's
            FileStorage, of Kalibr, and a CameraInfo as `ros2 topic echo` prints it.

    Raises:
        ValueError: the text is neither, or the matrix is not a camera's.
    """
    path = Path(text)
    if not path.is_file():
        return GivenCamera(repr(text), _matrix(_parse_numbers(text), repr(text)))
    if path.suffix == ".npy":
        return GivenCamera(text, _matrix(read_array(path), text))
    content = _read_text(path)
    numbers = _numbers(content)
    if numbers is not None:
        return GivenCamera(text, _matrix(numbers, text))
    return _from_tree(_parse(path, content), text)


def _matrix(values: np.ndarray, source: str) -> tuple[float, ...]:
    """K by rows, of fx, fy, cx, cy or of nine numbers."""
    if values.size == 4:
        fx, fy, cx, cy = values.ravel()
        values = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if values.size != 9:
        raise ValueError(f"intrinsics {source} hold {values.size} numbers; {FORMS}")
    matrix = values.reshape(3, 3).astype(np.float64)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError(
            f"intrinsics {source} have fx {matrix[0, 0]:g} and fy {matrix[1, 1]:g}; focal lengths "
            "are positive, in pixels"
        )
    if matrix[2].tolist() != [0, 0, 1]:
        raise ValueError(
            f"intrinsics {source} have {matrix[2].tolist()} in the last row, and a camera matrix "
            "has 0, 0, 1 there: give it by rows, cx and cy in the last column"
        )
    return tuple(matrix.ravel().tolist())


def _parse_numbers(text: str) -> np.ndarray:
    values = _numbers(text)
    if values is None:
        raise ValueError(f"intrinsics {text!r} are neither numbers nor a file; {FORMS}")
    return values


def _numbers(text: str) -> np.ndarray | None:
    """Numbers in columns, without comments; None if the text is something else."""
    words = re.sub(r"#.*", "", text).replace(",", " ").split()
    try:
        return np.array([float(word) for word in words]) if words else None
    except ValueError:
        return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} holds no intrinsics: it is no text ({error}); {FORMS}") from error


def _parse(path: Path, content: str) -> Any:
    """What a file of nested names holds."""
    try:
        if path.suffix == ".json":
            return json.loads(content)
        if path.suffix == ".xml":
            root = ElementTree.fromstring(content)
            return {node.tag: _xml_value(node) for node in root}
        # OpenCV writes a directive that YAML does not know, `ros2 topic echo` several documents.
        documents = yaml.load_all(re.sub(r"\A%YAML:.*", "", content), _FileStorageLoader)
        return next((document for document in documents if document is not None), None)
    except (ValueError, yaml.YAMLError, ElementTree.ParseError, RecursionError) as error:
        kind = {".json": "JSON", ".xml": "XML"}.get(path.suffix, "YAML")
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} holds no intrinsics: it cannot be read as {kind} ({reason}); {FORMS}"
        ) from error


class _FileStorageLoader(yaml.SafeLoader):
    """YAML with OpenCV's matrices."""


_FileStorageLoader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, True)
)


def _xml_value(node: ElementTree.Element) -> Any:
    data = node.find("data")
    text = (node if data is None else data).text or ""
    values = _numbers(text)
    if values is None:
        return text.strip()
    return values.tolist() if values.size > 1 else values.item()


def _from_tree(tree: Any, source: str) -> GivenCamera:
    if not isinstance(tree, Mapping):
        raise ValueError(f"{source} holds no intrinsics: it has no names in it; {FORMS}")
    fields = {str(key).lower(): value for key, value in tree.items()}
    nested = [value for value in fields.values() if isinstance(value, Mapping)]
    if not _holds_camera(fields):
        if len(nested) == 1 and _holds_camera({str(key).lower() for key in nested[0]}):
            return _from_tree(nested[0], source)  # Kalibr's cam0
        has = ", ".join(map(str, tree)) or "nothing"
        raise ValueError(f"{source} holds no intrinsics: it has {has[:200]}; {FORMS}")

    def found(field: str) -> Any:
        return next((fields[name] for name in _NAMES[field] if name in fields), None)

    def numbers(value: Any, field: str, counts: tuple[int, ...] = ()) -> tuple[float, ...]:
        value = value.get("data") if isinstance(value, Mapping) else value
        try:
            values = np.asarray([] if value is None else value, np.float64).ravel()
        except (ValueError, TypeError):
            raise ValueError(f"{source}: {field} is {str(value)[:100]!r}, not numbers") from None
        if counts and values.size not in counts:
            raise ValueError(
                f"{source}: {field} has {values.size} numbers, not {' or '.join(map(str, counts))}"
            )
        return tuple(values.tolist())

    def whole(value: Any, field: str) -> int:
        (number,) = numbers(0 if value is None else value, field, (1,))
        if not (0 <= number < 2**31 and number == int(number)):
            raise ValueError(f"{source}: {field} is {number}, not a number of pixels")
        return int(number)

    matrix = found("k")
    if matrix is None and not _holds_flat(fields):
        raise ValueError(f"{source} holds no intrinsics: its camera matrix is empty; {FORMS}")
    if matrix is None:
        matrix = [next(fields[name] for name in names if name in fields) for names in _FLAT]
    d = found("d")
    if d is None:
        d = [fields.get(name, 0) for name in _COEFFICIENTS]
    d = numbers(d, "distortion")
    size = numbers(found("size") or (0, 0), "the image size", (2,))
    model, assumed = _model_of(found("distortion_model"), fields, d)
    roi = fields.get("roi") or {}
    return GivenCamera(
        source,
        _matrix(np.array(numbers(matrix, "the camera matrix")), source),
        whole(found("width") or size[0], "width"),
        whole(found("height") or size[1], "height"),
        model,
        d,
        numbers(found("r") or (0,) * 9, "the rectification matrix", (9,)),
        numbers(found("p") or (0,) * 12, "the projection matrix", (12,)),
        Region(*(whole(roi.get(name), name) for name in Region.__dataclass_fields__)),
        whole(fields.get("binning_x"), "binning_x"),
        whole(fields.get("binning_y"), "binning_y"),
        assumed,
    )


def _holds_camera(names: Any) -> bool:
    return any(name in names for name in _NAMES["k"]) or _holds_flat(names)


def _holds_flat(names: Any) -> bool:
    return all(any(name in names for name in names_of) for names_of in _FLAT)


def _model_of(named: Any, fields: Mapping[str, Any], d: tuple[float, ...]) -> tuple[str, str]:
    """The lens model, and what was assumed to find it."""
    if named:
        return _MODELS.get(str(named).lower(), str(named)), ""
    if fields.get("fisheye_model"):
        return "equidistant", ""
    model = "plumb_bob" if len(d) <= 5 else "rational_polynomial"
    return model, f"the distortion model is not named and taken for {model}" if any(d) else ""
