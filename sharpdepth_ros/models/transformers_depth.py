# SPDX-License-Identifier: Apache-2.0
"""Metric depth models of transformers: Depth Anything V2 Metric, Depth Pro and ZoeDepth."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForDepthEstimation
from transformers.utils import logging as transformers_logging

from sharpdepth_ros.models.focal_length import horizontal_focal_lengths
from sharpdepth_ros.models.metric import MetricDepth, check_inputs
from sharpdepth_ros.models.safe_loading import (
    CheckpointError,
    explained,
    read_json,
    require_data_only,
)
from sharpdepth_ros.models.transformers_images import ImageSettings, resize_as_pil


class TransformersDepth(nn.Module):
    """What the adapters have in common: a network of transformers and its image settings.

    The network is in its final device and precision; `load_transformers_depth` sees to both.
    """

    def __init__(self, network: nn.Module, images: ImageSettings) -> None:
        super().__init__()
        self.network = network
        self.images = images
        device = network.device
        self.register_buffer("gain", torch.tensor(images.gain, device=device)[:, None, None])
        self.register_buffer("offset", torch.tensor(images.offset, device=device)[:, None, None])
        for part in self.parts_that_measure():
            _keep_float32(part)

    @classmethod
    def check(cls, config: Mapping[str, Any], file: Path) -> None:
        """Refuse a configuration that does not give metres.

        Raises:
            CheckpointError: it does not; the message says which key.
        """

    def parts_that_measure(self) -> list[nn.Module]:
        """Last layers, whose rounding to half precision would be seen in the depth."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return self.gain.device

    def standardise(self, colours: torch.Tensor) -> torch.Tensor:
        """Colours [B, 3, h, w] in 0..255 to what the network takes, float32."""
        return colours * self.gain + self.offset

    def run(self, pixels: torch.Tensor) -> Any:
        """The network's answer to float32 pixels [B, 3, h, w]."""
        return self.network(pixel_values=pixels.to(self.network.dtype))


class DepthAnythingMetric(TransformersDepth):
    """Depth Anything V2, metric.

    Its head was trained on Hypersim (indoor, up to 20 m) or Virtual KITTI 2 (outdoor, up to 80 m)
    and has no camera input: it answers for cameras like theirs, and for another focal length the
    scale may be off. No correction by the focal length is published, so none is made.
    """

    @classmethod
    def check(cls, config: Mapping[str, Any], file: Path) -> None:
        kind = config.get("depth_estimation_type", "relative")
        if kind != "metric":
            raise CheckpointError(
                f"{file}: depth_estimation_type is {kind!r}: this Depth Anything gives disparity "
                "up to scale and shift, not metres. Take a metric one, for example "
                "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf"
            )
        limit = config.get("max_depth")
        if not isinstance(limit, int | float) or limit <= 0:
            raise CheckpointError(
                f"{file}: max_depth is {limit!r}, expected metres (20 indoor, 80 outdoor)"
            )

    def parts_that_measure(self) -> list[nn.Module]:
        return [self.network.head.conv3]

    @torch.no_grad()
    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W] or [3, H, W].
            intrinsics: [B, 3, 3] or [3, 3]; handed through, without influence on the depth.

        Returns:
            Depth [B, 1, H, W], up to the checkpoint's largest depth, and the intrinsics as given.
        """
        rgb, intrinsics = check_inputs(rgb, intrinsics)
        height, width = rgb.shape[-2:]
        size = self.images.network_size(height, width)
        colours = resize_as_pil(rgb.to(self.device).float(), size, self.images.filter)
        depth = self.run(self.standardise(colours)).predicted_depth.float()
        return MetricDepth(_enlarge(depth, (height, width)), _on(self.device, intrinsics))


class DepthPro(TransformersDepth):
    """Depth Pro.

    The network gives inverse depth of a canonical camera, one whose focal length is the image's
    width, and the field of view for when the camera is not known (apple/ml-depth-pro infer).
    """

    def parts_that_measure(self) -> list[nn.Module]:
        convolutions = [m for m in self.network.head.modules() if isinstance(m, nn.Conv2d)]
        if self.network.fov_model is None:
            return convolutions[-1:]
        return [convolutions[-1], self.network.fov_model.head.layers[-1]]

    @torch.no_grad()
    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W] or [3, H, W].
            intrinsics: [B, 3, 3] or [3, 3] in pixels of H x W, of which fx scales the depth; None:
                the field of view is estimated, which takes a third encoder.

        Returns:
            Depth [B, 1, H, W], between 0.1 mm and 10 km, and the intrinsics: as given, or with
            the estimated focal length, square pixels and the principal point in the middle (the
            centre of the first pixel at 0.5).

        Raises:
            ValueError: there are no intrinsics, and the checkpoint has no field-of-view network.
        """
        rgb, intrinsics = check_inputs(rgb, intrinsics)
        if intrinsics is None and self.network.fov_model is None:
            raise ValueError(
                "this Depth Pro checkpoint has no field-of-view network (use_fov_model is false) "
                "and needs the camera: give intrinsics ([3, 3], pixels), or have the node receive "
                "camera_info"
            )
        height, width = rgb.shape[-2:]
        pixels = F.interpolate(
            self.standardise(rgb.to(self.device).float()),
            self.images.network_size(height, width),
            mode=self.images.filter,
            align_corners=False,
        )
        self.network.use_fov_model = intrinsics is None
        answer = self.run(pixels)
        if intrinsics is None:
            half_angle = answer.field_of_view.float().view(-1, 1, 1, 1).deg2rad() / 2
            focal = 0.5 * width / half_angle.tan()
            intrinsics = _centred_camera(focal.flatten(), height, width)
        else:
            focal = horizontal_focal_lengths(intrinsics, self.device)
        inverse = answer.predicted_depth.float().unsqueeze(1) * (width / focal)
        inverse = F.interpolate(inverse, (height, width), mode="bilinear", align_corners=False)
        return MetricDepth(1 / inverse.clamp(1e-4, 1e4), _on(self.device, intrinsics))


