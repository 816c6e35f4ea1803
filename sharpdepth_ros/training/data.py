# SPDX-License-Identifier: Apache-2.0
"""Training images: any folder of images, or synthetic frames that bring depth and camera."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from sharpdepth_ros.io.depth_files import decode_image
from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.recordings.images import find_images, read_picture
from sharpdepth_ros.recordings.run_problems import BAD_INPUT
from sharpdepth_ros.synthetic import SampleOptions, read_frame, render_sample
from sharpdepth_ros.training.config import DataConfig
from sharpdepth_ros.training.disk_cache import content_key
from sharpdepth_ros.training.sampler import SampleKey

_BLOCKS = 160
"""Blocks along an image's longer edge in which `largest_window` looks."""


@dataclass
class Batch:
    """One batch, not yet mirrored.

    Attributes:
        rgb: uint8 [B, 3, h, w].
        flip: bool [B], which images to mirror.
        names: of the images.
        keys: `content_key` of each image as it is here, before mirroring, with its camera and
            depth: caches are named after it.
        intrinsics: float32 [B, 3, 3] pixels, or None.
        depth: float32 [B, 1, h, w] metres, inf is sky; None without labels.
        unreadable: images that were met and skipped, and why.
    """

    rgb: torch.Tensor
    flip: torch.Tensor
    names: list[str]
    keys: list[str]
    intrinsics: torch.Tensor | None = None
    depth: torch.Tensor | None = None
    unreadable: dict[str, str] = field(default_factory=dict)

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device."""
        moved = {
            name: None if tensor is None else tensor.to(device, non_blocking=True)
            for name, tensor in self._tensors().items()
        }
        return replace(self, **moved)

    def part(self, indices: list[int]) -> "Batch":
        """The images of these indices alone."""
        chosen = {n: None if t is None else t[indices] for n, t in self._tensors().items()}
        names, keys = ([texts[i] for i in indices] for texts in (self.names, self.keys))
        return replace(self, **chosen, names=names, keys=keys)

    def mirrored(self) -> "Batch":
        """Mirror the images that `flip` marks, with depth and camera; `flip` is then False."""
        maps = {"rgb": self.rgb, "depth": self.depth}
        mirrored = {name: mirror(m, self.flip) for name, m in maps.items() if m is not None}
        if self.intrinsics is not None:
            camera = self.intrinsics.clone()
            camera[:, 0, 2] = torch.where(
                self.flip, self.rgb.shape[-1] - 1 - camera[:, 0, 2], camera[:, 0, 2]
            )
            mirrored["intrinsics"] = camera
        return replace(self, **mirrored, flip=torch.zeros_like(self.flip))

    def _tensors(self) -> dict[str, torch.Tensor | None]:
        return {name: getattr(self, name) for name in ("rgb", "flip", "intrinsics", "depth")}


def mirror(maps: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
    """Mirror the maps [B, C, h, w] that `flip` [B] marks."""
    return torch.where(flip.view(-1, 1, 1, 1), maps.flip(-1), maps)


class _Frames(Dataset):
    """What all sources share: fitting to the training size, skipping, augmentation."""

    def __init__(self, config: DataConfig, samples: int, seed: int) -> None:
        self._config = config
        self._samples = samples
        self._seed = seed
        self._kept: dict[int, tuple] = {}
        self._faults: dict[int, str] = {}

    def __len__(self) -> int:
        return self._samples

    @property
    def unreadable(self) -> dict[str, str]:
        """Images that this process met and could not read, and why."""
        return {self._name(index): reason for index, reason in self._faults.items()}

    def __getitem__(self, key: SampleKey) -> tuple:
        """A sample, or where its image cannot be read another one.

        Raises:
            ValueError: none of the images can be read.
        """
        unreadable: dict[str, str] = {}
        for index in self._candidates(key):
            sample = self._sample(index)
            if sample is None:
                unreadable[self._name(index)] = self._faults[index]
                continue
            rng = np.random.default_rng([self._seed, key.draw])
            if self._config.native_crop:
                x, y = self._corner(sample[0], rng)
                sample = window(*sample, x, y, self._config.width, self._config.height)
            flip = self._config.flip and rng.random() < 0.5
            return (*sample, flip, self._name(index), content_key(*sample), unreadable)
        raise ValueError(
            f"none of the {self._samples} images can be read, the first is "
            f"{next(iter(unreadable))}: {next(iter(unreadable.values()))}"
        )

    def _candidates(self, key: SampleKey) -> Iterator[int]:
        """The sample that is asked for, then all others in an order that follows from the draw.

        Not its neighbours: after a row of unreadable images one image would be shown in the place
        of them all.
        """
        yield key.index
        others = np.random.default_rng([self._seed, key.draw, 1]).permutation(self._samples)
        yield from (int(index) for index in others if index != key.index)

    def _sample(self, index: int) -> tuple | None:
        """A sample at its size before a window is taken; None where it cannot be read."""
        if index in self._faults:
            return None
        if index in self._kept:
            return self._kept[index]
        try:
            sample = self._read_fitted(index)
        except BAD_INPUT as error:
            self._faults[index] = str(error)
            return None
        if self._config.in_memory:
            self._kept[index] = sample
        return sample

    def _read_fitted(self, index: int) -> tuple:
        rgb, depth, camera = self._read(index)
        config = self._config
        height, width = rgb.shape[:2]
        if not config.native_crop:
            return fit_to(rgb, depth, camera, config.width, config.height)
        width, height = round(width * config.scale), round(height * config.scale)
        if width < config.width or height < config.height:
            raise ValueError(
                f"{width} x {height} pixels: smaller than the window of "
                f"{config.width} x {config.height}"
            )
        return fit_to(rgb, depth, camera, width, height)

    def _corner(self, rgb: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Column and row at which a random window begins."""
        width, height = self._config.width, self._config.height
        x = int(rng.integers(rgb.shape[1] - width + 1))
        y = int(rng.integers(rgb.shape[0] - height + 1))
        return x, y

    def contents(self) -> dict[str, str]:
        """A digest of what an option names, by the option: of the files, wherever they lie."""
        raise NotImplementedError

    def _read(self, index: int) -> tuple:
        raise NotImplementedError

    def _name(self, index: int) -> str:
        raise NotImplementedError


