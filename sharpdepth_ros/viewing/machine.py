# SPDX-License-Identifier: Apache-2.0
"""Describes this machine for a report: a time without it means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from sharpdepth_ros import __version__


def describe_machine() -> dict[str, str]:
    """Processor, GPU and versions, by name."""
    facts = {"processor": f"{processor()}, {os.cpu_count()} cores"}
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        facts["GPU"] = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
    facts["system"] = f"{platform.system()} {platform.release()}"
    facts["versions"] = (
        f"sharpdepth_ros {__version__}, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )
    return facts


def processor() -> str:
    """The processor's name, as the system knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
