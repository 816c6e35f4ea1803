# SPDX-License-Identifier: Apache-2.0
"""A diffusion model's networks in OpenVINO, which on x86 CPUs is faster than torch."""

import copy
import hashlib
import io
import platform
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sharpdepth_ros.models.constant_folding import FoldedDiffusion, can_fold
from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.weights_digest import weights_digest
from sharpdepth_ros.pipeline.compile_cache import private_folder
from sharpdepth_ros.weights.home import weights_home, write_durably

CAPACITY = 12
"""Networks of one image size that are kept: three, or four where the encodings are not a batch."""


def _is_installed() -> bool:
    try:
        import openvino  # noqa: F401 - installed, and of a version that this Python can load
    except ImportError:
        return False
    return True


def prefers_openvino(device: torch.device) -> bool:
    """Whether backend "auto" takes OpenVINO: on x86, where it was measured, if it is installed."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return device.type == "cpu" and x86 and _is_installed()


def require_openvino(device: torch.device) -> None:
    """Check that the backend can be had.

    Raises:
        ValueError: it is not installed, or the device is no CPU.
    """
    if device.type != "cpu":
        raise ValueError(f"backend openvino runs on the cpu, not on {device}; use backend torch")
    if not _is_installed():
        raise ValueError(
            "backend openvino needs OpenVINO, which is not installed: run `pip install "
            "'sharpdepth_ros[openvino]'`, or use backend torch"
        )


class OpenVinoDiffusion(FoldedDiffusion):
    """A `DepthDiffusion` whose encoder, UNet and decoder run in OpenVINO.

    They are compiled for each size when it is first seen, in bf16 where the model's weights are,
    else in float32, and kept on disk. It has a float32 copy of the weights, to compile from.
    """

    @classmethod
    def of(cls, model: DepthDiffusion) -> "OpenVinoDiffusion":
        """Take a model on the CPU.

        Raises:
            ValueError: its UNet has parts that cannot be folded.
        """
        if not can_fold(model.unet):
            raise ValueError(
                "backend openvino needs a UNet as Lotus' and SharpDepth's; use backend torch"
            )
        half = model.dtype == torch.bfloat16
        wide = super().of(copy.deepcopy(model).float())
        # The last layer in float32, in torch: rounded to bf16, depth would show in steps.
        wide._last = wide.vae.decoder.conv_out
        wide.vae.decoder.conv_out = nn.Identity()
        source = f"{wide!r} {weights_digest(wide)}"
        wide._networks = _Networks("bf16" if half else "f32", source)
        return wide

    def compile_networks(self) -> None:
        """They are compiled."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self._networks.run("encode", super().encode, images)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        features = self._networks.run("decode", super().decode, latent)
        last = self._last
        return F.conv2d(features, last.weight, last.bias, last.stride, last.padding)

    def _denoise(self, inputs: torch.Tensor, timestep: int) -> torch.Tensor:
        return self._networks.run("denoise", self.unet, inputs, self.unet.constants(timestep))


class _Networks:
    """Compiled networks by name and sizes."""

    def __init__(self, precision: str, source: str) -> None:
        """Args: bf16 or f32; how what they are compiled from is put together, and its weights."""
        import openvino

        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            # By default each process binds its threads to the first cores, as the next process
            # does: the nodes of two cameras would share one core while another idles.
            "ENABLE_CPU_PINNING": False,
        }
        machine = self._core.get_property("CPU", "FULL_DEVICE_NAME")
        self._key = (source, self._settings, machine, openvino.__version__, torch.__version__)
        self._requests: OrderedDict[tuple, Any] = OrderedDict()

    def run(self, name: str, function: Callable, *inputs: torch.Tensor) -> torch.Tensor:
        """`function(*inputs)`; compiled when these sizes are new."""
        inputs = tuple(tensor.float().contiguous() for tensor in inputs)
        key = (name, *(tuple(tensor.shape) for tensor in inputs))
        if key not in self._requests:
            while len(self._requests) >= CAPACITY:
                self._requests.popitem(last=False)
            self._requests[key] = self._load(key, function).create_infer_request()
        self._requests.move_to_end(key)
        answer = self._requests[key].infer([tensor.numpy() for tensor in inputs])
        # The request writes on its memory again.
        return torch.from_numpy(answer[0].copy())

    def _load(self, key: tuple, function: Callable):
        folder = weights_home() / "openvino"
        private_folder(folder, "compiled networks, which are run")
        name = hashlib.sha256(repr((self._key, key)).encode()).hexdigest()[:32]
        kept = folder / f"{name}.blob"
        if kept.is_file():
            try:
                return self._core.import_model(io.BytesIO(kept.read_bytes()), "CPU", self._settings)
            except RuntimeError:  # OpenVINO's, for a blob that is cut off or of another version
                kept.unlink()
        compiled = self._compile(function, key[1:])
        write_durably(kept, compiled.export_model().getvalue())
        return compiled

    def _compile(self, function: Callable, shapes: tuple):
        import openvino

        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            # That the trace holds for this size alone: it is used for no other.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            model = openvino.convert_model(
                _Traced(function),
                example_input=tuple(torch.zeros(shape) for shape in shapes),
                input=[list(shape) for shape in shapes],
            )
        return self._core.compile_model(model, "CPU", self._settings)


class _Traced(nn.Module):
    def __init__(self, function: Callable) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self._function(*inputs)
