# SPDX-License-Identifier: Apache-2.0
"""The order of work of the released script, for comparison: one pass after another, eagerly, each
encoding alone, and the alignment by numpy on the host at the image's own size."""

import time

import numpy as np
import torch

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.pipeline.alignment import AGREEMENT
from sharpdepth_ros.pipeline.discrepancy import DepthRange, discrepancy_map, gate_latent
from sharpdepth_ros.pipeline.resizing import to_processing_size


class ReleasedArrangement:
    """Called like the pipeline; answers depth [H, W] and milliseconds per stage."""

    def __init__(self, model: DepthDiffusion, metric_model: MetricDepthModel) -> None:
        """Args: both float32."""
        self._model, self._metric_model = model, metric_model

    @torch.inference_mode()
    def __call__(self, rgb: np.ndarray, resolution: int) -> tuple[np.ndarray, dict[str, float]]:
        model, device = self._model, self._model.device
        clock = _Clock(device)
        batch = torch.from_numpy(rgb).to(device).permute(2, 0, 1)[None]
        image = to_processing_size(batch, None, resolution, model.stride)
        noise = torch.randn(2, *model.noise_shape(*image.rgb.shape[-2:]), device=device)
        clock("preprocess")
        metric_depth = self._metric_model.infer(image.rgb8).depth.to(device)
        clock("metric")
        normalised = DepthRange.of(metric_depth).normalise(metric_depth)
        image_latent = model.encode(image.rgb * 2 - 1)
        metric_latent = model.encode(normalised.expand(-1, 3, -1, -1))
        clock("encode")
        latent = model.generate(image_latent, noise[0])
        drawn = model.decode(latent).mean(1, keepdim=True)
        clock("generate")
        discrepancy = discrepancy_map(drawn, normalised)
        renoised = model.renoise(latent, noise[1])
        gated = gate_latent(discrepancy, renoised, metric_latent, model.stride)
        clock("gate")
        sharpened = model.decode(model.predict(image_latent, gated)).mean(1, keepdim=True)
        clock("sharpen")
        affine, metric, agrees = (
            image.restore(maps)[0, 0].cpu().numpy()
            for maps in (sharpened, metric_depth, 1 - discrepancy)
        )
        mask = agrees > AGREEMENT
        columns = np.stack([affine[mask], np.ones(mask.sum())], axis=1)
        scale, shift = np.linalg.lstsq(columns, metric[mask], rcond=None)[0]
        depth = scale * affine + shift
        clock("align")
        return depth, clock.milliseconds


class _Clock:
    """The stages of one frame, each waited for, as a script does that prints its times."""

    def __init__(self, device: torch.device) -> None:
        self.milliseconds: dict[str, float] = {}
        self._device = device
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.milliseconds[stage] = (now - self._last) * 1e3
        self._last = now
