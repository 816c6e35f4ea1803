# SPDX-License-Identifier: Apache-2.0
"""Reads preprocessor_config.json and prepares images by it, in torch on the model's device.

transformers' own image processors need torchvision, or go through PIL on the CPU.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from sharpdepth_ros.models.safe_loading import CheckpointError, read_json

CONFIG = "preprocessor_config.json"
FILTERS = {2: "bilinear", 3: "bicubic"}
"""PIL's numbers, which the files use."""


@dataclass(frozen=True)
class ImageSettings:
    """What the checkpoint's file says about its images.

    Attributes:
        size: height and width to resize to, before `keep_aspect_ratio` and `multiple`.
        gain: one factor per channel, from colours of 0..255 to what the network takes.
        offset: one summand per channel, after the factor.
        filter: "bilinear" or "bicubic".
        keep_aspect_ratio: scale both sides alike.
        multiple: sides are rounded to multiples of it; ZoeDepth's default is 1 / 32.
        pad: whether the file asks for padding; each model has its own.
    """

    size: tuple[int, int]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    filter: str
    keep_aspect_ratio: bool
    multiple: float
    pad: bool

    @classmethod
    def read(cls, folder: Path) -> "ImageSettings":
        """Read the file of a checkpoint folder.

        Raises:
            CheckpointError: it is missing, is not JSON, or asks for what no published checkpoint
                of these models asks for.
        """
        config = read_json(folder / CONFIG)
        sides = config.get("size", {})
        found = {**config, "size.height": sides.get("height"), "size.width": sides.get("width")}
        required = ("size.height", "size.width", "image_mean", "image_std")
        missing = [key for key in required if not found.get(key)]
        if missing:
            raise CheckpointError(f"{folder / CONFIG} lacks {', '.join(missing)}")
        expected = {"do_resize": True, "do_normalize": True, "size_divisor": None}
        for key, value in expected.items():
            if config.get(key, value) != value:
                raise CheckpointError(
                    f"{folder / CONFIG}: {key} is {config[key]!r}; known is {value!r}"
                )
        resample = config.get("resample", 2)
        if resample not in FILTERS:
            raise CheckpointError(
                f"{folder / CONFIG}: resample is {resample!r}; known are 2 (bilinear) and 3 "
                "(bicubic)"
            )
        factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
        pairs = list(zip(config["image_mean"], config["image_std"], strict=True))
        return cls(
            size=(int(sides["height"]), int(sides["width"])),
            gain=tuple(factor / std for _, std in pairs),
            offset=tuple(-mean / std for mean, std in pairs),
            filter=FILTERS[resample],
            keep_aspect_ratio=bool(config.get("keep_aspect_ratio", False)),
            multiple=config.get("ensure_multiple_of") or 1,
            pad=bool(config.get("do_pad", False)),
        )

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to resize an image of height x width to.

        With the aspect kept, both sides are scaled by the one of the two factors that changes the
        image less (transformers' get_resize_output_image_size).
        """
        scales = (self.size[0] / height, self.size[1] / width)
        if self.keep_aspect_ratio:
            # Equal changes go by the height.
            scales = (min(scales, key=lambda scale: abs(1 - scale)),) * 2
        sides = (side * scale for side, scale in zip((height, width), scales, strict=True))
        steps = (max(1, round(side / self.multiple)) for side in sides)
        rows, columns = (int(step * self.multiple) for step in steps)
        return rows, columns


def resize_as_pil(image: torch.Tensor, size: tuple[int, int], filter: str) -> torch.Tensor:
    """Resize colours [B, 3, h, w] in 0..255 with PIL's kernels, which widen when they shrink.

    Within rounding (one level) of PIL where nothing overshoots 0 or 255. Where it does, PIL clips
    between its two passes, in an order that depends on its version: some levels apart.
    """
    image = F.interpolate(image, size, mode=filter, align_corners=False, antialias=True)
    return image.clamp(0, 255)
