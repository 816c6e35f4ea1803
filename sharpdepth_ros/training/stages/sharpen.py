# SPDX-License-Identifier: Apache-2.0
"""SharpDepth's training: distils a sharpener from Lotus and a metric model, without labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.registry import load_metric_model
from sharpdepth_ros.refiners import sharpdepth as method
from sharpdepth_ros.refiners.discrepancy import Gate
from sharpdepth_ros.training.config import Count, Natural, Share, Weight
from sharpdepth_ros.training.data import Batch, mirror
from sharpdepth_ros.training.diffusers_folder import (
    find_checkpoint,
    folder_digest,
    load_for_training,
    write_trained,
)
from sharpdepth_ros.training.disk_cache import DiskCache
from sharpdepth_ros.training.ema import Ema
from sharpdepth_ros.training.losses import noise_aware_reconstruction, sds_distillation


@dataclass(frozen=True)
class SharpenOptions:
    """Options of the stage; the defaults are the released training's.

    Attributes:
        lotus: f_G: a name, a folder, or the folder of a Lotus training. The student starts
            as its copy.
        metric_model: f_D: a name, a folder, or the folder of a metric training.
        gate: where noise goes (see `refiners.discrepancy.gate_strength`).
        gate_noise: "released" (the generator's latent, noised) or "pure" (the paper).
        gate_probability: share of the samples that get the gated latent; the others get noise.
        teacher: what makes the generator pass: the student's moving average "ema", the frozen
            "lotus", or the "student" itself.
        reconstruction_weight: lambda; 0.4 in the released code, 0.3 in the paper.
        ema_decay, ema_start, ema_every: of the moving average.
        metric_cache: folder in which f_D's depth maps are kept, half precision; None for none.
        init: folder of a student to start from; None for `lotus`.
    """

    lotus: str
    metric_model: str
    gate: Gate = "noise-aware"
    gate_noise: method.GateNoise = "released"
    gate_probability: Share = 0.8
    teacher: Literal["ema", "lotus", "student"] = "ema"
    reconstruction_weight: Weight = 0.4
    ema_decay: Share = 0.9999
    ema_start: Natural = 100
    ema_every: Count = 10
    metric_cache: str | None = None
    init: str | None = None


class SharpenStage:
    """SDS towards the frozen Lotus plus the noise-aware reconstruction of the metric depth."""

    needs_depth = False

    def __init__(self, options: SharpenOptions) -> None:
        self._options = options
        self._base = find_checkpoint(options.lotus, "generator")
        self._lotus = load_for_training(self._base)
        if not self._lotus.takes_noise:
            raise ValueError(
                f"{self._base} takes no noise (a Lotus-D); a sharpener is distilled from a "
                "generative one (Lotus-G)"
            )
        start = options.lotus if options.init is None else options.init
        self._student = load_for_training(find_checkpoint(start, "generator", "sharpener"))
        self._student.vae = self._lotus.vae  # one copy: it is frozen
        self.network = self._student.unet.requires_grad_(True)
        self.multiple = self._student.stride
        self.state = None
        if options.teacher == "ema":
            self.state = Ema(self.network, options.ema_decay, options.ema_start, options.ema_every)
        self._metric_model = None
        self._metric_folder = find_checkpoint(options.metric_model, "metric")
        self.contents = {
            "stage.lotus": folder_digest(self._base),
            "stage.metric_model": folder_digest(self._metric_folder),
        }
        self._cache = None
        if options.metric_cache is not None:
            self._cache = DiskCache(Path(options.metric_cache), self.contents["stage.metric_model"])

    def attach(self, network: nn.Module, device: torch.device) -> None:
        self._device = device
        self._lotus.to(device)
        self._student.to(device)
        self._student.unet = network
        if self.state is not None:
            self.state.network.to(device)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        student, lotus, options = self._student, self._lotus, self._options
        with torch.no_grad():
            metric = mirror(self._metric_depth(batch), batch.flip)
            batch = batch.mirrored()
            z_i, depth = method.encode(student, batch.rgb.float() / 127.5 - 1, metric)
            with self._teacher() as teacher:
                z_g, d_g = method.generate(teacher, student, z_i, torch.randn_like(z_i))
            noise = torch.randn_like(z_i)
            z_gated, e = method.gate(
                student, depth.z_d, depth.n, z_g, d_g, noise, options.gate, options.gate_noise
            )
            shown = torch.rand(len(metric), 1, 1, 1, device=metric.device)
            given = torch.where(shown < options.gate_probability, z_gated, noise)
        z_s, d_s = method.sharpen(student, student, z_i, given)
        with torch.no_grad():
            prior = lotus.predict(z_i, student.renoise(z_s, torch.randn_like(z_s)))
        signal = float(student.scheduler.alphas_cumprod[student.last_timestep])
        # The normalised form of a flat wall is its noise: nothing to reconstruct.
        weight = e * (~depth.flat).view(-1, 1, 1, 1)
        parts = {
            "sds": sds_distillation(z_s, prior, signal),
            "reconstruction": noise_aware_reconstruction(d_s, depth.n, weight),
        }
        loss = parts["sds"] + options.reconstruction_weight * parts["reconstruction"]
        return loss, {**parts, "discrepancy": e.mean()}

    def updated(self) -> None:
        if self.state is not None:
            self.state.update(self.network)

    def export(self, folder: Path) -> None:
        write_trained(folder, self.network, self._base)

    @contextmanager
    def _teacher(self) -> Iterator[DepthDiffusion]:
        """What makes the generator pass."""
        if self._options.teacher == "lotus":
            yield self._lotus
        elif self._options.teacher == "student":
            yield self._student
            # Autocast keeps the weights that it cast here, without gradient, for the next pass.
            torch.clear_autocast_cache()
        else:
            trained, self._student.unet = self._student.unet, self.state.network
            try:
                yield self._student
            finally:
                self._student.unet = trained

    def _metric_depth(self, batch: Batch) -> torch.Tensor:
        """f_D of the images as they are in the file, [B, 1, h, w] metres."""
        if self._cache is None:
            return self._infer(batch)
        depth = self._cache.read(
            batch.keys,
            (1, *batch.rgb.shape[-2:]),
            lambda missing: self._infer(batch.part(missing)),
        )
        return depth.to(batch.rgb.device)

    def _infer(self, batch: Batch) -> torch.Tensor:
        if self._metric_model is None:  # a run whose cache is complete never loads it
            self._metric_model = load_metric_model(
                self._metric_folder, device=self._device, precision="fp32"
            )
        with torch.autocast(batch.rgb.device.type, enabled=False):
            return self._metric_model.infer(batch.rgb, batch.intrinsics).depth.float()
