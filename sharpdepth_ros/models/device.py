# SPDX-License-Identifier: Apache-2.0
"""Chooses the device that networks live on and the precision that they compute in."""

import torch

PRECISIONS = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device to run on; "auto" takes the first CUDA GPU where there is one, else the CPU.

    Raises:
        ValueError: the device is not known to torch or is not on this machine.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device {device!r} is not one that torch knows; use auto, cpu, cuda or cuda:N"
        ) from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {device!r} is not on this machine: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices; use cpu, or install a CUDA build of torch"
        )
    return resolved


def resolve_precision(
    precision: str, device: torch.device, *, tolerant: bool = False
) -> torch.dtype:
    """The dtype of the networks.

    "auto" is fp16 on CUDA; on a CPU whose matrix unit (AMX) multiplies bf16, bf16 for networks
    that are tolerant; and fp32 elsewhere. fp16 rather than bf16 on CUDA: bfloat16's eight bits of
    mantissa show as steps of half a percent where a network's last layer is rounded to them.
    "tf32" is float32 with tensor-core products.

    Args:
        precision: auto, fp32, tf32, bf16 or fp16.
        device: where the networks run.
        tolerant: whether bf16 is taken without being asked for. The engine ends diffusion
            networks in float32, so that they are; metric models are not: their numbers are the
            metres.

    Raises:
        ValueError: an unknown precision, or one that the device cannot compute in.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.float16
        fast = tolerant and device.type == "cpu" and has_amx()
        return torch.bfloat16 if fast else torch.float32
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not one of auto, {', '.join(PRECISIONS)}")
    if device.type == "cpu" and precision in ("fp16", "tf32"):
        raise ValueError(f"precision {precision!r} needs a GPU; on the cpu use fp32 or bf16")
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return PRECISIONS[precision]


def has_amx() -> bool:
    """Whether torch can use this processor's AMX tiles. AVX512's bf16 alone was not measured."""
    # The only way to ask that torch has; older versions have it neither.
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return ask is not None and ask()
