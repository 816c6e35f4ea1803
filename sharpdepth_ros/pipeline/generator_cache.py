# SPDX-License-Identifier: Apache-2.0
"""Keeps the generator's draft of one frame for the next ones of the same camera.

Why that is sound while the camera moves: the sharpener sees the draft in two ways. Its latent
enters as noise at t = 999, where a fifteenth of its amplitude is left (0.068 with the released
schedule), beside the latent of the image itself, which is new in every frame. And the
discrepancy is made of it: that is computed against each frame's own metric depth, so that where
the scene has moved on from the draft the two disagree, the gate opens, and the sharpener redraws
that place from the image; what is lost there is f_D's word, and the pixels leave the alignment.
The draft's depth is affine to its own frame's range, so it is carried over in metres. After a cut,
or a turn that leaves little of the old picture, nothing of this holds and the draft is dropped.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import torch

from sharpdepth_ros.refiners.discrepancy import DepthRange

SCENE_CHANGE = 0.12
"""Mean difference of two pictures, of 1 for black against white, that is another scene. A camera
that turns a few degrees is below it, a cut or a turn by half the view above."""

THUMBNAIL = 32
"""Pixels of the longest edge at which pictures are compared."""


@dataclass(frozen=True)
class Draft:
    """The generator pass of a frame.

    Attributes:
        latent: [1, C, ...], z_g.
        drawn: [1, 1, h, w], its depth, about [-1, 1].
        extent: the range of the metric depth that [-1, 1] stood for.
    """

    latent: torch.Tensor
    drawn: torch.Tensor
    extent: DepthRange


class DraftMemory:
    """The last draft of one camera. Not for several cameras or threads."""

    def __init__(self, every: int, scene_change: float = SCENE_CHANGE) -> None:
        """An empty memory.

        Args:
            every: a draft serves this many frames, its own counted in.
            scene_change: mean difference from the draft's picture, of 1, that makes a new one due.

        Raises:
            ValueError: `every` is under 1.
        """
        if every < 1:
            raise ValueError(f"generator_every is {every}; give 1 or more frames")
        self.every = every
        self._scene_change = scene_change
        self._draft: Draft | None = None
        self._key: Hashable = None
        self._age = 0
        self._picture: torch.Tensor | None = None
        self._shown: torch.Tensor | None = None

    def recall(self, key: Hashable, image: torch.Tensor) -> Draft | None:
        """The draft for the next frame; None where a new one is due, which `keep` then takes.

        Args:
            key: what drafts depend on besides the picture.
            image: uint8 [H, W, 3]. On the host it is compared with the draft's; on a GPU that
                would wait, and only the number of frames counts.
        """
        self._shown = _thumbnail(image)
        self._age += 1
        due = (
            self._draft is None
            or key != self._key
            or self._age >= self.every
            or self._differs(self._shown)
        )
        if due:
            self._draft, self._key = None, key
        return self._draft

    def keep(self, draft: Draft) -> None:
        """The draft of the frame that `recall` was last asked for."""
        if self.every > 1:
            self._draft, self._age, self._picture = draft, 0, self._shown

    def _differs(self, shown: torch.Tensor | None) -> bool:
        if shown is None or self._picture is None or shown.shape != self._picture.shape:
            return shown is not self._picture
        return (shown - self._picture).abs().mean().item() > self._scene_change


def _thumbnail(image: torch.Tensor) -> torch.Tensor | None:
    if image.device.type != "cpu":
        return None
    step = max(1, max(image.shape[:2]) // THUMBNAIL)
    return image[step // 2 :: step, step // 2 :: step].float() / 255
