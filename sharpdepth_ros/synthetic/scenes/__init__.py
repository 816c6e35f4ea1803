# SPDX-License-Identifier: Apache-2.0
"""Scene generators, one file per kind, and the door to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sharpdepth_ros.synthetic.scene import Scene
from sharpdepth_ros.synthetic.scenes.corridor import make_corridor
from sharpdepth_ros.synthetic.scenes.room import make_room
from sharpdepth_ros.synthetic.scenes.shapes import make_shapes
from sharpdepth_ros.synthetic.scenes.street import make_street

_MAKERS: dict[str, Callable[[int], Scene]] = {
    "room": make_room,
    "corridor": make_corridor,
    "street": make_street,
    "shapes": make_shapes,
}
KINDS = (*_MAKERS, "random")


def check_kind(kind: str) -> str:
    """The kind; ValueError if there is none of that name."""
    if kind not in KINDS:
        raise ValueError(f"no scene kind {kind!r}; choose one of {', '.join(KINDS)}")
    return kind


def make_scene(kind: str = "random", seed: int = 0) -> Scene:
    """A scene of a kind; "random" draws one of the others. The seed decides everything in it."""
    check_kind(kind)
    if seed != int(seed) or seed < 0:
        raise ValueError(f"seed is {seed!r}; give a whole number, 0 or more")
    seed = int(seed)
    if kind == "random":
        kind = list(_MAKERS)[int(np.random.default_rng([seed, 5]).integers(len(_MAKERS)))]
    return _MAKERS[kind](seed)
