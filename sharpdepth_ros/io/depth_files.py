# SPDX-License-Identifier: Apache-2.0
"""Reads images and writes depth as files: 16-bit PNG, OpenEXR, colour preview, PLY cloud."""

import io
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from plyfile import PlyData, PlyElement

from sharpdepth_ros.io.intensity_range import IntensityRange

MILLIMETRES = 1000.0
#: Metres; no camera measures depth as far as that, and 200 millimetres are within reach of all.
FAR_METRES = 200.0
DEPTH_SUFFIXES = (".npy", ".png", ".exr", ".tif", ".tiff")
"""What `read_depth` reads."""
LARGEST_MILLIMETRES = np.iinfo(np.uint16).max

#: Flags of cv2 for pictures of any depth, and for the rows and columns of the sensor.
PICTURE = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
SENSOR_ROWS = cv2.IMREAD_IGNORE_ORIENTATION

#: EXIF's tag of the orientation, its value for none, and JPEG's marker where the picture begins.
_ORIENTATION, _UPRIGHT, _SCAN = 0x0112, 1, 0xDA


def read_rgb(path: Path, upright: bool = False) -> np.ndarray:
    """An image file as uint8 [H, W, 3] RGB; 16 bits are scaled by their own `IntensityRange`.

    Args:
        path: of the file.
        upright: turn it by its EXIF orientation. Otherwise these are the rows and columns of the
            sensor, which a camera, a depth image or a mask of the picture is of.

    Raises:
        ValueError: the file is not an image that OpenCV reads, or holds no picture.
    """
    try:
        return rgb_of_decoded(decode_image(path, PICTURE | (0 if upright else SENSOR_ROWS)))
    except NoPicture as error:
        raise ValueError(f"{path} {error}") from None


class NoPicture(ValueError):
    """Numbers that can be decoded and are no picture."""


def rgb_of_decoded(decoded: np.ndarray, intensity: IntensityRange | None = None) -> np.ndarray:
    """What OpenCV decoded, as uint8 [H, W, 3] RGB.

    Args:
        decoded: [H, W] grey or [H, W, 3] BGR, 8 or 16 bits.
        intensity: of the stream that a 16-bit picture belongs to; None for a picture by itself.

    Raises:
        NoPicture: the numbers are of another kind.
    """
    if decoded.dtype == np.uint16:
        decoded = (intensity or IntensityRange())(decoded, grey=decoded.ndim == 2)
    if decoded.dtype != np.uint8:
        raise NoPicture(f"holds {decoded.dtype} numbers; a picture has 8 or 16 bits")
    return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB if decoded.ndim == 2 else cv2.COLOR_BGR2RGB)


def is_turned(path: Path) -> bool:
    """Whether an image file has an EXIF orientation other than upright."""
    try:
        with PillowImage.open(path) as image:
            return image.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT
    except Exception:  # each of Pillow's formats has errors of its own; decoding names them
        return False


def without_orientation(jpeg: bytes) -> bytes:
    """A JPEG whose EXIF orientation says upright; all other bytes are as they were."""
    place = 2
    try:
        while jpeg[place] == 0xFF and jpeg[place + 1] != _SCAN:
            (size,) = struct.unpack_from(">H", jpeg, place + 2)
            if jpeg[place + 4 : place + 10] == b"Exif\0\0":
                return _upright_exif(jpeg, place + 10, place + 2 + size)
            place += 2 + size
    except (struct.error, IndexError):  # cut off: no reader finds an orientation there either
        return jpeg
    return jpeg


def _upright_exif(jpeg: bytes, begin: int, end: int) -> bytes:
    """With the orientation in the first directory of the EXIF data from begin to end upright."""
    order = "<" if jpeg[begin : begin + 2] == b"II" else ">"
    directory = begin + struct.unpack_from(f"{order}I", jpeg, begin + 4)[0]
    (count,) = struct.unpack_from(f"{order}H", jpeg, directory)
    for entry in range(
        directory + 2, min(directory + 2 + 12 * count, end - 11, len(jpeg) - 11), 12
    ):
        if struct.unpack_from(f"{order}H", jpeg, entry)[0] == _ORIENTATION:
            upright = struct.pack(f"{order}H", _UPRIGHT)
            return jpeg[: entry + 8] + upright + jpeg[entry + 10 :]
    return jpeg


def decode_image(path: Path, flags: int) -> np.ndarray:
    """An image file as OpenCV decodes it with the given cv2.IMREAD_ flags.

    Raises:
        ValueError: the file is not an image that OpenCV reads.
    """
    # Decoded from memory: cv2.imread prints a warning of its own and hides why a file is missing.
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image, refusal = decode_bytes(data, flags)
    if image is None:
        raise ValueError(
            f"{path} is not an image that can be read ({refusal or f'{data.size} bytes'})"
        )
    return image


def decode_bytes(data: np.ndarray, flags: int) -> tuple[np.ndarray | None, str]:
    """An image file's bytes, uint8 [n], as OpenCV decodes them with the given cv2.IMREAD_ flags.

    Returns:
        The image, or None if they are none; and what OpenCV says against them, where it says
        something: a header that claims more pixels than it decodes is an error of its own kind.
    """
    try:
        return (cv2.imdecode(data, flags) if data.size else None), ""
    except cv2.error as error:
        return None, error.err


