# SPDX-License-Identifier: Apache-2.0
"""Runs the pipeline's networks fast on one device; each measure can be switched off."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import nn

from sharpdepth_ros.models.constant_folding import FoldedDiffusion, can_fold, sharing_copy
from sharpdepth_ros.models.diffusion import DepthDiffusion
from sharpdepth_ros.models.generator import DepthGenerator
from sharpdepth_ros.models.tiny_vae import TinyVae
from sharpdepth_ros.pipeline.compile_cache import use_compile_cache
from sharpdepth_ros.pipeline.cuda_graphs import CudaGraph, ReplayedCalls
from sharpdepth_ros.pipeline.cuda_streams import SideStream
from sharpdepth_ros.pipeline.openvino_networks import (
    OpenVinoDiffusion,
    prefers_openvino,
    require_openvino,
)
from sharpdepth_ros.pipeline.pinned_transfers import Transfers

Schedule = Literal["parallel", "batched", "sequential"]
Backend = Literal["torch", "openvino", "auto"]
Network = TypeVar("Network", DepthGenerator, TinyVae)


@dataclass(frozen=True)
class EngineOptions:
    """How the networks are run. docs/speed.md says what each is worth; none changes the method.

    Attributes:
        schedule: "parallel": f_D on a CUDA stream of its own beside the encoding of the image and
            the generator pass, which do not depend on it; "batched": f_D first, then both
            encodings in one batch; "sequential": one after another, as released; "auto": parallel
            on CUDA, batched elsewhere.
        channels_last: keep feature maps in the order that convolutions on tensor cores and AMX
            read without a copy.
        fused_attention: scaled_dot_product_attention instead of a matrix of all pairs of pixels.
        fold_constants: compute once what depends only on prompt, class and timestep.
        compile: torch.compile of every network; the compiled code is kept on disk.
        cuda_graphs: record the passes for each image size once and replay them; CUDA only.
        tune_convolutions: let cuDNN try its kernels on the first frame of a size; CUDA only.
        pinned_transfers: images and maps go through page-locked memory on streams of their own;
            CUDA only.
        threads: of torch on the CPU, for the whole process; 0 leaves it as it is.
        backend: "torch"; "openvino": encoder, UNet and decoder of the diffusion models run in
            OpenVINO, on the CPU; "auto": OpenVINO on an x86 CPU where it is installed.
    """

    schedule: Schedule | Literal["auto"] = "auto"
    channels_last: bool = True
    fused_attention: bool = True
    fold_constants: bool = True
    compile: bool = False
    cuda_graphs: bool = False
    tune_convolutions: bool = True
    pinned_transfers: bool = True
    threads: int = 0
    backend: Backend = "torch"

    def __post_init__(self) -> None:
        if self.backend not in get_args(Backend):
            raise ValueError(
                f"backend {self.backend!r} is not one of {', '.join(get_args(Backend))}"
            )
        if self.schedule not in ("auto", *get_args(Schedule)):
            raise ValueError(
                f"schedule {self.schedule!r} is not one of auto, {', '.join(get_args(Schedule))}"
            )
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; give a number, or 0 for torch's own")

    @classmethod
    def released(cls) -> "EngineOptions":
        """The arrangement of the released code: every measure off."""
        return cls(
            schedule="sequential",
            channels_last=False,
            fused_attention=False,
            fold_constants=False,
            tune_convolutions=False,
            pinned_transfers=False,
        )


class Engine:
    """One device, its streams and recorded graphs, and the networks as they run on it.

    Attributes:
        device: where everything runs.
        options: as given.
        schedule: the one that is used; never "auto".
        side: where f_D runs when the schedule is "parallel".
        transfers: the way of images to the device and of maps back.
    """

    def __init__(self, device: torch.device, options: EngineOptions | None = None) -> None:
        self.device = device
        self.options = options = options or EngineOptions()
        on_cuda = device.type == "cuda"
        schedule = options.schedule
        if schedule == "auto":
            schedule = "parallel" if on_cuda else "batched"
        self.schedule: Schedule = schedule
        self.side = SideStream(device)
        self.transfers = Transfers(device, options.pinned_transfers)
        self._calls = ReplayedCalls(CudaGraph) if options.cuda_graphs and on_cuda else None
        if on_cuda:
            torch.backends.cudnn.benchmark = options.tune_convolutions
        elif options.threads:
            torch.set_num_threads(options.threads)
        if options.compile:
            use_compile_cache()
        wanted = options.backend
        self._openvino = wanted == "openvino" or (wanted == "auto" and prefers_openvino(device))
        if self._openvino:
            require_openvino(device)

    def run(
        self,
        key: Hashable,
        function: Callable[..., tuple[torch.Tensor, ...]],
        *inputs: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """`function(*inputs)`, recorded and replayed where graphs are on.

        Args:
            key: everything besides the inputs that the function's work depends on.
            function: of tensors alone, without a look at their values.
            inputs: on the device.
        """
        if self._calls is None:
            return function(*inputs)
        return self._calls(key, function, *inputs)

    def forget_recordings(self) -> None:
        """Record every graph anew; called when networks have been replaced."""
        if self._calls is not None:
            self._calls = ReplayedCalls(CudaGraph)

    def prepare(self, network: Network) -> Network:
        """The network as this engine runs it.

        A `DepthDiffusion` or a `TinyVae` is left as it is: the answer is another one that shares
        its weights (channels_last changes their order in memory, not their values).
        """
        options = self.options
        if self._openvino and isinstance(network, DepthDiffusion):
            return OpenVinoDiffusion.of(network)
        if isinstance(network, DepthDiffusion | TinyVae):
            if isinstance(network, DepthDiffusion) and _foldable(network, options):
                network = FoldedDiffusion.of(network)
            else:
                network = sharing_copy(network)
            _set_attention(network, options.fused_attention)
            if options.channels_last:
                network.to(memory_format=torch.channels_last)
            wide = network.vae_dtype if isinstance(network, DepthDiffusion) else network.dtype
            if wide == torch.bfloat16:
                _end_in_float32(network)
        if options.compile:
            network.compile_networks()
        return network

    def prepare_metric_model(self, model: object) -> None:
        """Compile f_D in place, and order its weights, where it is a torch network."""
        if not isinstance(model, nn.Module):
            return
        if self.options.channels_last:
            model.to(memory_format=torch.channels_last)
        if self.options.compile:
            model.compile(dynamic=False)


def _foldable(network: DepthDiffusion, options: EngineOptions) -> bool:
    return options.fold_constants and can_fold(network.unet)


def _set_attention(network: nn.Module, fused: bool) -> None:
    """Choose the kernel of each attention whose processor is one of diffusers' two plain ones."""
    for module in network.modules():
        if isinstance(module, Attention) and type(module.processor) in (
            AttnProcessor,
            AttnProcessor2_0,
        ):
            module.set_processor(AttnProcessor2_0() if fused else AttnProcessor())


def _end_in_float32(network: DepthDiffusion | TinyVae) -> None:
    """Let the decoder's last convolution answer in float32.

    bfloat16 has eight bits: an answer rounded to it shows depth in steps of half a percent.
    """
    if isinstance(network, TinyVae):
        layers = network.network.decoder.layers
        layers[-1] = _Float32Convolution(layers[-1])
    else:
        network.vae.decoder.conv_out = _Float32Convolution(network.vae.decoder.conv_out)


class _Float32Convolution(nn.Module):
    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        c = self.convolution
        bias = None if c.bias is None else c.bias.float()
        return F.conv2d(features.float(), c.weight.float(), bias, c.stride, c.padding)
