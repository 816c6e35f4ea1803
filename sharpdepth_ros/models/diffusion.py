# SPDX-License-Identifier: Apache-2.0
"""Loads a Lotus or SharpDepth checkpoint folder and runs its two networks, UNet and VAE."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import torch
from diffusers import AutoencoderKL, DDIMScheduler, SchedulerMixin, UNet2DConditionModel
from torch import nn

from sharpdepth_ros.models.generator import RELEASED_FIT, Fit, Space
from sharpdepth_ros.models.prompt_cache import prompt_embedding_once
from sharpdepth_ros.models.safe_loading import (
    CheckpointError,
    Network,
    explained,
    first_line,
    load_network,
    read_json,
    require_data_only,
)

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

Schedule = TypeVar("Schedule", bound=SchedulerMixin)

PARTS = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "scheduler": "a diffusers noise schedule",
    "text_encoder": "CLIPTextModel",
    "tokenizer": "CLIPTokenizer",
}
"""Subfolders of a checkpoint, as diffusers writes them, and what each must hold."""

DEPTH_TASK = (1.0, 0.0)
"""Lotus' task switcher, [1, 0] = predict depth (EnVision-Research/Lotus infer.py: task_emb)."""


RELEASED_RESOLUTION = 768
"""Longest edge in pixels at which the released Lotus and SharpDepth were trained and are run."""

ABOUT = "sharpdepth_ros.json"
"""File of a checkpoint folder with what the released layout has no place for. Optional."""


