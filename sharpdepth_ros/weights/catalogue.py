# SPDX-License-Identifier: Apache-2.0
"""The one table of models known by name: what each is, where its weights are, on what terms."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["metric", "generator", "sharpener"]

HUB = "hub"
RELEASE = "release"
BUNDLED = "bundled"

DEMO_NOTICE = (
    "demo models: small networks with random weights. They show that everything runs; their depth "
    'means nothing. Real weights: see README, "Weights".'
)
"""What a program says first when it runs on the demo models."""


@dataclass(frozen=True)
class ModelEntry:
    """A model that `from_pretrained` and `load_metric_model` accept by name.

    Attributes:
        name: as the user writes it.
        kind: the role it can play.
        family: the class of network, which decides the loader.
        origin: "hub" (a Hugging Face repository), "release" (files of a GitHub release) or
            "bundled" (made by this package).
        source: the repository, `owner/name`.
        license: of the weights.
        parameters: millions.
        camera: whether the model needs the intrinsics, uses them when given, or ignores them.
    """

    name: str
    kind: Kind
    family: str
    origin: str
    source: str
    license: str
    parameters: float
    camera: Literal["needs", "uses", "ignores"]


CATALOGUE: tuple[ModelEntry, ...] = (
    ModelEntry(
        "demo", "metric", "unidepth-v1", BUNDLED, "sharpdepth_ros", "Apache-2.0", 26, "uses"
    ),
    ModelEntry(
        "unidepth-v1-vitl14",
        "metric",
        "unidepth-v1",
        HUB,
        "lpiccinelli/unidepth-v1-vitl14",
        "CC BY-NC 4.0",
        347,
        "uses",
    ),
    ModelEntry(
        "lotus-depth-g-v1-0",
        "generator",
        "lotus",
        HUB,
        "jingheya/lotus-depth-g-v1-0",
        "Apache-2.0",
        950,
        "ignores",
    ),
    ModelEntry("demo", "sharpener", "lotus", BUNDLED, "sharpdepth_ros", "Apache-2.0", 2, "ignores"),
    ModelEntry(
        "sharpdepth",
        "sharpener",
        "lotus",
        RELEASE,
        "Qualcomm-AI-research/SharpDepth",
        "BSD-3-Clause-Clear",
        950,
        "ignores",
    ),
)


def find_model(name: str, *kinds: Kind) -> ModelEntry | None:
    """The entry of that name among the kinds, or None."""
    return next((m for m in CATALOGUE if m.name == name and m.kind in kinds), None)


def names_of(*kinds: Kind) -> list[str]:
    """Every name that can play one of the roles."""
    return [m.name for m in CATALOGUE if m.kind in kinds]
