# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: the one table of names, types, defaults, ranges and meanings.

Each field of `Parameters` is one ROS parameter. Launch arguments, config/sharpdepth.yaml and
docs/parameters.md are made from this table or checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sharpdepth_ros.io.intensity_range import IntensityRange

#: ROS names of the types a parameter may have.
TYPE_NAMES = {"bool": "bool", "int": "integer", "float": "double", "str": "string"}


@dataclass(frozen=True)
class Spec:
    """What is known about a parameter besides its name, type and default.

    Attributes:
        description: one or two sentences for `ros2 param describe` and the documentation.
        choices: the values allowed, empty where any is.
        low: smallest value allowed.
        high: largest value allowed.
        reload: a change needs the models loaded again, so it is refused while the node is active.
        startup: read once when the node starts and read-only from then on.
    """

    description: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    reload: bool = False
    startup: bool = False


def _parameter(default: Any, description: str, **spec: Any) -> Any:
    return field(default=default, metadata={"spec": Spec(description, **spec)})


@dataclass(frozen=True)
class Parameters:
    """The values of all parameters at one instant."""

    autostart: bool = _parameter(
        True,
        "Configure and activate the node when it starts. False leaves that to a lifecycle manager.",
        startup=True,
    )
    model: str = _parameter(
        "demo",
        "The sharpener: a checkpoint folder (unet/, vae/, scheduler/, ...) or a known name.",
        reload=True,
    )
    metric_model: str = _parameter(
        "demo",
        "The metric depth model that gives the scale: a name of the registry or a folder.",
        reload=True,
    )
    generator: str = _parameter(
        "",
        "Checkpoint of the generator's UNet for the first pass; empty: the sharpener's own.",
        reload=True,
    )
    mode: str = _parameter(
        "sharpdepth",
        "What depth is: sharpdepth (the method), aligned (the generator fitted to the metric "
        "depth) or metric (the metric model alone).",
        choices=("sharpdepth", "aligned", "metric"),
    )
    device: str = _parameter(
        "auto", "torch device: auto (cuda where there is one), cpu, cuda, cuda:1.", reload=True
    )
    precision: str = _parameter(
        "auto",
        "Arithmetic of the networks; auto takes what the device is fast at.",
        choices=("auto", "fp32", "tf32", "bf16", "fp16"),
        reload=True,
    )
    compile: bool = _parameter(
        False, "Compile the networks with torch.compile while configuring (minutes).", reload=True
    )
    cuda_graphs: bool = _parameter(
        False,
        "Record the networks' work for each image size once and replay it (CUDA only).",
        reload=True,
    )
    backend: str = _parameter(
        "torch",
        "What runs the diffusion networks: torch, openvino (CPU only; pip install "
        "'sharpdepth_ros[openvino]'), or auto: openvino on an x86 CPU where it is installed.",
        choices=("torch", "openvino", "auto"),
        reload=True,
    )
    preset: str = _parameter(
        "accurate",
        "How much work a frame gets (docs/speed.md): from accurate, the method as published, to "
        "fastest.",
        choices=("accurate", "balanced", "fast", "fastest"),
        reload=True,
    )
    tiny_vae: str = _parameter(
        "",
        "The distilled VAE of the presets other than accurate: a folder or a known name; empty: "
        "tiny_vae/ beside the model, or taesd for released ones.",
        reload=True,
    )
    generator_every: int = _parameter(
        0,
        "The generator's first pass is made on every n-th frame, the sharpener's on all; 0: as "
        "the preset says.",
        low=0,
        high=100,
    )
    processing_resolution: int = _parameter(
        -1,
        "Longest edge in pixels at which the networks see the image, before the preset's scale; "
        "0: the image's own size, -1: what the model was trained for (768 for the released ones).",
        low=-1,
        high=4096,
    )
    fit: str = _parameter(
        "auto",
        "How the affine depth is brought to metres: least-squares of the metres (as released), "
        "relative (near and far count alike), or auto: as the model's folder says.",
        choices=("auto", "least-squares", "relative"),
    )
    lotus_steps: int = _parameter(
        1, "Denoising steps of the generator's first pass.", low=1, high=50
    )
    seed: int = _parameter(
        0,
        "Seed of the noise. The noise is the same in each frame, so a still scene stays still.",
        low=0,
        high=2**31 - 1,
    )
    sync: str = _parameter(
        "exact",
        "How an image finds its camera_info: exact (equal stamps), approximate (within sync_slop) "
        "or latest (the last one received, for drivers that send it once or latched).",
        choices=("exact", "approximate", "latest"),
        reload=True,
    )
    sync_slop: float = _parameter(
        0.02,
        "Largest difference of stamps in seconds for sync approximate.",
        low=0.0,
        high=10.0,
        reload=True,
    )
    image_transport: str = _parameter(
        "raw",
        "Transport of the input: raw (sensor_msgs/Image on image) or compressed "
        "(sensor_msgs/CompressedImage on image/compressed).",
        choices=("raw", "compressed"),
        reload=True,
    )
    intensity_range: str = _parameter(
        "auto",
        "Counts of 16-bit pictures that are black and white: auto (the camera's bits, or the band "
        "of a thermal camera, read from the data; it widens and never narrows while the node is "
        "configured), full (0 to 65535), or two counts such as 7000,8500.",
    )
    rectify: bool = _parameter(
        True,
        "Undo the distortion that camera_info describes. False: the image is rectified already and "
        "its camera is camera_info's P.",
    )
    depth_encoding: str = _parameter(
        "32FC1",
        "Encoding of depth/image_rect: 32FC1 (metres, NaN invalid) or 16UC1 (millimetres, "
        "0 invalid, saturates at 65.535 m).",
        choices=("32FC1", "16UC1"),
    )
    min_depth: float = _parameter(
        0.0, "Depth below this many metres becomes invalid.", low=0.0, high=1000.0
    )
    max_depth: float = _parameter(
        100.0, "Depth above this many metres becomes invalid.", low=0.0, high=1000.0
    )
    point_stride: int = _parameter(
        1, "The cloud has every n-th row and column of the depth image.", low=1, high=64
    )
    point_color: bool = _parameter(True, "Points carry the image's colour in a field rgb.")
    point_confidence: bool = _parameter(
        False, "Points carry a field confidence, 1 - discrepancy, from 0 to 1."
    )
    min_confidence: float = _parameter(
        0.0,
        "Depth whose confidence (1 - discrepancy) is below this becomes invalid; 0 keeps all.",
        low=0.0,
        high=1.0,
    )
    edge_filter: float = _parameter(
        0.0,
        "Smallest angle in degrees between a surface and the viewing ray; depth that is seen at a "
        "smaller one is a flying point and becomes invalid. 0 keeps all, 1 to 3 is usual.",
        low=0.0,
        high=45.0,
    )
    scale_smoothing: float = _parameter(
        0.0,
        "Share of the frame-to-frame change in overall scale that is removed where the picture "
        "stands still; 0 removes none.",
        low=0.0,
        high=0.99,
    )
    max_rate: float = _parameter(
        0.0,
        "Largest number of frames per second to process; 0: as fast as it goes.",
        low=0.0,
        high=1000.0,
    )

    snapshot_folder: str = _parameter(
        "", "Where ~/save_snapshot writes; empty: sharpdepth in $ROS_HOME or ~/.ros."
    )

    def changed(self, changes: Mapping[str, Any]) -> Parameters:
        """These values with some of them replaced, checked one by one and together.

        An integer is taken where a double is meant.

        Raises:
            ValueError: a value has another type, is out of range or does not fit the others.
        """
        result = replace(self, **{name: checked(name, value) for name, value in changes.items()})
        if result.min_depth >= result.max_depth:
            raise ValueError(
                f"min_depth {result.min_depth} must be below max_depth {result.max_depth}; "
                "set both in one call"
            )
        IntensityRange(result.intensity_range)
        return result

    def reload_needed(self, other: Parameters) -> tuple[str, ...]:
        """The names of parameters that differ from `other` and need a reload."""
        return tuple(
            name
            for name, spec in SPECS.items()
            if spec.reload and getattr(self, name) != getattr(other, name)
        )


#: name -> Spec, in the table's order.
SPECS: dict[str, Spec] = {f.name: f.metadata["spec"] for f in fields(Parameters)}
#: name -> default, in the table's order.
DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Parameters)}


def of_type(default: Any, value: Any) -> Any:
    """The value, as a double if the default is one and the value an integer."""
    return float(value) if isinstance(default, float) and type(value) is int else value


def checked(name: str, value: Any) -> Any:
    """A value of a parameter, as its type.

    Raises:
        ValueError: it has another type or is out of range.
    """
    default, spec = DEFAULTS[name], SPECS[name]
    value = of_type(default, value)
    if type(value) is not type(default):
        kind = TYPE_NAMES[type(default).__name__]
        raise ValueError(
            f"{name} is {'an' if kind == 'integer' else 'a'} {kind}, got {value!r}"
            + (f": quote it as in '\"{value}\"'" if kind == "string" else "")
        )
    if spec.choices and value not in spec.choices:
        raise ValueError(f"{name} must be one of {', '.join(spec.choices)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a number, got {value}")
    if spec.low is not None and not spec.low <= value <= spec.high:
        raise ValueError(f"{name} must be from {spec.low} to {spec.high}, got {value}")
    return value
