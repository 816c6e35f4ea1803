# SPDX-License-Identifier: Apache-2.0
"""Marigold as a generator, by diffusers' own pipeline: its step count and its ensembling."""

from importlib.util import find_spec
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    LCMScheduler,
    MarigoldDepthPipeline,
    UNet2DConditionModel,
)

from sharpdepth_ros.models.diffusion import (
    RELEASED_RESOLUTION,
    load_part,
    load_schedule,
    load_tokenizer,
    require_parts,
)
from sharpdepth_ros.models.generator import RELEASED_FIT, Fit, Space
from sharpdepth_ros.models.safe_loading import CheckpointError, first_line, read_json

SETTINGS = (
    "prediction_type",
    "scale_invariant",
    "shift_invariant",
    "default_denoising_steps",
    "default_processing_resolution",
)
"""What model_index.json says about how the pipeline is used."""


class MarigoldGenerator:
    """prs-eth/Marigold (and its LCM and disparity relatives) behind `DepthGenerator`."""

    def __init__(
        self, pipeline: MarigoldDepthPipeline, steps: int | None = None, ensemble_size: int = 1
    ) -> None:
        """Wrap a loaded pipeline.

        Args:
            pipeline: on its device, in its precision.
            steps: denoising steps; None takes the pipeline's caller's.
            ensemble_size: predictions to merge, each from its own noise; 3 or more to be of use.

        Raises:
            ValueError: a count under 1, or a checkpoint that predicts something else than depth.
        """
        if ensemble_size < 1 or (steps is not None and steps < 1):
            raise ValueError(f"steps {steps} and ensemble_size {ensemble_size} must be 1 or more")
        if pipeline.config.prediction_type not in ("depth", "disparity"):
            raise ValueError(
                f"this Marigold predicts {pipeline.config.prediction_type!r}; a generator predicts "
                "depth or disparity"
            )
        if ensemble_size > 1 and find_spec("scipy") is None:
            raise ValueError(
                f"ensemble_size {ensemble_size} needs scipy: pip install 'sharpdepth_ros[eval]'"
            )
        self.space: Space = pipeline.config.prediction_type
        self.stride = pipeline.vae_scale_factor
        trained_for = pipeline.config.default_processing_resolution
        self.processing_resolution = trained_for or RELEASED_RESOLUTION
        self.fit: Fit = RELEASED_FIT
        self.max_steps = pipeline.scheduler.config.num_train_timesteps
        self.device = pipeline.device
        self._pipeline = pipeline
        self._steps = steps
        self._ensemble_size = ensemble_size
        pipeline.set_progress_bar_config(disable=True)

    def noise_shape(self, height: int, width: int) -> tuple[int, ...]:
        channels = self._pipeline.vae.config.latent_channels
        return self._ensemble_size, channels, height // self.stride, width // self.stride

    def compile_networks(self) -> None:
        """Run the UNet and the VAE's decoder through torch.compile from now on."""
        for network in (self._pipeline.unet, self._pipeline.vae.decoder):
            network.compile()

    def draw(self, rgb: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """The map of one image, float32 [1, 1, h, w] in [0, 1]."""
        drawn = self._pipeline(
            rgb.to(self._pipeline.dtype),
            num_inference_steps=self._steps or steps,
            ensemble_size=self._ensemble_size,
            processing_resolution=0,
            latents=noise.to(self._pipeline.dtype),
            output_type="pt",
        )
        return drawn.prediction.float()


def load_marigold(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    steps: int | None = None,
    ensemble_size: int = 1,
) -> MarigoldGenerator:
    """Load a Marigold depth checkpoint in diffusers' layout.

    Raises:
        CheckpointError: the folder is not one, or is incomplete.
    """
    # Part by part, each by its class: diffusers' own loader imports what model_index.json names.
    from transformers import CLIPTextModel

    require_parts(folder)
    index = read_json(folder / "model_index.json")
    networks = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    parts = {part: load_part(folder, part, kind, dtype) for part, kind in networks.items()}
    try:
        pipeline = MarigoldDepthPipeline(
            **parts,
            scheduler=_load_schedule(folder / "scheduler"),
            tokenizer=load_tokenizer(folder),
            **{key: index[key] for key in SETTINGS if key in index},
        )
        return MarigoldGenerator(pipeline.to(device), steps, ensemble_size)
    except (TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder} cannot be loaded as Marigold: {first_line(error)}"
        ) from error


def _load_schedule(folder: Path) -> DDIMScheduler | LCMScheduler:
    config = read_json(folder / "scheduler_config.json")
    name = config.get("_class_name")
    known = {kind.__name__: kind for kind in (DDIMScheduler, LCMScheduler)}
    if name not in known:
        raise CheckpointError(
            f"{folder} holds a {name!r}; Marigold's noise schedule is {' or '.join(known)}"
        )
    return load_schedule(folder, known[name], config)