class ZoeDepth(TransformersDepth):
    """ZoeDepth, with one head (N or K) or with one per domain (NK). It has no camera input.

    Attributes:
        mirror: also run the mirrored image and average both, as the original does. Twice the time.
    """

    mirror = False

    def parts_that_measure(self) -> list[nn.Module]:
        return [self.network.metric_head]

    @torch.no_grad()
    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W] or [3, H, W], sides of 5 pixels or more.
            intrinsics: [B, 3, 3] or [3, 3]; handed through, without influence on the depth.

        Returns:
            Depth [B, 1, H, W] and the intrinsics as given.
        """
        rgb, intrinsics = check_inputs(rgb, intrinsics)
        height, width = rgb.shape[-2:]
        # The network is unsure at the image's border: a mirrored frame takes the border's place.
        top, left = (_zoe_padding(side) if self.images.pad else 0 for side in (height, width))
        padded = F.pad(rgb.to(self.device).float(), (left, left, top, top), mode="reflect")
        pixels = F.interpolate(
            self.standardise(padded),
            self.images.network_size(*padded.shape[-2:]),
            mode=self.images.filter,
            align_corners=True,
        )
        depth = self._predict(pixels)
        if self.mirror:
            depth = (depth + self._predict(pixels.flip(-1)).flip(-1)) / 2
        depth = _enlarge(depth, tuple(padded.shape[-2:]))
        depth = depth[..., top : top + height, left : left + width]
        return MetricDepth(depth, _on(self.device, intrinsics))

    def _predict(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32 [B, h, w] metres."""
        # With several heads, transformers lets the whole batch vote for one.
        several = len(self.network.config.bin_configurations) > 1
        batches = pixels.split(1) if several else [pixels]
        return torch.cat([self.run(batch).predicted_depth.float() for batch in batches])


ADAPTERS: dict[str, type[TransformersDepth]] = {
    "depth_anything": DepthAnythingMetric,
    "depth_pro": DepthPro,
    "zoedepth": ZoeDepth,
}
"""By `model_type` of config.json."""


def load_transformers_depth(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> TransformersDepth:
    """Load a metric depth model of transformers from its folder.

    Args:
        folder: config.json, preprocessor_config.json and the weights, as on the hub.
        device: where the network goes.
        dtype: of the network; the layers that give the metres stay in float32, so the result must
            not be cast as a whole.

    Raises:
        CheckpointError: the folder is not such a model's, its depth is not in metres, or its
            weights do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; give one as the Hugging Face hub has it")
    file = folder / "config.json"
    config = read_json(file)
    kind = config.get("model_type")
    if kind not in ADAPTERS:
        raise CheckpointError(
            f"{file}: model_type is {kind!r}; metric depth models of transformers are "
            f"{', '.join(ADAPTERS)}"
        )
    if config.get("backbone") or config.get("use_timm_backbone"):
        raise CheckpointError(
            f"{file}: the encoder is {config.get('backbone')!r}, which is fetched from elsewhere "
            "or needs timm; take a checkpoint that describes it in backbone_config"
        )
    require_data_only(folder)
    ADAPTERS[kind].check(config, file)
    images = ImageSettings.read(folder)
    network = _load_network(folder).to(device=device, dtype=dtype)
    return ADAPTERS[kind](network, images).eval().requires_grad_(False)


def _load_network(folder: Path) -> nn.Module:
    """The network of the folder; every weight must come from its file."""
    transformers_logging.disable_progress_bar()  # a bar for a part of a second is noise in a log
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it lists every weight that does not fit
    try:
        network, report = AutoModelForDepthEstimation.from_pretrained(
            folder,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:  # of several libraries, with no other class in common
        raise CheckpointError(f"{folder} cannot be loaded: {explained(error)}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights or has them in another shape, the first is "
            f"{missing[0]}; the file is of another model or incomplete: fetch it again"
        )
    return network


def _keep_float32(module: nn.Module) -> None:
    """Have a module compute in float32 whatever precision its inputs come in."""
    module.float()
    module.register_forward_pre_hook(
        lambda _, args, kwargs: (_to_float32(args), _to_float32(kwargs)), with_kwargs=True
    )


def _to_float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, tuple | list):
        return type(value)(_to_float32(item) for item in value)
    if isinstance(value, dict):
        return {key: _to_float32(item) for key, item in value.items()}
    return value


def _enlarge(depth: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Depth [B, h, w] at another size, [B, 1, H, W], as transformers resizes it."""
    depth = F.interpolate(depth.unsqueeze(1), size, mode="bicubic", align_corners=False)
    return depth.clamp(min=0)  # cubic weights overshoot at steps, and no depth is negative


def _centred_camera(focal: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Intrinsics [B, 3, 3] of square pixels and a principal point in the middle."""
    camera = torch.eye(3, device=focal.device).repeat(len(focal), 1, 1)
    camera[:, 0, 0] = camera[:, 1, 1] = focal
    camera[:, 0, 2], camera[:, 1, 2] = width / 2, height / 2
    return camera


def _zoe_padding(side: int) -> int:
    """Pixels on each end of a side (isl-org/ZoeDepth depth_model.py)."""
    return int(math.sqrt(side / 2) * 3)


def _on(device: torch.device, intrinsics: torch.Tensor | None) -> torch.Tensor | None:
    return None if intrinsics is None else intrinsics.to(device, non_blocking=True, copy=True)
