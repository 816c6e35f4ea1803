# SPDX-License-Identifier: Apache-2.0
"""What every generative depth model f_G looks like from outside: sharp edges, no scale."""

from typing import Literal, Protocol

import torch

Space = Literal["depth", "disparity"]
"""What a generator's map is affine to: metres, or one over metres (Lotus v2, some Marigolds)."""

Fit = Literal["least-squares", "relative"]
"""How an affine map is brought to metres: by squared metres, as released, or by the errors' share
of the depth (see pipeline/alignment.py)."""

RELEASED_FIT: Fit = "least-squares"


class DepthGenerator(Protocol):
    """Anything that draws affine-invariant depth for an image.

    Attributes:
        space: what its map is affine to.
        stride: the image's edges must be multiples of this.
        max_steps: most denoising steps it can take.
        processing_resolution: longest edge in pixels that it was trained for.
        fit: how its map is brought to metres unless a call says otherwise.
        device: where it runs.
    """

    space: Space
    stride: int
    max_steps: int
    processing_resolution: int
    fit: Fit
    device: torch.device

    def noise_shape(self, height: int, width: int) -> tuple[int, ...] | None:
        """Shape of the standard normal noise it starts from; None where it starts from none."""
        ...

    def compile_networks(self) -> None:
        """Run its networks through torch.compile from now on."""
        ...

    def draw(self, rgb: torch.Tensor, noise: torch.Tensor | None, steps: int) -> torch.Tensor:
        """The map, float32 [B, 1, h, w] in [0, 1].

        Args:
            rgb: [B, 3, h, w] in [0, 1].
            noise: of `noise_shape`, or None.
            steps: denoising steps.
        """
        ...