class DepthDiffusion(nn.Module):
    """A latent diffusion depth model that predicts x0: Lotus, and the sharpener built like it.

    Holds what one frame needs and nothing else: the text encoder runs once, at loading, for the
    empty prompt, and is dropped.

    Attributes:
        stride: pixels per latent cell, from the VAE's configuration (8 for the released VAE).
        latent_channels: channels of one latent.
        takes_noise: whether the UNet has a second, noisy latent as input (Lotus-G, SharpDepth) or
            only the image latent (Lotus-D).
        last_timestep: the timestep of the single-step prediction, 999 as released.
        space: what the depth map is affine to.
        processing_resolution: longest edge in pixels that it was trained for.
        fit: how its map is brought to metres unless a call says otherwise.
        max_steps: most denoising steps: one for a model without noise input.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        scheduler: DDIMScheduler,
        prompt_embedding: torch.Tensor,
        space: Space = "depth",
        processing_resolution: int = RELEASED_RESOLUTION,
        fit: Fit = RELEASED_FIT,
    ) -> None:
        """Combine the parts.

        Args:
            unet: predicts x0 from [image latent, depth latent] (or the image latent alone).
            vae: encodes images and depth maps repeated to three channels.
            scheduler: the noise schedule, with trailing timestep spacing.
            prompt_embedding: [1, tokens, channels], the text encoder's answer to "".
            space: "disparity" for checkpoints that were trained on it (Lotus v2).
            processing_resolution: longest edge in pixels that the UNet was trained for.
            fit: "relative" for checkpoints that say so.
        """
        super().__init__()
        self.unet = unet
        self.vae = vae
        self.scheduler = scheduler
        self.latent_channels = vae.config.latent_channels
        self.stride = 2 ** (len(vae.config.block_out_channels) - 1)
        self.takes_noise = unet.config.in_channels == 2 * self.latent_channels
        self.last_timestep = scheduler.config.num_train_timesteps - 1
        self._last_alpha = float(scheduler.alphas_cumprod[self.last_timestep])
        self.space = space
        self.processing_resolution = processing_resolution
        self.fit: Fit = fit
        self.max_steps = self.last_timestep + 1 if self.takes_noise else 1
        self.register_buffer("prompt_embedding", prompt_embedding)
        task = torch.tensor([DEPTH_TASK])
        self.register_buffer("task_embedding", torch.cat([task.sin(), task.cos()], dim=-1))

    @property
    def dtype(self) -> torch.dtype:
        return self.prompt_embedding.dtype

    @property
    def vae_dtype(self) -> torch.dtype:
        """Of the VAE, which may be wider than the UNet's (see pipeline/fp16_overflow.py)."""
        return next(self.vae.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return self.prompt_embedding.device

    def compile_networks(self) -> None:
        """Run the networks through torch.compile from now on; the first frame of a size is slow."""
        for network in (self.unet, self.vae.encoder, self.vae.decoder):
            network.compile(dynamic=False)  # a camera has one size

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latent of images in [-1, 1]: the posterior's mean, scaled.

        Args:
            images: [B, 3, h, w], h and w multiples of `stride`.

        Returns:
            [B, C, h / stride, w / stride].
        """
        mean = self.vae.encode(images.to(self.vae_dtype)).latent_dist.mode()
        return (mean * self.vae.config.scaling_factor).to(self.dtype)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Image of a latent, float32 [B, 3, h, w], about [-1, 1] and not clamped."""
        latent = latent.to(self.vae_dtype) / self.vae.config.scaling_factor
        return self.vae.decode(latent).sample.float()

    def predict(
        self,
        image_latent: torch.Tensor,
        depth_latent: torch.Tensor | None,
        timestep: int | None = None,
    ) -> torch.Tensor:
        """One UNet pass: the predicted x0 latent, [B, C, h / stride, w / stride].

        Args:
            image_latent: [B, C, ...] from `encode`.
            depth_latent: [B, C, ...] noisy or gated latent; None for a model without noise input.
            timestep: `last_timestep` when None.
        """
        inputs = (
            image_latent if depth_latent is None else torch.cat([image_latent, depth_latent], 1)
        )
        return self._denoise(
            inputs.to(self.dtype), self.last_timestep if timestep is None else timestep
        )

    def _denoise(self, inputs: torch.Tensor, timestep: int) -> torch.Tensor:
        batch = len(inputs)
        # An integer timestep: 999 does not exist in bfloat16, where it would become 1000.
        steps = torch.full((batch,), timestep, dtype=torch.long, device=inputs.device)
        return self.unet(
            inputs,
            steps,
            encoder_hidden_states=self.prompt_embedding.expand(batch, -1, -1),
            class_labels=self.task_embedding.expand(batch, -1),
        ).sample

    def generate(
        self, image_latent: torch.Tensor, noise: torch.Tensor | None, steps: int = 1
    ) -> torch.Tensor:
        """The generator pass f_G: from pure noise to the depth latent.

        One step is the released x0 prediction at t = 999. More steps denoise over
        trailing-spaced timesteps with DDIM, as the published Lotus-G pipeline does when it is
        given such timesteps.

        Args:
            image_latent: [B, C, ...].
            noise: standard normal, the shape of `image_latent`; None for a model without noise.
            steps: number of denoising steps, 1 to the schedule's length.
        """
        if not self.takes_noise:
            return self.predict(image_latent, None)
        if steps == 1:
            return self.predict(image_latent, noise)
        self.scheduler.set_timesteps(steps)
        latent = noise
        for timestep in self.scheduler.timesteps.tolist():
            x0 = self.predict(image_latent, latent, timestep)
            latent = self.scheduler.step(x0, timestep, latent).prev_sample
        return latent

    def noise_shape(self, height: int, width: int) -> tuple[int, ...] | None:
        """[1, C, h / stride, w / stride]; None for a model without noise input."""
        if not self.takes_noise:
            return None
        return 1, self.latent_channels, height // self.stride, width // self.stride

    def draw(self, rgb: torch.Tensor, noise: torch.Tensor | None, steps: int) -> torch.Tensor:
        """The generator as the published Lotus pipeline runs it: float32 [B, 1, h, w] in [0, 1],
        each channel clamped before the mean."""
        decoded = self.decode(self.generate(self.encode(rgb * 2 - 1), noise, steps))
        return (decoded / 2 + 0.5).clamp(0, 1).mean(1, keepdim=True)

    def renoise(self, latent: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """q(x_t | x_0) at the last timestep: sqrt(a) latent + sqrt(1 - a) noise."""
        noise = noise.to(latent.dtype)
        alpha = self._last_alpha
        return alpha**0.5 * latent + (1.0 - alpha) ** 0.5 * noise


def load_depth_diffusion(
    folder: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    space: Space = "depth",
) -> DepthDiffusion:
    """Load a checkpoint in the released folder layout.

    Args:
        folder: holds `unet/ vae/ scheduler/ text_encoder/ tokenizer/`, weights as .safetensors
            or .bin.
        device: where the networks go.
        dtype: of the networks; the embedding is computed in float32 first.
        space: what the checkpoint's depth is affine to; the folder does not say.

    Raises:
        CheckpointError: the folder or one of its parts is missing, incomplete or of another kind.
    """
    folder = Path(folder)
    require_parts(folder)
    unet = load_part(folder, "unet", UNet2DConditionModel, dtype)
    vae = load_part(folder, "vae", AutoencoderKL, dtype)
    _require_compatible(folder, unet, vae)
    schedule, prompt = _load_schedule(folder), prompt_embedding_once(folder, _embed_empty_prompt)
    model = DepthDiffusion(unet, vae, schedule, prompt, space, *_noted(folder))
    # The embeddings take the networks' dtype only now: they were computed in float32.
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def require_parts(folder: Path) -> None:
    """Check that a checkpoint folder has all of its subfolders.

    Raises:
        CheckpointError: it has not.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"checkpoint folder {folder} does not exist; give the folder that holds "
            f"{', '.join(f'{part}/' for part in PARTS)}"
        )
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise CheckpointError(
            f"{folder} is not a Lotus, SharpDepth or Marigold checkpoint: "
            f"{', '.join(f'{part}/' for part in missing)} missing (found: {found})"
        )


def load_part(folder: Path, part: str, kind: type[Network], dtype: torch.dtype) -> Network:
    """One network of a checkpoint folder, as `load_network` loads it.

    Raises:
        CheckpointError: also where the part says that it is of another kind.
    """
    _require_class(folder, part)
    return load_network(folder / part, kind, dtype)


def load_tokenizer(folder: Path) -> "CLIPTokenizer":
    """The tokenizer of a checkpoint folder.

    Raises:
        CheckpointError: it is incomplete, damaged, or would run code.
    """
    from transformers import CLIPTokenizer

    files = {file.name for file in (folder / "tokenizer").iterdir()}
    if not ("tokenizer.json" in files or {"vocab.json", "merges.txt"} <= files):
        # transformers would make up a tokenizer of its own.
        raise CheckpointError(
            f"{folder / 'tokenizer'} holds neither tokenizer.json nor vocab.json with merges.txt"
        )
    require_data_only(folder / "tokenizer")
    try:
        return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except Exception as error:  # of several libraries, with no other class in common
        raise CheckpointError(
            f"{folder / 'tokenizer'} cannot be loaded: {explained(error)}"
        ) from error


def _require_class(folder: Path, part: str) -> None:
    """Check a network's own name for its class, where its configuration gives one."""
    config = _read_json(folder / part / "config.json", part)
    name = config.get("_class_name")
    if name is not None and name != PARTS[part]:
        raise CheckpointError(f"{folder / part} holds a {name}; expected {PARTS[part]}")


def _require_compatible(folder: Path, unet: UNet2DConditionModel, vae: AutoencoderKL) -> None:
    channels = vae.config.latent_channels
    if unet.config.in_channels not in (channels, 2 * channels):
        raise CheckpointError(
            f"{folder / 'unet'} takes {unet.config.in_channels} channels; a depth model takes "
            f"{2 * channels} (image and depth latent) or {channels} (image latent alone)"
        )
    if unet.config.out_channels != channels:
        raise CheckpointError(
            f"{folder / 'unet'} predicts {unet.config.out_channels} channels and the VAE's latent "
            f"has {channels}: the parts are of different models"
        )


def _load_schedule(folder: Path) -> DDIMScheduler:
    """The checkpoint's noise schedule for DDIM; several steps are spaced as Lotus spaces them."""
    config = _read_json(folder / "scheduler" / "scheduler_config.json", "scheduler")
    if config.get("prediction_type", "sample") != "sample":
        raise CheckpointError(
            f"{folder / 'scheduler'}: prediction_type is {config['prediction_type']!r}; Lotus and "
            "SharpDepth predict x0, which is 'sample'"
        )
    return load_schedule(
        folder / "scheduler",
        DDIMScheduler,
        # Lotus predicts x0 whatever the base model's schedule was saved with.
        config | {"timestep_spacing": "trailing", "prediction_type": "sample"},
    )


def load_schedule(folder: Path, kind: type[Schedule], config: Mapping[str, Any]) -> Schedule:
    """A noise schedule of diffusers from its configuration.

    Raises:
        CheckpointError: the configuration has values that the schedule cannot have.
    """
    try:
        return kind.from_config(dict(config))
    except Exception as error:  # whatever the numbers lead to
        raise CheckpointError(
            f"{folder} holds no noise schedule that can be used: {first_line(error)}; fetch it "
            "again"
        ) from error


def write_about(folder: Path, processing_resolution: int, fit: Fit = RELEASED_FIT) -> None:
    """Note in a checkpoint folder what the released layout has no place for.

    Args:
        folder: of the checkpoint.
        processing_resolution: longest edge in pixels that it was trained for.
        fit: how its map is brought to metres.
    """
    about = {"processing_resolution": processing_resolution, "fit": fit}
    (folder / ABOUT).write_text(json.dumps(about) + "\n")


def _noted(folder: Path) -> tuple[int, Fit]:
    """What `write_about` noted; of a folder without a note, what the released ones are."""
    about = _read_json(folder / ABOUT, ABOUT) if (folder / ABOUT).is_file() else {}
    resolution = about.get("processing_resolution", RELEASED_RESOLUTION)
    if not isinstance(resolution, int) or resolution < 1:
        raise CheckpointError(
            f"{folder / ABOUT}: processing_resolution is {resolution!r}; it is the longest edge in "
            "pixels that the model was trained for, 1 or more"
        )
    fit = about.get("fit", RELEASED_FIT)
    if fit not in get_args(Fit):
        raise CheckpointError(
            f"{folder / ABOUT}: fit is {fit!r}; it is one of {', '.join(get_args(Fit))}"
        )
    return resolution, fit


def _embed_empty_prompt(folder: Path) -> torch.Tensor:
    """The text encoder's last hidden state for "", [1, tokens, channels], float32."""
    # Here, because transformers takes a second to import.
    from transformers import CLIPTextModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # a bar for a part of a second is noise in a log
    encoder = load_part(folder, "text_encoder", CLIPTextModel, torch.float32)
    tokenizer = load_tokenizer(folder)
    ids = tokenizer("", padding="do_not_pad", truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        return encoder.eval()(ids).last_hidden_state.clone()


def _read_json(path: Path, part: str) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{part}/ of the checkpoint lacks {path.name} ({path})")
    return read_json(path)
