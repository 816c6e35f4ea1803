# SPDX-License-Identifier: Apache-2.0
"""The order of work of the released script, for comparison: one pass after another, eagerly, each
encoding alone, and the alignment by numpy on the host at the image's own size."""

import time

import numpy as np
import torch

from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.pipeline.alignment import AGREEMENT
from sharpdepth_ros.pipeline.resizing import to_processing_size
from sharpdepth_ros.refiners import sharpdepth as method


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
        z_i = method.encode_image(model, image.rgb * 2 - 1)
        depth = method.encode_depth(model, metric_depth)
        clock("encode")
        z_g, d_g = method.generate(model, model, z_i, noise[0])
        clock("generate")
        z_gated, e = method.gate(model, depth.z_d, depth.n, z_g, d_g, noise[1])
        clock("gate")
        _, d_s = method.sharpen(model, model, z_i, z_gated)
        clock("sharpen")
        affine, metric, agrees = (
            image.restore(maps)[0, 0].cpu().numpy() for maps in (d_s, metric_depth, 1 - e)
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
