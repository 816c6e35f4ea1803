# SPDX-License-Identifier: Apache-2.0
"""SharpDepth, step by step: metric depth, generator pass, gate, sharpener, alignment."""

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.models.device import resolve_device, resolve_precision
from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.generator import DepthGenerator, Fit
from sharpdepth_ros.models.metric import MetricDepth, MetricDepthModel
from sharpdepth_ros.models.registry import find_tiny_vae, load_generator, load_metric_model
from sharpdepth_ros.models.tiny_vae import TinyVae, load_tiny_vae
from sharpdepth_ros.pipeline.alignment import AGREEMENT, align, align_least_squares
from sharpdepth_ros.pipeline.engine import Engine, EngineOptions
from sharpdepth_ros.pipeline.fp16_overflow import (
    OverflowWatch,
    wholly_wide,
    wide_dtype,
    with_wide_vae,
)
from sharpdepth_ros.pipeline.generator_cache import Draft, DraftMemory
from sharpdepth_ros.pipeline.image_input import as_rgb8
from sharpdepth_ros.pipeline.noise import Noise, NoiseSource, Shape
from sharpdepth_ros.pipeline.output import Array, SharpDepthOutput
from sharpdepth_ros.pipeline.presets import Preset, find_preset
from sharpdepth_ros.pipeline.resizing import ProcessingImage, to_processing_size
from sharpdepth_ros.pipeline.timing import StageTimer
from sharpdepth_ros.refiners import sharpdepth as method
from sharpdepth_ros.refiners.discrepancy import DepthRange, Gate, discrepancy_map

Mode = Literal["sharpdepth", "aligned", "metric"]

Intrinsics = Array | CameraModel


@dataclass(frozen=True)
class _Call:
    """The arguments of a call that its images have in common; see `SharpDepthPipeline.__call__`."""

    mode: Mode = "sharpdepth"
    processing_resolution: int | None = None
    lotus_steps: int = 1
    seed: int = 0
    fallback: bool = True
    gate: Gate = "noise-aware"
    fit: Fit | None = None


