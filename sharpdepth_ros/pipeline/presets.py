# SPDX-License-Identifier: Apache-2.0
"""The one table of presets: how much of the method's work is spent on a frame."""

from dataclasses import dataclass
from typing import Literal

TinyVaeUse = Literal["never", "discrepancy", "decoders", "always"]


@dataclass(frozen=True)
class Preset:
    """A point between accuracy and speed; docs/speed.md has what each costs.

    Attributes:
        tiny_vae: what a distilled VAE does in the place of the checkpoint's own: nothing; decode
            the generator's latent, which only the discrepancy is made of; decode both latents;
            or encode as well.
        resolution_scale: the longest edge that the networks see, as a share of
            processing_resolution.
        generator_every: the generator pass runs on every n-th frame of a stream, the sharpener on
            all (see `draft_memory`).
    """

    tiny_vae: TinyVaeUse = "never"
    resolution_scale: float = 1.0
    generator_every: int = 1


PRESETS: dict[str, Preset] = {
    "accurate": Preset(),
    "balanced": Preset(tiny_vae="discrepancy"),
    "fast": Preset(tiny_vae="decoders", generator_every=2),
    "fastest": Preset(tiny_vae="always", resolution_scale=0.75, generator_every=3),
}
"""From the released arrangement of the method to the least work that still sharpens."""


def find_preset(preset: str | Preset) -> Preset:
    """A preset by name.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is not one of {', '.join(PRESETS)}")
    return PRESETS[preset]
