# SPDX-License-Identifier: Apache-2.0
"""Metric3D v2 through ONNX Runtime: any image and its camera to metric depth.

The network sees every camera as one with a focal length of 1000 pixels, the canonical camera, and
the known focal length turns its answer into metres (YvanYin/Metric3D hubconf.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from sharpdepth_ros.models.focal_length import horizontal_focal_lengths
from sharpdepth_ros.models.metric import MetricDepth, check_inputs
from sharpdepth_ros.models.safe_loading import CheckpointError, first_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CANONICAL_FOCAL = 1000.0
MAX_DEPTH = 300.0
"""Metres; upstream clamps to it after the canonical camera is undone."""

PADDING_COLOUR = (123.675, 116.28, 103.53)
"""The mean that the graph subtracts, so that padding is zero to the network."""

VIT_SIZE = (616, 1064)
CONVNEXT_SIZE = (544, 1216)
"""Height and width that the two architectures were published with."""

IMAGE_INPUTS = ("pixel_values", "image")
DEPTH_OUTPUTS = ("predicted_depth", "pred_depth")
"""Names in the graphs of onnx-community, and in those of upstream's onnx/metric3d_onnx_export.py.

Both subtract the mean and divide by the deviation inside the graph: they take colours of 0..255.
"""

CONFIDENCE_OUTPUT = "confidence"
"""The depth's confidence, trained to be 1 - relative error, as Metric3D's own inference calls it.

The published graphs do not have it. Their `normal_confidence` is the concentration of the surface
normal and says nothing about depth.
"""

ELEMENT_TYPES = {
    "tensor(float)": (torch.float32, np.float32),
    "tensor(float16)": (torch.float16, np.float16),
}


class Metric3D:
    """A Metric3D graph in an ONNX Runtime session.

    Attributes:
        size: height and width of the image that the graph is run on.
    """

    def __init__(
        self, session: "InferenceSession", size: tuple[int, int], device: torch.device
    ) -> None:
        """Wrap a session; `load_metric3d` makes one.

        Args:
            session: of a graph that `check_graph` accepts.
            size: height and width of the image that the graph is run on.
            device: where the session runs.
        """
        self._session = session
        self._device = device
        self.size = size
        self._input = session.get_inputs()[0]
        names = [output.name for output in session.get_outputs()]
        self._outputs = [next(name for name in names if name in DEPTH_OUTPUTS)]
        if CONFIDENCE_OUTPUT in names:
            self._outputs.append(CONFIDENCE_OUTPUT)
        self._padding_colour = torch.tensor(PADDING_COLOUR, device=device)[:, None, None]

    @property
    def device(self) -> torch.device:
        return self._device

    @torch.no_grad()
    def infer(self, rgb: torch.Tensor, intrinsics: torch.Tensor | None = None) -> MetricDepth:
        """Estimate metric depth.

        Args:
            rgb: uint8 [B, 3, H, W] or [3, H, W], any H and W.
            intrinsics: [B, 3, 3] or [3, 3] in pixels of H x W. Needed; the depth is proportional
                to fx, and the rest of the matrix has no influence.

        Returns:
            Depth [B, 1, H, W], at most 300 m, the intrinsics as given, and the confidence where
            the graph has one.

        Raises:
            ValueError: there are no intrinsics, or an argument has a wrong shape.
        """
        rgb, intrinsics = check_inputs(rgb, intrinsics)
        if intrinsics is None:
            raise ValueError(
                "Metric3D needs the camera's intrinsics: its depth is in metres only together "
                "with the focal length. Give intrinsics ([3, 3], pixels), have the node receive "
                "camera_info, or take a model that estimates the camera (UniDepth, Depth Pro)"
            )
        focal = horizontal_focal_lengths(intrinsics, self._device)
        box = Letterbox.fit((rgb.shape[-2], rgb.shape[-1]), self.size)
        images = box.place(rgb.to(self._device).float(), self._padding_colour)
        # One by one: a graph that was traced with one image may have that baked in, whatever its
        # batch axis is called.
        answers = [self._run(image) for image in images.split(1)]
        maps = [box.restore(torch.cat(parts)) for parts in zip(*answers, strict=True)]
        depth = maps[0] * (focal * (box.scale / CANONICAL_FOCAL))
        return MetricDepth(
            depth.clamp(0, MAX_DEPTH),
            intrinsics.to(self._device, non_blocking=True, copy=True),
            maps[1] if len(maps) > 1 else None,
        )

    def _run(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The graph's outputs for one image [1, 3, h, w], each float32 [1, 1, h', w'].

        The session reads the image where it lies, and torch reads the outputs where they lie.
        """
        dtype, element = ELEMENT_TYPES[self._input.type]
        image = image.to(dtype).contiguous()
        place = (self._device.type, self._device.index or 0)
        binding = self._session.io_binding()
        binding.bind_input(self._input.name, *place, element, tuple(image.shape), image.data_ptr())
        for name in self._outputs:
            binding.bind_output(name, *place)
        if self._device.type == "cuda":
            # The session has a stream of its own and does not wait for torch's.
            torch.cuda.current_stream(self._device).synchronize()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        outputs = [_as_tensor(value) for value in binding.get_outputs()]
        # onnx-community's depth has no channel axis, upstream's has one.
        return [out.float().view(1, 1, *out.shape[-2:]) for out in outputs]


