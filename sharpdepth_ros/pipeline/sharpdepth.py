# SPDX-License-Identifier: Apache-2.0
"""SharpDepth, step by step: metric depth, generator pass, gate, sharpener, alignment."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.placement import resolve_device, resolve_precision
from sharpdepth_ros.models.registry import load_diffusion_model, load_metric_model
from sharpdepth_ros.pipeline.alignment import AGREEMENT, Alignment, align_least_squares
from sharpdepth_ros.pipeline.discrepancy import discrepancy_map, gate_latent, normalise_metric
from sharpdepth_ros.pipeline.resizing import ProcessingImage, to_processing_size
from sharpdepth_ros.pipeline.timing import StageTimer

Mode = Literal["sharpdepth", "aligned", "metric"]
Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class SharpDepthOutput:
    """Depth of one image. Maps are [H, W], numpy for a numpy image and torch for a torch image.

    Attributes:
        depth: float32 metres; the answer.
        metric_depth: float32 metres; f_D alone.
        discrepancy: float32 in [0, 1], where the generator and f_D disagree; None in mode
            "metric", which has no generator.
        affine_depth: float32; the depth before the alignment: the sharpener's, about [-1, 1], or
            in mode "aligned" the generator's in [0, 1]. None in mode "metric".
        intrinsics: float32 [3, 3] pixels of the H x W image: the camera that was given, else the
            metric model's estimate, else None.
    """

    depth: Array
    metric_depth: Array
    discrepancy: Array | None
    affine_depth: Array | None
    intrinsics: Array | None
    _alignment: Alignment | None = field(repr=False)
    _timer: StageTimer = field(repr=False)

    @property
    def scale(self) -> float:
        """Metres per unit of `affine_depth`, as fitted; nan in mode "metric"."""
        return float("nan") if self._alignment is None else self._alignment.scale.item()

    @property
    def shift(self) -> float:
        """Metres at `affine_depth` 0, as fitted; nan in mode "metric"."""
        return float("nan") if self._alignment is None else self._alignment.shift.item()

    @property
    def aligned(self) -> bool:
        """Whether `depth` is the sharpened depth. False: the fit was degenerate (or the mode is
        "metric"), and `depth` is the metric depth."""
        return self._alignment is not None and bool(self._alignment.sound.item())

    @cached_property
    def timings(self) -> dict[str, float]:
        """Milliseconds per stage, in order. On a GPU, reading it waits for the frame to end."""
        return self._timer.milliseconds()


class SharpDepthPipeline:
    """Turns a colour image into sharp metric depth (SharpDepth, CVPR 2025, arXiv 2411.18229)."""

    def __init__(
        self,
        sharpener: DepthDiffusion,
        metric_model: MetricDepthModel,
        generator: DepthDiffusion | None = None,
    ) -> None:
        """Combine loaded models; `from_pretrained` loads them.

        Args:
            sharpener: G_theta.
            metric_model: f_D.
            generator: f_G; None lets the sharpener's own UNet make the first pass, as released.

        Raises:
            ValueError: the sharpener has no noisy latent as input.
        """
        if not sharpener.takes_noise:
            raise ValueError(
                "the sharpener's UNet takes the image latent alone (Lotus-D); a sharpener takes "
                "image and depth latent. Give it as `generator` instead"
            )
        self.sharpener = sharpener
        self.metric_model = metric_model
        self.generator = sharpener if generator is None else generator
        # Released Lotus and SharpDepth share a VAE: a latent of one is then a latent of the other.
        self._shared_latents = _equal_weights(self.generator.vae, sharpener.vae)
        self._noise_cache: dict[tuple, tuple[torch.Tensor, torch.Tensor]] = {}

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        metric_model: str | Path | MetricDepthModel,
        generator: str | Path | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        compile: bool = False,
    ) -> "SharpDepthPipeline":
        """Load the models by name or from folders.

        Args:
            model: the sharpener: a folder in the released layout, or a name.
            metric_model: f_D: a loaded model, a folder, or a name of the registry.
            generator: f_G: a folder or a name; None as in the constructor.
            device: auto, cpu, cuda or cuda:N.
            precision: auto, fp32, tf32, bf16 or fp16 (see `models.placement`).
            compile: run the UNet and the VAE through torch.compile; the first frame of each size
                then takes minutes.

        Raises:
            CheckpointError: a folder is not a usable checkpoint.
            WeightsNotFound: a name's weights are not on this machine and cannot be fetched.
            ValueError: an unknown name, device or precision.
        """
        device = resolve_device(device)
        dtype = resolve_precision(precision, device)
        if isinstance(metric_model, str | Path):
            metric_model = load_metric_model(metric_model, device=device, precision=precision)
        sharpener = load_diffusion_model(model, device, dtype)
        separate = generator and load_diffusion_model(generator, device, dtype)
        if compile:
            for diffusion in filter(None, (sharpener, separate)):
                diffusion.unet.compile()
                diffusion.vae.encoder.compile()
                diffusion.vae.decoder.compile()
        return cls(sharpener, metric_model, separate or None)

    @property
    def device(self) -> torch.device:
        return self.sharpener.prompt_embedding.device

    @torch.inference_mode()
    def __call__(
        self,
        rgb: Array,
        intrinsics: Array | None = None,
        *,
        mode: Mode = "sharpdepth",
        processing_resolution: int = 768,
        lotus_steps: int = 1,
        seed: int = 0,
        noise: tuple[Array, Array | None] | None = None,
        fallback: bool = True,
    ) -> SharpDepthOutput:
        """Estimate the depth of one image.

        Args:
            rgb: uint8 [H, W, 3].
            intrinsics: [3, 3] pixels for H x W, handed to f_D; None lets f_D estimate them.
            mode: "sharpdepth"; "aligned": the generator's depth brought to metres, the paper's
                metric-aligned baseline; "metric": f_D alone.
            processing_resolution: longest edge in pixels that the networks work at; 0 is the
                image's own.
            lotus_steps: denoising steps of the generator pass.
            seed: of both noise draws. One seed gives one noise for each size, so a still scene
                gives a still depth map.
            noise: (noise_generator, noise_gate), each [1, C, h / stride, w / stride], instead of
                drawing from the seed. The second may be None in mode "aligned".
            fallback: return the metric depth where the alignment is degenerate. False returns the
                fit whatever it is, as the released code does.

        Raises:
            ValueError: an argument is out of range or of a wrong shape; the message has the value.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"mode {mode!r} is not one of {', '.join(get_args(Mode))}")
        steps_limit = self.generator.last_timestep + 1
        if not 1 <= lotus_steps <= steps_limit:
            raise ValueError(f"lotus_steps is {lotus_steps}; give 1 to {steps_limit}")
        timer = StageTimer(self.device)

        with timer.stage("preprocess"):
            image = to_processing_size(
                _image_batch(rgb, self.device),
                _camera_batch(intrinsics),
                processing_resolution,
                self._padding_multiple,
            )
        with timer.stage("metric"):
            metric = self.metric_model.infer(image.rgb8, image.intrinsics)
            metric_depth = metric.depth.to(self.device, torch.float32)

        affine = discrepancy = alignment = None
        depth = metric_full = image.restore(metric_depth)
        if mode != "metric":
            noises = self._noise(image, mode, seed, noise)
            run = self._sharpen if mode == "sharpdepth" else self._generate
            affine, discrepancy, flat = run(timer, image, metric_depth, noises, lotus_steps)
            with timer.stage("align"):
                affine, discrepancy = image.restore(affine), image.restore(discrepancy)
                # The released aligned baseline fits on all pixels, the sharpener where both agree.
                mask = (1 - discrepancy) > AGREEMENT if mode == "sharpdepth" else None
                alignment = align_least_squares(affine, metric_full, mask)
                alignment = Alignment(alignment.scale, alignment.shift, alignment.sound & ~flat)
                depth = alignment.apply(affine)
                if fallback:
                    usable = alignment.sound.view(-1, 1, 1, 1) & depth.isfinite()
                    depth = depth.where(usable, metric_full)

        with timer.stage("download"):
            as_given = _like(rgb)
            return SharpDepthOutput(
                depth=as_given(depth),
                metric_depth=as_given(metric_full),
                discrepancy=as_given(discrepancy),
                affine_depth=as_given(affine),
                intrinsics=_camera_of(intrinsics, metric.intrinsics, image, as_given),
                _alignment=alignment,
                _timer=timer,
            )

    def _sharpen(self, timer, image, metric_depth, noises, lotus_steps):
        """Steps 3 to 10 of the released algorithm: affine depth, discrepancy and flatness."""
        noise_generator, noise_gate = noises
        model = self.sharpener
        with timer.stage("encode"):
            normalised, flat = normalise_metric(metric_depth)
            # One batch for both: the encoder is a fifth of the frame's work.
            pair = torch.cat([normalised.expand(-1, 3, -1, -1), image.rgb * 2 - 1])
            metric_latent, image_latent = model.encode(pair).chunk(2)
        with timer.stage("generate"):
            source = image_latent if self._shared_latents else self._image_latent(image)
            generated = self.generator.generate(source, noise_generator, lotus_steps)
            generated_depth = self.generator.decode(generated).mean(1, keepdim=True)
        with timer.stage("gate"):
            discrepancy = discrepancy_map(generated_depth, normalised)
            if not self._shared_latents:
                # Another latent space: the generator's depth crosses over as an image.
                generated = model.encode(generated_depth.clamp(-1, 1).expand(-1, 3, -1, -1))
            renoised = model.renoise(generated, noise_gate)
            gated = gate_latent(discrepancy, renoised, metric_latent, model.stride)
        with timer.stage("sharpen"):
            sharpened = model.decode(model.predict(image_latent, gated)).mean(1, keepdim=True)
        return sharpened, discrepancy, flat

    def _generate(self, timer, image, metric_depth, noises, lotus_steps):
        """The metric-aligned generator: its depth in [0, 1], each channel clamped before the mean
        as the published Lotus pipeline does."""
        normalised, flat = normalise_metric(metric_depth)
        with timer.stage("encode"):
            image_latent = self._image_latent(image)
        with timer.stage("generate"):
            latent = self.generator.generate(image_latent, noises[0], lotus_steps)
            decoded = self.generator.decode(latent)
        discrepancy = discrepancy_map(decoded.mean(1, keepdim=True), normalised)
        affine = (decoded / 2 + 0.5).clamp(0, 1).mean(1, keepdim=True)
        return affine, discrepancy, flat

    def _image_latent(self, image: ProcessingImage) -> torch.Tensor:
        return self.generator.encode(image.rgb * 2 - 1)

    @property
    def _padding_multiple(self) -> int:
        """Both VAEs must divide the processing size; strides are powers of two."""
        return max(self.sharpener.stride, self.generator.stride)

    def _noise(
        self, image: ProcessingImage, mode: Mode, seed: int, given: tuple | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both draws on the device: those given, or the seed's for this size."""
        models = (self.generator, self.sharpener)
        shapes = [
            (1, m.latent_channels, *(edge // m.stride for edge in image.rgb.shape[-2:]))
            for m in models
        ]
        if given is not None:
            if mode == "sharpdepth" and given[1] is None:
                raise ValueError("noise is (noise_generator, None); mode sharpdepth needs both")
            names = ("noise_generator", "noise_gate")
            draws = zip(names, given, shapes, models, strict=True)
            return tuple(_given_noise(*draw, self.device) for draw in draws)
        key = (seed, *shapes)
        if key not in self._noise_cache:
            # Drawn on the host: the same noise, and so the same depth, on every device.
            source = torch.Generator().manual_seed(seed)
            draws = [torch.randn(shape, generator=source) for shape in shapes]
            self._noise_cache.clear()  # one stream has one size; a change of size forgets the last
            self._noise_cache[key] = tuple(
                draw.to(self.device, m.dtype) for draw, m in zip(draws, models, strict=True)
            )
        return self._noise_cache[key]


def _equal_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    if one is other:
        return True
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _image_batch(rgb: Array, device: torch.device) -> torch.Tensor:
    """uint8 [1, 3, H, W] on the device."""
    image = torch.as_tensor(rgb)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != torch.uint8 or not image.numel():
        raise ValueError(
            f"rgb is {image.dtype} {list(image.shape)}; give a uint8 image [H, W, 3] that is not "
            "empty"
        )
    return image.to(device).permute(2, 0, 1)[None]


def _camera_batch(intrinsics: Array | None) -> torch.Tensor | None:
    """float32 [1, 3, 3], where it was: nine numbers on the host are compared with the last
    frame's without waiting for the device."""
    if intrinsics is None:
        return None
    camera = torch.as_tensor(intrinsics, dtype=torch.float32)
    if camera.shape != (3, 3):
        raise ValueError(f"intrinsics are {list(camera.shape)}; give a [3, 3] matrix in pixels")
    return camera[None]


def _camera_of(given, estimated, image: ProcessingImage, as_given):
    """The camera of the full image: the caller's, or the estimate scaled back to its size."""
    if given is not None:
        return as_given(torch.as_tensor(given, dtype=torch.float32)[None, None])
    if estimated is None:
        return None
    height, width = (
        edge - pad for edge, pad in zip(image.rgb.shape[-2:], image.padding, strict=True)
    )
    scale = estimated.new_tensor([image.size[1] / width, image.size[0] / height, 1.0])
    return as_given((estimated.float() * scale[:, None])[:, None])


def _given_noise(name, noise, shape, model: DepthDiffusion, device) -> torch.Tensor | None:
    if noise is None:
        return None
    noise = torch.as_tensor(noise)
    if noise.shape != shape:
        raise ValueError(f"{name} is {list(noise.shape)}; this image needs {list(shape)}")
    return noise.to(device, model.dtype)


def _like(rgb: Array):
    """How to hand maps [1, 1, H, W] back: as numpy for a numpy image, on the device for torch."""

    def torch_map(maps: torch.Tensor | None) -> torch.Tensor | None:
        return None if maps is None else maps[0, 0].float()

    def numpy_map(maps: torch.Tensor | None) -> np.ndarray | None:
        return None if maps is None else maps[0, 0].float().cpu().numpy()

    return torch_map if isinstance(rgb, torch.Tensor) else numpy_map
