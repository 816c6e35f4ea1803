# SPDX-License-Identifier: Apache-2.0
"""SharpDepth, step by step: metric depth, generator pass, gate, sharpener, alignment."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import torch

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.generator import DepthGenerator
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.placement import resolve_device, resolve_precision
from sharpdepth_ros.models.registry import load_generator, load_metric_model
from sharpdepth_ros.pipeline.alignment import AGREEMENT, align_least_squares
from sharpdepth_ros.pipeline.discrepancy import DepthRange, discrepancy_map, gate_latent
from sharpdepth_ros.pipeline.noise import NoiseSource, Shape
from sharpdepth_ros.pipeline.output import Array, SharpDepthOutput, converter_for
from sharpdepth_ros.pipeline.resizing import ProcessingImage, to_processing_size
from sharpdepth_ros.pipeline.timing import StageTimer

Mode = Literal["sharpdepth", "aligned", "metric"]


class SharpDepthPipeline:
    """Turns a colour image into sharp metric depth (SharpDepth, CVPR 2025, arXiv 2411.18229)."""

    def __init__(
        self,
        sharpener: DepthDiffusion | None,
        metric_model: MetricDepthModel,
        generator: DepthGenerator | None = None,
    ) -> None:
        """Combine loaded models; `from_pretrained` loads them.

        Args:
            sharpener: G_theta; None leaves the modes "aligned" and "metric".
            metric_model: f_D.
            generator: f_G; None lets the sharpener's own UNet make the first pass, as released.

        Raises:
            ValueError: there is neither sharpener nor generator, or the sharpener is none.
        """
        if sharpener is not None and not _can_sharpen(sharpener):
            raise ValueError(
                "a sharpener takes image and depth latent and draws depth; this model takes "
                f"{'both' if sharpener.takes_noise else 'the image latent alone'} and draws "
                f"{sharpener.space}. Give it as generator"
            )
        if sharpener is None and generator is None:
            raise ValueError("there is neither a sharpener nor a generator; give one of them")
        self.sharpener = sharpener
        self.metric_model = metric_model
        self.generator = sharpener if generator is None else generator
        self._shared_latents = _share_latents(self.generator, sharpener)
        self._device = self.generator.device
        self._noise = NoiseSource(self._device)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        metric_model: str | Path | MetricDepthModel,
        generator: str | Path | None = None,
        generator_options: Mapping[str, int] | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        compile: bool = False,
    ) -> "SharpDepthPipeline":
        """Load the models by name or from folders.

        Args:
            model: the sharpener: a folder in the released layout, or a name. A model that can only
                generate (Lotus-D, Marigold, one that draws disparity) is taken as the generator,
                and leaves the modes "aligned" and "metric".
            metric_model: f_D: a loaded model, a folder, or a name of the registry.
            generator: f_G: a folder or a name; None as in the constructor.
            generator_options: for Marigold, `steps` and `ensemble_size`.
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
        options = dict(generator_options or {})
        if generator is None:
            drawn = load_generator(model, device, dtype, **options)
            sharpener, separate = (drawn, None) if _can_sharpen(drawn) else (None, drawn)
        else:
            sharpener = load_generator(model, device, dtype)
            separate = load_generator(generator, device, dtype, **options)
        if compile:
            for network in {sharpener, separate} - {None}:
                network.compile_networks()
        return cls(sharpener, metric_model, separate)

    @property
    def device(self) -> torch.device:
        return self._device

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
        if not 1 <= lotus_steps <= self.generator.max_steps:
            raise ValueError(
                f"lotus_steps is {lotus_steps}; this generator takes 1 to "
                f"{self.generator.max_steps}"
            )
        if mode == "sharpdepth" and self.sharpener is None:
            raise ValueError(
                'mode "sharpdepth" needs a sharpener, and this pipeline has a generator alone; use '
                'mode "aligned", or load a sharpener beside it'
            )
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
            shapes = self._noise_shapes(image, mode)
            if noise is None:
                draws = self._noise.draw(*shapes, seed)
            else:
                draws = self._noise.take(*shapes, noise)
            run = self._sharpen if mode == "sharpdepth" else self._generate
            affine, discrepancy, flat = run(timer, image, metric_depth, draws, lotus_steps)
            with timer.stage("align"):
                affine, discrepancy = image.restore(affine), image.restore(discrepancy)
                # The released aligned baseline fits on all pixels, the sharpener where both agree.
                if mode == "sharpdepth":
                    mask = (1 - discrepancy) > AGREEMENT
                    alignment = align_least_squares(affine, metric_full, mask)
                else:
                    alignment = align_least_squares(affine, metric_full, space=self.generator.space)
                alignment = replace(alignment, sound=alignment.sound & ~flat)
                depth = alignment.apply(affine)
                if fallback:
                    usable = alignment.sound.view(-1, 1, 1, 1) & depth.isfinite()
                    depth = depth.where(usable, metric_full)

        with timer.stage("download"):
            as_given = converter_for(rgb)
            return SharpDepthOutput(
                depth=as_given(depth),
                metric_depth=as_given(metric_full),
                discrepancy=as_given(discrepancy),
                affine_depth=as_given(affine),
                intrinsics=_camera_of(intrinsics, metric.intrinsics, image, as_given),
                _alignment=alignment,
                _timer=timer,
            )

    def _sharpen(self, timer, image, metric_depth, noise, lotus_steps):
        """Steps 3 to 10 of the released algorithm: affine depth, discrepancy and flatness."""
        model = self.sharpener
        with timer.stage("encode"):
            extent = DepthRange.of(metric_depth)
            normalised = extent.normalise(metric_depth)
            # One batch for both: the encoder is a fifth of the frame's work.
            pair = torch.cat([normalised.expand(-1, 3, -1, -1), image.rgb * 2 - 1])
            metric_latent, image_latent = model.encode(pair).chunk(2)
        with timer.stage("generate"):
            if self._shared_latents:
                latent = self.generator.generate(image_latent, noise.generator, lotus_steps)
                drawn = self.generator.decode(latent).mean(1, keepdim=True)
            else:
                # Another latent space, or disparity: its depth crosses over as an image.
                affine = self.generator.draw(image.rgb, noise.generator, lotus_steps)
                drawn = self._as_normalised_depth(affine, metric_depth, extent)
                latent = model.encode(drawn.expand(-1, 3, -1, -1))
        with timer.stage("gate"):
            discrepancy = discrepancy_map(drawn, normalised)
            renoised = model.renoise(latent, noise.gate)
            gated = gate_latent(discrepancy, renoised, metric_latent, model.stride)
        with timer.stage("sharpen"):
            sharpened = model.decode(model.predict(image_latent, gated)).mean(1, keepdim=True)
        return sharpened, discrepancy, extent.flat

    def _generate(self, timer, image, metric_depth, noise, lotus_steps):
        """The generator alone: its map in [0, 1], and where it disagrees with the metric depth."""
        with timer.stage("generate"):
            affine = self.generator.draw(image.rgb, noise.generator, lotus_steps)
        extent = DepthRange.of(metric_depth)
        drawn = self._as_normalised_depth(affine, metric_depth, extent)
        return affine, discrepancy_map(drawn, extent.normalise(metric_depth)), extent.flat

    def _as_normalised_depth(self, affine, metric_depth, extent: DepthRange) -> torch.Tensor:
        """A generator's map in [0, 1] as depth in [-1, 1], [B, 1, h, w]."""
        if self.generator.space == "depth":
            return affine * 2 - 1
        metres = align_least_squares(affine, metric_depth, space="disparity").apply(affine)
        return extent.normalise(metres)

    def _noise_shapes(self, image: ProcessingImage, mode: Mode) -> tuple[Shape, Shape]:
        """Of the generator's draw and of the gate's."""
        size = image.rgb.shape[-2:]
        gate = self.sharpener.noise_shape(*size) if mode == "sharpdepth" else None
        return self.generator.noise_shape(*size), gate

    @property
    def _padding_multiple(self) -> int:
        """Both VAEs must divide the processing size; strides are powers of two."""
        return max(m.stride for m in (self.generator, self.sharpener) if m is not None)


def _can_sharpen(model: DepthGenerator) -> bool:
    """Whether the model can be G_theta: image and depth latent in, depth out."""
    return isinstance(model, DepthDiffusion) and model.takes_noise and model.space == "depth"


def _share_latents(generator: DepthGenerator, sharpener: DepthDiffusion | None) -> bool:
    """Whether the generator's latents are depth latents of the sharpener's VAE, as those of the
    released Lotus are of the released SharpDepth's."""
    if sharpener is None or generator is sharpener:
        return sharpener is not None
    if not isinstance(generator, DepthDiffusion) or generator.space != "depth":
        return False
    one, other = generator.vae.state_dict(), sharpener.vae.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


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
