# SPDX-License-Identifier: Apache-2.0
"""Small scenes whose depth is known in closed form."""

from collections.abc import Callable

import numpy as np
import pytest

from sharpdepth_ros.synthetic import Scene
from sharpdepth_ros.synthetic.builder import Material, SceneBuilder
from sharpdepth_ros.synthetic.lighting import Sky, Sun
from sharpdepth_ros.synthetic.scene import Ambient


@pytest.fixture
def grey() -> Material:
    """A checkered material."""
    return Material("checker", ((0.6, 0.6, 0.6), (0.2, 0.2, 0.2)))


@pytest.fixture
def scene_of() -> Callable[..., Scene]:
    """A function that makes an outdoor scene of what ``fill(builder)`` adds."""

    def make(fill: Callable[[SceneBuilder], object], sky: bool = True) -> Scene:
        builder = SceneBuilder()
        fill(builder)
        quads, quadrics, materials = builder.surfaces()
        sun = Sun(np.array([0.3, 0.2, -1.0]), np.ones(3))
        return Scene(
            kind="test",
            seed=0,
            quads=quads,
            quadrics=quadrics,
            materials=materials,
            lights=(sun,),
            ambient=Ambient(np.full(3, 0.3), np.full(3, 0.2)),
            sky=Sky(np.full(3, 0.4), np.full(3, 0.7), sun, 0.5, (0, 0)) if sky else None,
            indoors=False,
            motions=tuple(builder.motions),
            ground=(-3, 3, -3, 3),
        )

    return make