class SharpDepthPipeline:
    """Turns a colour image into sharp metric depth (SharpDepth, CVPR 2025, arXiv 2411.18229).

    Threads may share a pipeline. Their calls run one after another, and each gets the answer that
    it would get alone, bit for bit. On a GPU this holds on any CUDA stream, and the frames of
    different streams run one after another too. What a camera's stream keeps from frame to frame
    is in its own memory, from `new_memory`; one memory serves one thread.

    Attributes:
        sharpener: G_theta, or None.
        metric_model: f_D.
        generator: f_G; the sharpener where no other was given.
        preset: how much work is spent on a frame.
        engine: how the networks are run.
        on_notice: called with what the user should know and nothing failed of; warns as Python
            does unless it is replaced.
    """

    def __init__(
        self,
        sharpener: DepthDiffusion | None,
        metric_model: MetricDepthModel,
        generator: DepthGenerator | None = None,
        *,
        preset: str | Preset = "accurate",
        tiny_vae: TinyVae | None = None,
        engine: EngineOptions | None = None,
    ) -> None:
        """Combine loaded models; `from_pretrained` loads them.

        Args:
            sharpener: G_theta; None leaves the modes "aligned" and "metric".
            metric_model: f_D.
            generator: f_G; None lets the sharpener's own UNet make the first pass, as released.
            preset: a name of `pipeline.presets`, or a `Preset`.
            tiny_vae: for a preset that uses one.
            engine: how the networks are run; None for the defaults.

        Raises:
            ValueError: there is neither sharpener nor generator, or the sharpener is none; or the
                preset needs a tiny VAE.
            CheckpointError: the tiny VAE is of another checkpoint.
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
        self.preset = find_preset(preset)
        self._shared_latents = _share_latents(self.generator, sharpener)
        self._device = torch.device(self.generator.device)
        self._noise = NoiseSource(self._device)
        self.engine = Engine(self._device, engine)
        self.engine.prepare_metric_model(metric_model)
        self.on_notice: Callable[[str], None] = partial(warnings.warn, stacklevel=2)
        self._tiny_vae = tiny_vae
        self._prepare_networks(tiny_vae)
        half = torch.float16 in (getattr(n, "dtype", None) for n in (self.sharpener, generator))
        self._watch = OverflowWatch(self._device) if half else None
        self._widenings = [("VAE", with_wide_vae), ("UNet", wholly_wide)]
        # Noise, recorded graphs, OpenVINO's requests and the watch belong to one frame at a time.
        self._one_frame = threading.RLock()  # `on_notice` may call the pipeline
        self._ended: torch.cuda.Event | None = None

    def _prepare_networks(self, tiny_vae: TinyVae | None) -> None:
        """The networks as the engine runs them. One UNet stays one, and its weights are shared."""
        prepare, same = self.engine.prepare, self.generator is self.sharpener
        self._sharpener = None if self.sharpener is None else prepare(self.sharpener)
        self._generator = self._sharpener if same else prepare(self.generator)
        use = self.preset.tiny_vae
        tiny = None
        if use != "never" and self.sharpener is not None:
            if tiny_vae is None:
                raise ValueError(
                    f"the preset uses a tiny VAE ({use}) and none is given; see tiny_vae"
                )
            tiny_vae.require_fit(self.sharpener)
            tiny = prepare(tiny_vae)
        own = self._sharpener
        self._encoder = tiny if use == "always" and tiny is not None else own
        self._decoder = tiny if use in ("decoders", "always") and tiny is not None else own
        # The generator's VAE is the sharpener's where they share latents.
        self._generator_decoder = self._generator if tiny is None else tiny

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
        preset: str | Preset = "accurate",
        tiny_vae: str | Path | None = None,
        engine: EngineOptions | None = None,
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
            compile: run the networks through torch.compile; the first frame of each size then
                takes minutes, and in later processes seconds.
            preset: accurate, balanced, fast or fastest (see `pipeline.presets`), or a `Preset`.
            tiny_vae: for a preset that uses one: a folder or a name; None takes tiny_vae/ in the
                model's folder, or the published one for checkpoints with the released VAE.
            engine: how the networks are run; None for the defaults.

        Raises:
            CheckpointError: a folder is not a usable checkpoint.
            WeightsNotFound: a name's weights are not on this machine and cannot be fetched.
            ValueError: an unknown name, device, precision or preset.
        """
        preset = find_preset(preset)
        device = resolve_device(device)
        dtype = resolve_precision(precision, device, tolerant=True)
        if isinstance(metric_model, str | Path):
            metric_model = load_metric_model(metric_model, device=device, precision=precision)
        options = dict(generator_options or {})
        if generator is None:
            drawn = load_generator(model, device, dtype, **options)
            sharpener, separate = (drawn, None) if _can_sharpen(drawn) else (None, drawn)
        else:
            sharpener = load_generator(model, device, dtype)
            separate = load_generator(generator, device, dtype, **options)
        tiny = None
        if preset.tiny_vae != "never" and sharpener is not None:
            tiny = load_tiny_vae(find_tiny_vae(tiny_vae, model, sharpener), device, dtype)
        engine = engine or EngineOptions()
        engine = replace(engine, compile=engine.compile or compile)
        return cls(sharpener, metric_model, separate, preset=preset, tiny_vae=tiny, engine=engine)

    @property
    def processing_resolution(self) -> int:
        """Longest edge in pixels that the networks work at unless a call says otherwise."""
        return (self.sharpener or self.generator).processing_resolution

    @property
    def fit(self) -> Fit:
        """How the affine depth is brought to metres unless a call says otherwise."""
        return (self.sharpener or self.generator).fit

    @property
    def device(self) -> torch.device:
        return self._device

    def __call__(
        self,
        rgb: Array,
        intrinsics: Intrinsics | None = None,
        *,
        seen: Array | None = None,
        mode: Mode = "sharpdepth",
        processing_resolution: int | None = None,
        lotus_steps: int = 1,
        seed: int = 0,
        noise: tuple[Array, Array | None] | None = None,
        fallback: bool = True,
        gate: Gate = "noise-aware",
        fit: Fit | None = None,
        memory: DraftMemory | None = None,
    ) -> SharpDepthOutput:
        """Estimate the depth of one image.

        Args:
            rgb: uint8 [H, W, 3]; a PIL image, grey, RGBA, the channels first, or floats in [0, 1]
                are brought to it (see `pipeline.image_input`).
            intrinsics: [3, 3] pixels for H x W or the camera itself, handed to f_D; None lets
                f_D estimate them.
            seen: bool [H, W], False where the camera saw nothing, as behind the corners of a
                rectified image (`Rectifier.seen`). All maps are NaN there, and the alignment leaves
                these pixels out. None: it saw every pixel.
            mode: "sharpdepth"; "aligned": the generator's depth brought to metres, the paper's
                metric-aligned baseline; "metric": f_D alone.
            processing_resolution: longest edge in pixels that the networks work at, before the
                preset's resolution_scale; 0 is the image's own, None what the model was trained
                for (768 for the released ones).
            lotus_steps: denoising steps of the generator pass.
            seed: of both noise draws. One seed gives one noise for each size, so a still scene
                gives a still depth map.
            noise: (noise_generator, noise_gate), each [1, C, h / stride, w / stride], instead of
                drawing from the seed. The second may be None in mode "aligned".
            fallback: return the metric depth where the alignment is degenerate. False returns the
                fit whatever it is, as the released code does.
            gate: where noise goes: "noise-aware" (the method), "uniform" or "none" (the paper's
                ablations, for sharpeners that were trained with them).
            fit: how the affine depth is brought to metres: "least-squares" of the metres, as
                released, which what is far decides; "relative", the least absolute errors relative
                to the depth, so that near and far count alike; None as the checkpoint says.
            memory: of one camera's stream, from `new_memory`: the generator pass is then made
                only when the memory wants one. None makes it for every image.

        Raises:
            ValueError: an argument is out of range or of a wrong shape; the message has the value.
        """
        call = _Call(mode, processing_resolution, lotus_steps, seed, fallback, gate, fit)
        cameras = None if intrinsics is None else [intrinsics]
        return self._run([as_rgb8(rgb)], cameras, [seen], call, noise, memory)[0]

    def batch(
        self,
        images: Sequence[Array],
        intrinsics: Sequence[Intrinsics | None] | None = None,
        *,
        seen: Sequence[Array | None] | None = None,
        mode: Mode = "sharpdepth",
        processing_resolution: int | None = None,
        lotus_steps: int = 1,
        seed: int = 0,
        fallback: bool = True,
        fit: Fit | None = None,
    ) -> list[SharpDepthOutput]:
        """Estimate the depth of several images, such as those of a robot's cameras, at once.

        Images of one size are one batch; the answers are those of one call each.

        Args:
            images: each as in a call; sizes may differ.
            intrinsics: for each image as in a call; None where no camera is known.
            seen: for each image as in a call; None for all of all of them.
            mode, processing_resolution, lotus_steps, seed, fallback, fit: as in a call.

        Returns:
            One output for each image, in order. Their timings are those of their batch.

        Raises:
            ValueError: as in a call; or the numbers of images, intrinsics and masks differ.
        """
        call = _Call(mode, processing_resolution, lotus_steps, seed, fallback, fit=fit)
        cameras = [None] * len(images) if intrinsics is None else list(intrinsics)
        if len(cameras) != len(images):
            raise ValueError(f"{len(cameras)} intrinsics for {len(images)} images")
        masks = [None] * len(images) if seen is None else list(seen)
        if len(masks) != len(images):
            raise ValueError(f"{len(masks)} masks of what was seen for {len(images)} images")
        images = [as_rgb8(rgb) for rgb in images]
        groups: dict[tuple, list[int]] = {}
        for index, (rgb, camera) in enumerate(zip(images, cameras, strict=True)):
            kind = (tuple(rgb.shape), isinstance(rgb, torch.Tensor), camera is None)
            groups.setdefault(kind, []).append(index)
        outputs: dict[int, SharpDepthOutput] = {}
        for (*_, unknown), members in groups.items():
            chosen = None if unknown else [cameras[i] for i in members]
            chosen_masks = [masks[i] for i in members]
            made = self._run([images[i] for i in members], chosen, chosen_masks, call)
            outputs.update(zip(members, made, strict=True))
        return [outputs[index] for index in range(len(images))]

    def new_memory(self, every: int | None = None) -> DraftMemory:
        """A memory for the frames of one camera.

        Args:
            every: the generator pass serves this many frames; None takes the preset's number.
        """
        return DraftMemory(self.preset.generator_every if every is None else every)

    @torch.inference_mode()
    def _run(
        self,
        images: list[Array],
        cameras: list[Intrinsics] | None,
        masks: list[Array | None],
        call: _Call,
        noise: tuple[Array, Array | None] | None = None,
        memory: DraftMemory | None = None,
    ) -> list[SharpDepthOutput]:
        """The frame, for a batch of images of one size."""
        self._check(call)
        with self._one_frame:
            if self._ended is not None:  # of a frame on another stream, whose buffers these are
                torch.cuda.current_stream(self.device).wait_event(self._ended)
            self._widen_after_overflow()  # of an earlier frame, on a GPU
            outputs = self._frame(images, cameras, masks, call, noise, memory)
            # A GPU's frame has not ended yet. It overflows to the metric depth, as any frame whose
            # sharpened depth cannot be fitted; here the frame is made again.
            while self.device.type != "cuda" and self._widen_after_overflow():
                outputs = self._frame(images, cameras, masks, call, noise, memory)
            if self.device.type == "cuda":
                self._ended = torch.cuda.current_stream(self.device).record_event()
            return outputs

    def _widen_after_overflow(self) -> bool:
        """Replace the networks by wider ones if a frame was too much for float16."""
        if self._watch is None or not self._watch.overflowed():
            return False
        (part, widen), *self._widenings = self._widenings
        if not self._widenings:
            self._watch = None
        dtype = wide_dtype(self.device)

        def wide(model):
            return widen(model, dtype) if isinstance(model, DepthDiffusion | TinyVae) else model

        same = self.generator is self.sharpener
        self.sharpener, self._tiny_vae = wide(self.sharpener), wide(self._tiny_vae)
        self.generator = self.sharpener if same else wide(self.generator)
        self._prepare_networks(self._tiny_vae)
        self.engine.forget_recordings()
        name = "bf16" if dtype == torch.bfloat16 else "fp32"
        self.on_notice(
            f"half precision (fp16) is too narrow for the {part}: values became infinite. It runs "
            f"in {name} from now on; precision:={name} does so from the start"
        )
        return True

    def _frame(
        self,
        images: list[Array],
        cameras: list[Intrinsics] | None,
        masks: list[Array | None],
        call: _Call,
        noise: tuple[Array, Array | None] | None,
        memory: DraftMemory | None,
    ) -> list[SharpDepthOutput]:
        timer = StageTimer(self.device)
        with timer.stage("preprocess"):
            pictures = [_as_tensor(rgb) for rgb in images]
            height, width = pictures[0].shape[:2]
            matrices = _camera_batch(cameras, width, height)
            seen = self._mask_batch(masks, width, height)
            batch = self.engine.transfers.upload(pictures).permute(0, 3, 1, 2)
            image = to_processing_size(
                batch, matrices, self._resolution(call, batch), self._padding_multiple
            )
        affine = discrepancy = alignment = None
        if call.mode == "metric":
            metric = self._measure(timer, image)
            depth = metric_full = image.restore(metric.depth)
        else:
            draws = self._draw_noise(image, call, noise)
            if call.mode == "sharpdepth":
                metric, affine, discrepancy, flat = self._sharpen(
                    timer, image, pictures, draws, call, memory
                )
            else:
                metric, affine, discrepancy, flat = self._align_generator(timer, image, draws, call)
            with timer.stage("align"):
                metric_full = image.restore(metric.depth)
                affine, discrepancy = image.restore(affine), image.restore(discrepancy)
                # The released aligned baseline fits on all pixels, the sharpener where both agree.
                sharp = call.mode == "sharpdepth"
                mask = (1 - discrepancy) > AGREEMENT if sharp else None
                if seen is not None:
                    mask = seen if mask is None else mask & seen
                alignment = align(
                    affine,
                    metric_full,
                    mask=mask,
                    space="depth" if sharp else self.generator.space,
                    fit=call.fit or self.fit,
                )
                alignment = replace(alignment, sound=alignment.sound & ~flat)
                depth = alignment.apply(affine)
                if call.fallback:
                    usable = alignment.sound.view(-1, 1, 1, 1) & depth.isfinite()
                    depth = depth.where(usable, metric_full)
        maps = {
            "depth": depth,
            "metric_depth": metric_full,
            "discrepancy": discrepancy,
            "affine_depth": affine,
        }
        if seen is not None:
            maps = {n: None if m is None else m.where(seen, torch.nan) for n, m in maps.items()}
        answers = {
            **maps,
            "intrinsics": _cameras_of(matrices, metric.intrinsics, image),
            "scale": alignment and alignment.scale,
            "shift": alignment and alignment.shift,
            "sound": alignment and alignment.sound,
        }
        with timer.stage("download"):
            answers = {n: None if m is None else _as_answer(m) for n, m in answers.items()}
            if not isinstance(images[0], torch.Tensor):
                answers = self.engine.transfers.download(answers)
        return [SharpDepthOutput(answers, index, timer) for index in range(len(images))]

    def _mask_batch(
        self, masks: list[Array | None], width: int, height: int
    ) -> torch.Tensor | None:
        """bool [B, 1, H, W] on the device; None where every pixel of every image was seen."""
        if all(mask is None for mask in masks):
            return None
        everything = torch.ones(height, width, dtype=torch.bool)
        chosen = [everything if mask is None else torch.as_tensor(mask) for mask in masks]
        for mask in chosen:
            if mask.shape != (height, width) or mask.dtype != torch.bool:
                raise ValueError(
                    f"seen is {mask.dtype} {list(mask.shape)}; give a bool mask "
                    f"{[height, width]} of the image's size"
                )
        return torch.stack([mask.to(self.device) for mask in chosen])[:, None]

    def _check(self, call: _Call) -> None:
        """Raises ValueError for arguments that this pipeline cannot run with."""
        if call.mode not in get_args(Mode):
            raise ValueError(f"mode {call.mode!r} is not one of {', '.join(get_args(Mode))}")
        if call.gate not in get_args(Gate):
            raise ValueError(f"gate {call.gate!r} is not one of {', '.join(get_args(Gate))}")
        if call.fit is not None and call.fit not in get_args(Fit):
            raise ValueError(f"fit {call.fit!r} is not one of {', '.join(get_args(Fit))}")
        if not 1 <= call.lotus_steps <= self.generator.max_steps:
            raise ValueError(
                f"lotus_steps is {call.lotus_steps}; this generator takes 1 to "
                f"{self.generator.max_steps}"
            )
        if call.mode == "sharpdepth" and self.sharpener is None:
            raise ValueError(
                'mode "sharpdepth" needs a sharpener, and this pipeline has a generator alone; use '
                'mode "aligned", or load a sharpener beside it'
            )

    def _resolution(self, call: _Call, batch: torch.Tensor) -> int:
        """The longest edge that the networks see."""
        scale, longest_edge = self.preset.resolution_scale, call.processing_resolution
        if longest_edge is None:
            longest_edge = self.processing_resolution
        if scale == 1 or longest_edge < 0:
            return longest_edge
        return round(scale * (longest_edge or max(batch.shape[-2:])))

    def _measure(self, timer, image: ProcessingImage) -> MetricDepth:
        """Step 2: f_D, float32 on the pipeline's device."""
        with timer.stage("metric"):
            metric = self.metric_model.infer(image.rgb8, image.intrinsics)
            depth = metric.depth.to(self.device, torch.float32, non_blocking=True)
            return replace(metric, depth=depth)

    def _sharpen(
        self,
        timer: StageTimer,
        image: ProcessingImage,
        pictures: list[torch.Tensor],
        noise: Noise,
        call: _Call,
        memory: DraftMemory | None,
    ) -> tuple[MetricDepth, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Steps 2 to 10 of the released algorithm: metric and affine depth, discrepancy, flatness.

        f_D and the generator pass do not depend on each other. On a GPU they run beside each
        other, and then the image is encoded before its metric depth is there; else f_D comes
        first and both encodings are one batch.
        """
        run, side = self.engine.run, self.engine.side
        kept = None
        if memory is not None:
            # A generator pass of networks that have been replaced since has another precision.
            key = image.rgb.shape, image.size, call, len(self._widenings)
            kept = memory.recall(key, pictures[0])
        generated = None
        if self.engine.schedule == "parallel" and self._shared_latents:
            side.fork()
            with timer.stage("encode"):
                (z_i,) = run("image", self._encode_image, image.rgb)
            if kept is None:
                generated = self._generate(timer, z_i, noise, call)
            # Enqueued second: the VAE's few long kernels keep the GPU busy while the host
            # launches f_D's many short ones.
            with side.beside():
                metric = self._measure(timer, image)
            side.join(metric.depth, metric.intrinsics)
            with timer.stage("encode"):
                encoded = run("depth", self._encode_depth, metric.depth)
        else:
            metric = self._measure(timer, image)
            with timer.stage("encode"):
                if self.engine.schedule == "sequential":
                    encoded = run("depth", self._encode_depth, metric.depth)
                    (z_i,) = run("image", self._encode_image, image.rgb)
                else:
                    z_i, *encoded = run("both", self._encode, image.rgb, metric.depth)
            if not self._shared_latents:
                generated = self._generate_foreign(timer, image, metric.depth, noise, call)
            elif kept is None:
                generated = self._generate(timer, z_i, noise, call)
        depth = method.EncodedDepth(*encoded)
        if generated is not None:
            z_g, d_g = generated
            if memory is not None:
                memory.keep(Draft(z_g, d_g, depth.range))
        else:
            z_g, d_g = kept.latent, depth.range.carry(kept.drawn, kept.extent)
        with timer.stage("gate"):
            z_gated, e = run(
                ("gate", call.gate),
                partial(method.gate, self._sharpener, kind=call.gate),
                depth.z_d,
                depth.n,
                z_g,
                d_g,
                noise.gate,
            )
        with timer.stage("sharpen"):
            (d_s,) = run("sharpen", self._sharpen_latent, z_i, z_gated)
        if self._watch is not None:
            self._watch.look_at(d_g, d_s)
        return metric, d_s, e, depth.flat

    # The passes of the method: of tensors alone, so that the engine can record and replay them.

    def _encode_image(self, rgb: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (method.encode_image(self._encoder, rgb * 2 - 1),)

    def _encode_depth(self, metric_depth: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return method.encode_depth(self._encoder, metric_depth)

    def _encode(self, rgb: torch.Tensor, metric_depth: torch.Tensor) -> tuple[torch.Tensor, ...]:
        z_i, depth = method.encode(self._encoder, rgb * 2 - 1, metric_depth)
        return z_i, *depth

    def _sharpen_latent(self, z_i, z_gated) -> tuple[torch.Tensor, ...]:
        return method.sharpen(self._sharpener, self._decoder, z_i, z_gated)[1:]

    def _generate(self, timer, z_i, noise: Noise, call: _Call) -> tuple[torch.Tensor, ...]:
        """Step 6: z_g and d_g."""

        def generate(z_i, *noise):
            given = noise[0] if noise else None
            return method.generate(
                self._generator, self._generator_decoder, z_i, given, call.lotus_steps
            )

        start = () if noise.generator is None else (noise.generator,)
        with timer.stage("generate"):
            return self.engine.run(("generate", call.lotus_steps), generate, z_i, *start)

    def _generate_foreign(self, timer, image, metric_depth, noise: Noise, call: _Call):
        """z_g and d_g of a generator with another latent space, or of disparity: its depth crosses
        over as an image."""
        with timer.stage("generate"):
            affine = self._draw(image.rgb, noise.generator, call.lotus_steps)
            d_g = self._as_normalised_depth(affine, metric_depth, DepthRange.of(metric_depth))
            return self._encoder.encode(d_g.expand(-1, 3, -1, -1)), d_g

    def _align_generator(self, timer, image, noise: Noise, call: _Call):
        """The generator alone: metric depth, its map in [0, 1], where they disagree, flatness."""
        metric = self._measure(timer, image)
        with timer.stage("generate"):
            affine = self._draw(image.rgb, noise.generator, call.lotus_steps)
        if self._watch is not None:
            self._watch.look_at(affine)
        extent = DepthRange.of(metric.depth)
        drawn = self._as_normalised_depth(affine, metric.depth, extent)
        discrepancy = discrepancy_map(drawn, extent.normalise(metric.depth))
        return metric, affine, discrepancy, extent.flat

    def _draw(self, rgb: torch.Tensor, noise: torch.Tensor | None, steps: int) -> torch.Tensor:
        """The generator's own map in [0, 1]; generators of other packages take one image."""
        if isinstance(self._generator, DepthDiffusion):
            return self._generator.draw(rgb, noise, steps)
        return torch.cat([self._generator.draw(one, noise, steps) for one in rgb.split(1)])

    def _as_normalised_depth(self, affine, metric_depth, extent: DepthRange) -> torch.Tensor:
        """A generator's map in [0, 1] as depth in [-1, 1], [B, 1, h, w]."""
        if self.generator.space == "depth":
            return affine * 2 - 1
        metres = align_least_squares(affine, metric_depth, space="disparity").apply(affine)
        return extent.normalise(metres)

    def _draw_noise(
        self, image: ProcessingImage, call: _Call, given: tuple[Array, Array | None] | None
    ) -> Noise:
        """Both draws, the same for each image of the batch."""
        size = image.rgb.shape[-2:]
        generator: Shape = self.generator.noise_shape(*size)
        gate: Shape = self.sharpener.noise_shape(*size) if call.mode == "sharpdepth" else None
        if given is None:
            draws = self._noise.draw(generator, gate, call.seed)
        else:
            draws = self._noise.take(generator, gate, given)
        count = len(image.rgb)
        if count == 1 or not isinstance(self.generator, DepthDiffusion):
            return draws
        return Noise(*(d if d is None else d.expand(count, -1, -1, -1) for d in draws.both))

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


def _as_tensor(rgb: Array) -> torch.Tensor:
    """uint8 [H, W, 3], where it was."""
    if isinstance(rgb, np.ndarray):  # a mirrored or read-only view, as bgr[..., ::-1], is copied
        rgb = np.require(rgb, requirements=("C", "W"))
    return torch.as_tensor(rgb)


def _camera_batch(cameras: list[Intrinsics] | None, width: int, height: int) -> torch.Tensor | None:
    """float32 [B, 3, 3], where they were: nine numbers on the host are compared with the last
    frame's without waiting for the device."""
    if cameras is None:
        return None
    return torch.stack([_camera_matrix(camera, width, height) for camera in cameras])


def _camera_matrix(camera: Intrinsics, width: int, height: int) -> torch.Tensor:
    if isinstance(camera, CameraModel):
        if (camera.width, camera.height) != (width, height):
            raise ValueError(
                f"intrinsics are those of a {camera.width}x{camera.height} image, and this one is "
                f"{width}x{height}; give camera.resized({width}, {height})"
            )
        return torch.as_tensor(camera.matrix, dtype=torch.float32)
    matrix = torch.as_tensor(camera, dtype=torch.float32)
    if matrix.shape != (3, 3):
        raise ValueError(f"intrinsics are {list(matrix.shape)}; give a [3, 3] matrix in pixels")
    if matrix.device.type == "cpu":  # to look at it elsewhere is to wait for the device
        CameraModel.from_matrix(matrix.numpy(), width, height)
    return matrix


def _cameras_of(
    given: torch.Tensor | None, estimated: torch.Tensor | None, image: ProcessingImage
) -> torch.Tensor | None:
    """The cameras of the full images, [B, 3, 3]: the caller's, or the estimates scaled back."""
    if given is not None:
        return given
    if estimated is None:
        return None
    height, width = (
        edge - pad for edge, pad in zip(image.rgb.shape[-2:], image.padding, strict=True)
    )
    cameras = estimated.float().clone()
    # Row by row by a number: a tensor of factors would have to come from the host.
    cameras[:, 0] *= image.size[1] / width
    cameras[:, 1] *= image.size[0] / height
    return cameras


def _as_answer(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.bool else values.float()