@dataclass(frozen=True)
class Letterbox:
    """How an image is scaled, its aspect kept, and centred in the network's image."""

    image_size: tuple[int, int]
    network_size: tuple[int, int]
    inner_size: tuple[int, int]
    scale: float

    @classmethod
    def fit(cls, image_size: tuple[int, int], network_size: tuple[int, int]) -> "Letterbox":
        """The largest scale at which the image fits; sides are rounded down, as upstream does."""
        ratios = [n / i for n, i in zip(network_size, image_size, strict=True)]
        inner = tuple(max(1, int(side * min(ratios))) for side in image_size)
        return cls(image_size, network_size, inner, min(ratios))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the network's image that show the image."""
        starts = [(n - i) // 2 for n, i in zip(self.network_size, self.inner_size, strict=True)]
        rows, columns = (slice(s, s + i) for s, i in zip(starts, self.inner_size, strict=True))
        return rows, columns

    def place(self, image: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
        """The network's image [B, 3, h, w] of an image [B, 3, H, W], the colour around it."""
        canvas = colour.expand(len(image), -1, *self.network_size).clone()
        canvas[(..., *self.window)] = _resize(image, self.inner_size)
        return canvas

    def restore(self, output: torch.Tensor) -> torch.Tensor:
        """The network's map [B, 1, h', w'] without the padding, [B, 1, H, W].

        h' x w' is a little less than the network's image where that is an odd number of patches.
        """
        output = _resize(output, self.network_size)
        return _resize(output[(..., *self.window)], self.image_size)


def load_metric3d(
    path: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Metric3D:
    """Load a Metric3D graph into ONNX Runtime.

    Args:
        path: an .onnx file, or a folder that has one, by itself or under onnx/ (the layout of
            onnx-community). Weights outside the file lie beside it under the name it gives.
        device: cpu or cuda, or cuda:N.
        dtype: float16 prefers model_fp16.onnx where there is one; others prefer model.onnx.

    Raises:
        CheckpointError: there is no graph, or not one of Metric3D.
        ValueError: ONNX Runtime is not installed, or does not run on the device.
    """
    device = torch.device(device)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)  # one for torch and for the session
    graph = find_graph(Path(path), dtype)
    session = _open_session(graph, device)
    return Metric3D(session, check_graph(session, graph), device)


def find_graph(path: Path, dtype: torch.dtype) -> Path:
    """The .onnx file that a path means.

    Raises:
        CheckpointError: there is none, or none of several is called model.onnx.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise CheckpointError(f"{path} does not exist; give Metric3D's .onnx file or its folder")
    graphs = sorted([*path.glob("*.onnx"), *path.glob("onnx/*.onnx")])
    if len(graphs) == 1:
        return graphs[0]
    stems = ["model", "model_fp16"]
    for stem in reversed(stems) if dtype == torch.float16 else stems:
        for graph in graphs:
            if graph.stem == stem:
                return graph
    if not graphs:
        raise CheckpointError(
            f"{path} holds no .onnx file, nor does its folder onnx/. Fetch a graph, for example "
            "onnx-community/metric3d-vit-small, or export one with upstream's "
            "onnx/metric3d_onnx_export.py"
        )
    raise CheckpointError(
        f"{path} holds {', '.join(str(graph.relative_to(path)) for graph in graphs)} and none is "
        "model.onnx; give the file"
    )


def check_graph(session: "InferenceSession", graph: Path) -> tuple[int, int]:
    """Make sure that a graph is Metric3D's.

    Returns:
        Height and width to run it on: its own where they are fixed, else those that its
        architecture was published with.

    Raises:
        CheckpointError: its inputs or outputs are others; the message names them.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [output.name for output in outputs]
    if (
        len(inputs) != 1
        or inputs[0].name not in IMAGE_INPUTS
        or inputs[0].type not in ELEMENT_TYPES
        or not set(names) & set(DEPTH_OUTPUTS)
    ):
        taken = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs) or "nothing"
        raise CheckpointError(
            f"{graph} is not Metric3D as published: it takes {taken} and gives "
            f"{', '.join(names) or 'nothing'}; expected one input {' or '.join(IMAGE_INPUTS)} and "
            f"an output {' or '.join(DEPTH_OUTPUTS)}"
        )
    # An axis of any length has a name or None.
    shape = [side if isinstance(side, int) else None for side in inputs[0].shape]
    if len(shape) != 4 or shape[0] not in (1, None) or shape[1] not in (3, None):
        raise CheckpointError(
            f"{graph} takes images of shape {inputs[0].shape}; expected [1, 3, height, width]"
        )
    published = CONVNEXT_SIZE if "conv" in graph.stem else VIT_SIZE
    return shape[2] or published[0], shape[3] or published[1]


def _open_session(graph: Path, device: torch.device) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            "Metric3D runs in ONNX Runtime, which is not installed: run `pip install "
            "'sharpdepth_ros[onnx]'`, or `pip install onnxruntime-gpu` for a GPU"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; what falls back to the CPU by design is no warning
    if device.type == "cpu":
        providers = ["CPUExecutionProvider"]
        options.intra_op_num_threads = torch.get_num_threads()
    elif device.type == "cuda":
        providers = [("CUDAExecutionProvider", {"device_id": device.index or 0})]
        available = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" not in available:
            raise ValueError(
                f"ONNX Runtime {onnxruntime.__version__} on this machine has no CUDA (it has "
                f"{', '.join(available)}): run `pip uninstall onnxruntime` and `pip install "
                "onnxruntime-gpu`, or use device cpu"
            )
    else:
        raise ValueError(f"Metric3D runs on cpu or cuda, not on {str(device)!r}")
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions have no other class in common
        raise CheckpointError(
            f"{graph} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: "
            f"{first_line(error)}. Fetch it again, with the data file beside it if it has one"
        ) from error
    if device.type == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        # The library falls back to the CPU with no more than a line in the log.
        raise ValueError(
            f"ONNX Runtime {onnxruntime.__version__} could not start on {device}: its CUDA or "
            "cuDNN libraries are missing or of another version. Install the onnxruntime-gpu that "
            "fits them, or use device cpu"
        )
    return session


def _resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear without antialias, as upstream resizes in both directions."""
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False)


def _as_tensor(value) -> torch.Tensor:
    """An OrtValue's memory as a tensor."""
    # The public class has had the protocol for a few versions only, the class it wraps for many.
    return torch.from_dlpack(value if hasattr(value, "__dlpack__") else value._ortvalue)
