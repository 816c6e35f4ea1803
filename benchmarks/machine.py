# SPDX-License-Identifier: Apache-2.0
"""Describes the machine that a benchmark ran on: a number without it means nothing."""

import os
import platform

import torch

from sharpdepth_ros.viewing.machine import processor


def describe() -> str:
    """Processor, cores, load, GPU and versions, on one line."""
    parts = [
        f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
    ]
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        parts.insert(1, f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    return "; ".join(parts)
