# SPDX-License-Identifier: Apache-2.0
"""The one table of models known by name: what each is, where its weights are, on what terms."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["metric", "generator", "sharpener", "tiny-vae"]

HUB = "hub"
RELEASE = "release"
BUNDLED = "bundled"

DEMO_NOTICE = (
    "demo models: small networks, trained for some hours on synthetic rooms. They show what the "
    "method does; do not let a robot rely on them. Released weights: see docs/weights.md."
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


def _metric(
    name: str,
    family: str,
    source: str,
    license: str,
    parameters: float,
    camera: str = "uses",
    origin: str = HUB,
) -> ModelEntry:
    return ModelEntry(name, "metric", family, origin, source, license, parameters, camera)


def _generator(name: str, family: str, source: str, license: str) -> ModelEntry:
    # All are built on Stable Diffusion 2: UNet 866 M and VAE 84 M run, the text encoder does not.
    return ModelEntry(name, "generator", family, HUB, source, license, 950, "ignores")


NON_COMMERCIAL = "CC BY-NC 4.0"

CATALOGUE: tuple[ModelEntry, ...] = (
    _metric("demo", "small-metric", "this package", "Apache-2.0", 4, origin=BUNDLED),
    _metric(
        "unidepth-v1-vitl14", "unidepth-v1", "lpiccinelli/unidepth-v1-vitl14", NON_COMMERCIAL, 347
    ),
    _metric(
        "unidepth-v1-cnvnxtl", "unidepth-v1", "lpiccinelli/unidepth-v1-cnvnxtl", NON_COMMERCIAL, 239
    ),
    _metric(
        "unidepth-v2-vits14", "unidepth-v2", "lpiccinelli/unidepth-v2-vits14", NON_COMMERCIAL, 34
    ),
    _metric(
        "unidepth-v2-vitb14", "unidepth-v2", "lpiccinelli/unidepth-v2-vitb14", NON_COMMERCIAL, 114
    ),
    _metric(
        "unidepth-v2-vitl14", "unidepth-v2", "lpiccinelli/unidepth-v2-vitl14", NON_COMMERCIAL, 354
    ),
    _metric(
        "metric3d-vit-small",
        "metric3d",
        "onnx-community/metric3d-vit-small",
        "BSD-2-Clause",
        37.5,
        "needs",
    ),
    _metric(
        "metric3d-vit-large",
        "metric3d",
        "onnx-community/metric3d-vit-large",
        "BSD-2-Clause",
        412,
        "needs",
    ),
    _metric(
        "depth-anything-v2-indoor-small",
        "transformers",
        "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
        "Apache-2.0",
        24.8,
        "ignores",
    ),
    _metric(
        "depth-anything-v2-outdoor-small",
        "transformers",
        "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf",
        "Apache-2.0",
        24.8,
        "ignores",
    ),
    _metric(
        "depth-anything-v2-indoor-large",
        "transformers",
        "depth-anything/Depth-Anything-V2-Metric-Indoor-Large-hf",
        NON_COMMERCIAL,
        335,
        "ignores",
    ),
    _metric(
        "depth-anything-v2-outdoor-large",
        "transformers",
        "depth-anything/Depth-Anything-V2-Metric-Outdoor-Large-hf",
        NON_COMMERCIAL,
        335,
        "ignores",
    ),
    _metric("depth-pro", "transformers", "apple/DepthPro-hf", "Apple AMLR (research)", 952),
    _metric(
        "zoedepth-nyu-kitti", "transformers", "Intel/zoedepth-nyu-kitti", "MIT", 345, "ignores"
    ),
    _generator("lotus-depth-g-v1-0", "lotus", "jingheya/lotus-depth-g-v1-0", "Apache-2.0"),
    _generator("lotus-depth-d-v1-0", "lotus", "jingheya/lotus-depth-d-v1-0", "Apache-2.0"),
    _generator(
        "lotus-depth-g-v2-1-disparity",
        "lotus",
        "jingheya/lotus-depth-g-v2-1-disparity",
        "Apache-2.0",
    ),
    _generator(
        "lotus-depth-d-v2-0-disparity",
        "lotus",
        "jingheya/lotus-depth-d-v2-0-disparity",
        "Apache-2.0",
    ),
    _generator(
        "marigold-depth-v1-1", "marigold", "prs-eth/marigold-depth-v1-1", "see its model card"
    ),
    ModelEntry("demo", "sharpener", "lotus", BUNDLED, "this package", "Apache-2.0", 7.2, "ignores"),
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
    ModelEntry("taesd", "tiny-vae", "tiny-vae", HUB, "madebyollin/taesd", "MIT", 2.4, "ignores"),
)


def find_model(name: str, *kinds: Kind) -> ModelEntry | None:
    """The entry of that name among the kinds, or None."""
    return next((m for m in CATALOGUE if m.name == name and m.kind in kinds), None)


def names_of(*kinds: Kind) -> list[str]:
    """Every name that can play one of the roles."""
    return [m.name for m in CATALOGUE if m.kind in kinds]


def models_table() -> str:
    """The catalogue as a Markdown table with aligned columns."""
    header = ("name", "kind", "source", "license", "parameters", "camera")
    rows = [
        (f"`{m.name}`", m.kind, m.source, m.license, f"{m.parameters:g} M", m.camera)
        for m in CATALOGUE
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