def read_array(path: Path) -> np.ndarray:
    """The array of numbers in a .npy file.

    Raises:
        ValueError: it holds something else: pickled objects, which would run code, an archive, or
            fewer numbers than it says.
    """
    try:
        # Mapped, so that a size that is only claimed takes no memory.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, SyntaxError, MemoryError) as error:
        raise ValueError(
            f"{path} is no .npy file of numbers ({error}). Objects in one may run code and are "
            "not read: save a plain array with numpy.save"
        ) from error
    if not isinstance(values, np.ndarray):
        values.close()
        raise ValueError(f"{path} is an archive of arrays (.npz); give one array as .npy")
    return np.array(values)


def read_depth(path: Path, png_scale: float = MILLIMETRES) -> np.ndarray:
    """Depth as float32 [H, W] metres; nan where a 16-bit file holds 0, which means none.

    Args:
        path: .npy or .exr (metres), .png or .tif with integers, or .tif with metres.
        png_scale: integers per metre: 1000 for millimetres, 256 for KITTI's files.

    Raises:
        ValueError: the file is not a depth map (a preview of 8 bits is none), or has another
            suffix.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        values = read_array(path)
    elif suffix == ".exr":
        values = _read_exr(path)
    elif suffix in DEPTH_SUFFIXES:
        values = decode_image(path, cv2.IMREAD_UNCHANGED)
    else:
        raise ValueError(f"{path}: depth is read from {', '.join(DEPTH_SUFFIXES)}, not {suffix!r}")
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2:
        raise ValueError(f"{path} holds an array {values.shape}; depth is [height, width]")
    whole = np.issubdtype(values.dtype, np.integer)
    if whole and values.dtype.itemsize == 1 and 255 / png_scale < 1:
        raise ValueError(
            f"{path} holds 8 bits, at {png_scale:g} a metre up to {255 / png_scale:.3f} m: it is a "
            "preview, not depth"
        )
    if whole:
        return np.where(values > 0, values / png_scale, np.nan).astype(np.float32)
    return values.astype(np.float32)


def _read_exr(path: Path) -> np.ndarray:
    """The depth channel (Z, or Y, or the first) of an OpenEXR file; OpenCV's wheels have none."""
    try:
        import OpenEXR
    except ImportError as error:
        raise ValueError(
            f"{path} is an OpenEXR file, and reading it needs OpenEXR: pip install OpenEXR"
        ) from error
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = file.channels()
        name = next((n for n in ("Z", "Y") if n in channels), min(channels))
        return np.array(channels[name].pixels)


def doubt_about(depth: np.ndarray) -> str | None:
    """What makes a depth map useless as distances, for people; None if nothing does.

    Args:
        depth: [H, W], uint16 millimetres or floating-point metres; 0 and what is not finite are
            invalid.
    """
    valid = depth[np.isfinite(depth) & (depth > 0)]
    if not valid.size:
        return "the depth has no valid pixel"
    if depth.dtype != np.uint16 and float(np.median(valid)) > FAR_METRES:
        return (
            f"the median depth is above {FAR_METRES:.0f} m: floating-point depth is in metres, and "
            "this looks like millimetres"
        )
    return None


def write_rgb(path: Path, image: np.ndarray) -> None:
    """Write uint8 [H, W, 3] RGB; the suffix gives the format."""
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def to_millimetres(depth: np.ndarray) -> np.ndarray:
    """Depth as uint16 millimetres: 0 is invalid, what is too far saturates (REP 118).

    Args:
        depth: [H, W] metres; not finite or <= 0 is invalid. Positive infinity is too far to
            measure, and saturates.
    """
    valid = depth > 0  # false for nan
    scaled = np.where(valid, np.minimum(depth * MILLIMETRES, LARGEST_MILLIMETRES), 0)
    return np.rint(scaled).astype(np.uint16)


def write_depth_png(path: Path, depth: np.ndarray) -> None:
    """Write metres [H, W] as a 16-bit PNG in millimetres."""
    _write(path, to_millimetres(depth))


def write_depth_exr(path: Path, depth: np.ndarray) -> None:
    """Write metres [H, W] as OpenEXR, float32 in the channel Z, which renderers use for depth."""
    try:
        import OpenEXR
    except ImportError as error:
        raise ValueError(
            "writing .exr needs OpenEXR: pip install 'sharpdepth_ros[recordings]'"
        ) from error
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    pixels = np.ascontiguousarray(depth, np.float32)
    OpenEXR.File(header, {"Z": pixels}).write(str(path))


def write_npy(path: Path, values: np.ndarray) -> None:
    """Write an array as .npy."""
    # Through memory: numpy writes to a file by itself, and to a full disk then says no more than
    # "19200 requested and 18400 written".
    data = io.BytesIO()
    np.save(data, values)
    Path(path).write_bytes(data.getbuffer())


def write_ply(path: Path, points: np.ndarray, rgb: np.ndarray) -> None:
    """Write the valid points of an organised cloud, with colours, as binary PLY.

    Args:
        path: of the file.
        points: [H, W, 3] metres; a point with a coordinate that is not finite is left out.
        rgb: uint8 [H, W, 3].
    """
    valid = np.isfinite(points).all(axis=-1)
    vertices = np.empty(
        int(valid.sum()),
        dtype=[(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")],
    )
    for i, axis in enumerate("xyz"):
        vertices[axis] = points[..., i][valid]
    for i, colour in enumerate(("red", "green", "blue")):
        vertices[colour] = rgb[..., i][valid]
    data = io.BytesIO()  # as in write_npy
    PlyData([PlyElement.describe(vertices, "vertex")]).write(data)
    Path(path).write_bytes(data.getbuffer())


def _write(path: Path, image: np.ndarray) -> None:
    done, data = cv2.imencode(path.suffix, image)
    if not done:
        raise ValueError(f"cannot encode {image.dtype} {image.shape} as {path.suffix!r}")
    path.write_bytes(data.tobytes())
