# SPDX-License-Identifier: Apache-2.0
"""The two noise draws of a frame: the same for every frame of a stream, or the caller's own."""

from dataclasses import dataclass

import torch

from sharpdepth_ros.pipeline.output import Array

Shape = tuple[int, ...] | None


@dataclass(frozen=True)
class Noise:
    """The standard normal draws of a frame, float32; None where nothing needs one."""

    generator: torch.Tensor | None
    gate: torch.Tensor | None

    @property
    def both(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        return self.generator, self.gate


class NoiseSource:
    """Draws noise by seed and keeps it, so that a still scene gives a still depth map."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._key: tuple | None = None
        self._kept: Noise

    def draw(self, generator: Shape, gate: Shape, seed: int) -> Noise:
        """The seed's noise for these shapes; a shape of None gets none."""
        key = (seed, generator, gate)
        if key != self._key:
            # Drawn on the host: the same noise, and so the same depth, on every device.
            source = torch.Generator().manual_seed(seed)
            draws = (shape and torch.randn(shape, generator=source) for shape in key[1:])
            self._kept = Noise(*(None if d is None else d.to(self._device) for d in draws))
            self._key = key
        return self._kept

    def take(
        self, generator: Shape, gate: Shape, given: tuple[Array | None, Array | None]
    ) -> Noise:
        """The caller's noise, checked.

        Raises:
            ValueError: a draw that is needed is missing or of another shape.
        """
        draws = zip(("noise_generator", "noise_gate"), (generator, gate), given, strict=True)
        return Noise(*(self._checked(*draw) for draw in draws))

    def _checked(self, name: str, shape: Shape, noise: Array | None) -> torch.Tensor | None:
        if shape is None:
            return None
        if noise is None:
            raise ValueError(f"{name} is None; this image and mode need {list(shape)}")
        noise = torch.as_tensor(noise, dtype=torch.float32)
        if noise.shape != shape:
            raise ValueError(f"{name} is {list(noise.shape)}; this image needs {list(shape)}")
        return noise.to(self._device)