class ImageFolder(_Frames):
    """Every image of a folder and its subfolders; no labels."""

    def __init__(self, config: DataConfig, seed: int) -> None:
        root = _folder(config, "images")
        self._files = sorted(job.source for job in find_images([root], root).jobs)
        self._files = self._files[: config.frames]
        # `sharpdepth bag extract` writes them beside the pictures.
        masks = root.with_name("valid")
        self._root = root
        self._masks = {p.relative_to(masks).with_suffix(""): p for p in masks.rglob("*.png")}
        self._camera = None if config.intrinsics is None else read_intrinsics(config.intrinsics)
        super().__init__(config, len(self._files), seed)

    def _read(self, index: int) -> tuple:
        file = self._files[index]
        picture = read_picture(file, self._camera, partial(warnings.warn, stacklevel=2))
        rgb, camera, seen = picture.rgb, picture.intrinsics, picture.seen
        mask = self._masks.get(file.relative_to(self._root).with_suffix(""))
        if mask is not None:
            seen = _read_mask(mask, rgb) if seen is None else seen & _read_mask(mask, rgb)
        if seen is None:
            return rgb, None, camera
        # No mask for the losses: a latent of the VAE is of many pixels, and one that the camera
        # never saw would be in all of them.
        return window(rgb, None, camera, *largest_window(seen))

    def _name(self, index: int) -> str:
        return str(self._files[index])

    def contents(self) -> dict[str, str]:
        files = _names_and_sizes(self._root, self._files)
        masks = _names_and_sizes(self._root.with_name("valid"), sorted(self._masks.values()))
        camera = None if self._camera is None else replace(self._camera, source="")
        return {
            "data.path": content_key(files, masks),
            "data.intrinsics": content_key(repr(camera)),
        }


class RenderedFrames(_Frames):
    """A data set written by `sharpdepth synth`."""

    def __init__(self, config: DataConfig, seed: int) -> None:
        self._root = _folder(config, "frames")
        files = (self._root / "frames").glob("*.json")
        numbers = sorted(int(p.stem) for p in files if p.stem.isdecimal())
        self._numbers = numbers[: config.frames]
        if not self._numbers:
            raise ValueError(f"{self._root} holds no frames; write some with sharpdepth synth")
        super().__init__(config, len(self._numbers), seed)

    def _read(self, index: int) -> tuple:
        frame = read_frame(self._root, self._numbers[index])
        return frame.rgb, frame.depth, frame.intrinsics

    def _name(self, index: int) -> str:
        return f"{self._root}/rgb/{self._numbers[index]:06d}.png"

    def contents(self) -> dict[str, str]:
        files = [Path(self._name(index)) for index in range(len(self))]
        return {"data.path": _names_and_sizes(self._root, files)}


class RenderedOnTheFly(_Frames):
    """Synthetic scenes, rendered when they are asked for."""

    def __init__(self, config: DataConfig, seed: int) -> None:
        if config.frames is None:
            raise ValueError("data.frames is not given; say how many frames of scenes to train on")
        if config.path is not None:
            raise ValueError(f"data.path is {config.path!r}; scenes are rendered, not read")
        self._options = SampleOptions(seed=seed, width=config.width, height=config.height)
        super().__init__(config, config.frames, seed)

    def _read(self, index: int) -> tuple:
        frame = render_sample(self._options, index).frame
        return frame.rgb, frame.depth, frame.intrinsics

    def _name(self, index: int) -> str:
        return f"scene frame {index} of seed {self._seed}"

    def contents(self) -> dict[str, str]:
        return {}  # its options say everything


