# SPDX-License-Identifier: Apache-2.0
"""A scene: surfaces, materials, light and motion, ready to be rendered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sharpdepth_ros.synthetic.lighting import Lamp, ShadowMap, Sky, Sun, shadow_map
from sharpdepth_ros.synthetic.primitives import Quadrics, Quads, select


@dataclass(frozen=True)
class Materials:
    """What surfaces look like; m materials.

    texture   int64 [m]: number in the texture library
    colours   float32 [m, 4, 3]: the texture's four colours, linear RGB reflectance
    emission  float32 [m]: light given off, as a multiple of the colour
    gloss     float32 [m]: share of the sky (or of the ambient light) that is mirrored
    """

    texture: np.ndarray
    colours: np.ndarray
    emission: np.ndarray
    gloss: np.ndarray


@dataclass(frozen=True)
class Motion:
    """How a body moves along the straight ``travel`` [3] (metres, from its place at time 0).

    It goes back and forth, slowing at the ends, or with ``wraps`` starts again at the beginning.
    """

    travel: tuple[float, float, float]
    period: float
    phase: float = 0.0
    wraps: bool = False

    def offset(self, time: float) -> np.ndarray:
        """Displacement [3] at ``time`` seconds."""
        turn = time / self.period + self.phase
        share = turn % 1.0 if self.wraps else 0.5 - 0.5 * np.cos(2 * np.pi * turn)
        return share * np.asarray(self.travel)


@dataclass(frozen=True)
class Ambient:
    """Light from all around: from above, from below, and how much more from the +x, +y side."""

    above: np.ndarray
    below: np.ndarray
    tilt: tuple[float, float] = (0.12, 0.07)


@dataclass(frozen=True)
class Scene:
    """Everything that can be seen. World frame: z up, the floor near z = 0, metres.

    sky        what is seen where there is no surface; None for black
    indoors    glossy surfaces mirror the room, not the sky
    ground     (x_min, x_max, y_min, y_max): the area in which a camera may move
    eye_height (lowest, highest) sensible camera height above the floor
    far_view   a typical free viewing distance that a good viewpoint should have
    """

    kind: str
    seed: int
    quads: Quads
    quadrics: Quadrics
    materials: Materials
    lights: tuple[Sun | Lamp, ...]
    ambient: Ambient
    sky: Sky | None
    indoors: bool
    motions: tuple[Motion, ...] = ()
    ground: tuple[float, float, float, float] = (-1.0, 1.0, -1.0, 1.0)
    eye_height: tuple[float, float] = (0.3, 1.7)
    far_view: float = 2.0
    shadow_size: int = 1024
    _static_shadows: tuple[ShadowMap, ...] = field(default=(), repr=False)

    @cached_property
    def shadows(self) -> tuple[ShadowMap, ...]:
        """One shadow map per light. What stands still is drawn once, however the rest moves."""
        static = self._static_shadows or self._still_shadows
        if not self.motions:
            return static
        quads = select(self.quads, (self.quads.mover >= 0) & self.quads.casts)
        quadrics = select(self.quadrics, (self.quadrics.mover >= 0) & self.quadrics.casts)
        return tuple(shadow.with_casters(quads, quadrics) for shadow in static)

    @cached_property
    def _still_shadows(self) -> tuple[ShadowMap, ...]:
        quads = select(self.quads, (self.quads.mover < 0) & self.quads.casts)
        quadrics = select(self.quadrics, (self.quadrics.mover < 0) & self.quadrics.casts)
        return tuple(shadow_map(light, quads, quadrics, self.shadow_size) for light in self.lights)

    def at(self, time: float) -> Scene:
        """The scene with its moving bodies where they are at ``time`` seconds."""
        if not self.motions:
            return self
        offsets = np.array([motion.offset(time) for motion in self.motions])
        moved = np.flatnonzero(self.quads.mover >= 0)
        shift = offsets[self.quads.mover[moved]]
        vertices, texture = self.quads.vertices.copy(), self.quads.texture.copy()
        vertices[moved] += shift[:, None]
        texture[moved, :, 3] -= np.einsum("nij,nj->ni", texture[moved, :, :3], shift)
        moved = np.flatnonzero(self.quadrics.mover >= 0)
        shift = offsets[self.quadrics.mover[moved]]
        to_local = self.quadrics.to_local.copy()
        to_local[moved, :, 3] -= np.einsum("nij,nj->ni", to_local[moved, :, :3], shift)
        return replace(
            self,
            quads=replace(self.quads, vertices=vertices, texture=texture),
            quadrics=replace(self.quadrics, to_local=to_local),
            _static_shadows=self._still_shadows,
        )