def open_data(config: DataConfig, seed: int) -> _Frames:
    """The data set that the configuration names.

    Raises:
        FileNotFoundError: its folder does not exist.
        ValueError: its folder holds nothing, or options contradict each other.
    """
    sources = {"images": ImageFolder, "frames": RenderedFrames, "scenes": RenderedOnTheFly}
    return sources[config.source](config, seed)


def collate(samples: list[tuple]) -> Batch:
    """A batch of samples of one source."""
    images, depths, cameras, flips, names, keys, skipped = zip(*samples, strict=True)
    unreadable: dict[str, str] = {}
    for met in skipped:
        unreadable |= met
    return Batch(
        rgb=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        flip=torch.tensor(flips),
        names=list(names),
        keys=list(keys),
        intrinsics=None if cameras[0] is None else torch.from_numpy(np.stack(cameras)).float(),
        depth=None if depths[0] is None else torch.from_numpy(np.stack(depths)[:, None]),
        unreadable=unreadable,
    )


def fit_to(rgb, depth, camera, width: int, height: int) -> tuple:
    """Scale an image until it covers width x height, and cut its middle.

    Depth is sampled, not averaged: between a near and a far surface there is nothing.

    Args:
        rgb: uint8 [H, W, 3].
        depth: float32 [H, W] metres, or None.
        camera: [3, 3] pixels for H x W, or None.
        width: pixels.
        height: pixels.

    Returns:
        The same three for width x height.
    """
    scale = max(width / rgb.shape[1], height / rgb.shape[0])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    if camera is not None:
        across, down = size[0] / rgb.shape[1], size[1] / rgb.shape[0]
        camera = camera.copy()
        # Pixel centres are whole numbers: the image begins at -0.5.
        camera[0, 0] *= across
        camera[1, 1] *= down
        camera[0, 2] = (camera[0, 2] + 0.5) * across - 0.5
        camera[1, 2] = (camera[1, 2] + 0.5) * down - 0.5
    if size != (rgb.shape[1], rgb.shape[0]):
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        rgb = cv2.resize(rgb, size, interpolation=smooth)
        if depth is not None:
            depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return window(rgb, depth, camera, left, top, width, height)


def largest_window(mask: np.ndarray) -> tuple[int, int, int, int]:
    """A window in which a mask, bool [H, W], is true everywhere: the largest, to a few pixels.

    Returns:
        Its first column and row, width and height.

    Raises:
        ValueError: there is none.
    """
    # Whole blocks of pixels, so that an image takes milliseconds.
    step = max(1, max(mask.shape) // _BLOCKS)
    rows, columns = (edge // step for edge in mask.shape)
    blocks = mask[: rows * step, : columns * step].reshape(rows, step, columns, step)
    best, largest = (0, 0, 0, 0), 0
    above = np.zeros(columns + 1, np.int64)  # true blocks in a row, up to this one
    for y, row in enumerate(blocks.all(axis=(1, 3))):
        above[:-1] = np.where(row, above[:-1] + 1, 0)
        open_ones: list[tuple[int, int]] = []  # (where it begins, how high it is), ever higher
        for x, height in enumerate(above.tolist()):  # the last one is 0 and closes them all
            begin = x
            while open_ones and open_ones[-1][1] >= height:
                begin, closed = open_ones.pop()
                if closed * (x - begin) > largest:
                    largest = closed * (x - begin)
                    best = begin, y - closed + 1, x - begin, closed
            open_ones.append((begin, height))
    if not largest:
        raise ValueError("the camera saw no window of this picture")
    x, y, width, height = (edge * step for edge in best)
    return x, y, width, height


def window(rgb, depth, camera, x: int, y: int, width: int, height: int) -> tuple:
    """The window of an image, its depth and its camera that begins at column x, row y."""
    rows, columns = slice(y, y + height), slice(x, x + width)
    if camera is not None:
        camera = camera - np.array([[0, 0, x], [0, 0, y], [0, 0, 0]])
    depth = None if depth is None else np.ascontiguousarray(depth[rows, columns])
    return np.ascontiguousarray(rgb[rows, columns]), depth, camera


def _names_and_sizes(root: Path, files: list[Path]) -> str:
    """`content_key` of names and sizes; a file that is gone has no size."""
    sizes = [str(file.stat().st_size if file.is_file() else None) for file in files]
    names = [file.relative_to(root).as_posix() for file in files]
    return content_key(*names, *sizes)


def _read_mask(path: Path, rgb: np.ndarray) -> np.ndarray:
    """bool [H, W] of a picture: where a mask's file is not 0.

    Raises:
        ValueError: it is of another size.
    """
    mask = decode_image(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION) > 0
    if mask.shape != rgb.shape[:2]:
        raise ValueError(f"{path} is {list(mask.shape)}, its picture {list(rgb.shape[:2])}")
    return mask


def _folder(config: DataConfig, source: str) -> Path:
    if config.path is None:
        raise ValueError(f"data.path is not given; give the folder of {source}")
    root = Path(config.path)
    if not root.is_dir():
        raise FileNotFoundError(f"data.path {root} is not a folder")
    return root
