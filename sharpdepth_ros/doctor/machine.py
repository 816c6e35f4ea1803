# SPDX-License-Identifier: Apache-2.0
"""Examines the GPU, memory, disk and processor threads."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sharpdepth_ros.doctor.findings import ERROR, GIB, OK, WARNING, Finding
from sharpdepth_ros.doctor.probe import ProbeFailed, ask, ask_python
from sharpdepth_ros.weights.home import weights_home

ENOUGH_GPU_MEMORY = 6 * GIB
"""The released sharpener and a ViT-L metric model in half precision at 768 pixels, with room."""

ENOUGH_MEMORY = 8 * GIB
"""The same in float32, 950 M and 350 M parameters, and the activations."""

ENOUGH_DISK = 12 * GIB
"""The released sharpener's archive and its unpacked files, and a metric model."""

JETSON = Path("/etc/nv_tegra_release")
KERNEL_DRIVER = Path("/proc/driver/nvidia/version")

TORCH = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    usable = torch.cuda.is_available()
answer = {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip,
          "usable": usable, "threads": torch.get_num_threads(), "gpus": [],
          "said": [str(w.message).splitlines()[0] for w in caught]}
for index in range(torch.cuda.device_count() if usable else 0):
    known = torch.cuda.get_device_properties(index)
    gpu = {"name": known.name, "memory": known.total_memory,
           "capability": f"{known.major}.{known.minor}", "fault": None, "free": None}
    try:
        torch.ones(8, device=index).add_(1).sum().item()
        gpu["free"] = torch.cuda.mem_get_info(index)[0]
    except Exception as error:
        gpu["fault"] = str(error).splitlines()[0]
    answer["gpus"].append(gpu)
"""


def check_torch() -> Iterator[Finding]:
    """torch's build, the GPUs that it can use, and its threads."""
    try:
        torch = ask_python(TORCH)
    except ProbeFailed as failure:
        yield Finding("torch build", str(failure), ERROR, "install it again: pip install torch")
        return
    build = f"CUDA {torch['cuda']}" if torch["cuda"] else torch["hip"] and f"ROCm {torch['hip']}"
    yield Finding("torch build", f"{torch['version']} ({build or 'CPU only'})")
    yield from _gpus(torch)
    yield _threads(torch["threads"])


def check_memory() -> Iterator[Finding]:
    """Memory that is available, within a container's limit."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (
        int(fields[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")
    )
    if (limit := _container_limit()) is not None:
        total, available = min(total, limit), min(available, limit)
    value = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available"
    if available < ENOUGH_MEMORY:
        advice = (
            f"the released models want {ENOUGH_MEMORY // GIB} GiB to load: close other programs"
        )
        yield Finding("memory", value, WARNING, advice)
    else:
        yield Finding("memory", value)


def check_disk() -> Iterator[Finding]:
    """Room for weights."""
    home = weights_home()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    value = f"{free / GIB:.1f} GiB free for weights in {home}"
    if not os.access(existing, os.W_OK):
        advice = "the folder cannot be written: set SHARPDEPTH_HOME to one that can"
        yield Finding("disk", value, WARNING, advice)
    elif free < ENOUGH_DISK:
        advice = (
            f"fetching the released models takes {ENOUGH_DISK // GIB} GiB: make room, or set "
            "SHARPDEPTH_HOME and HF_HOME to folders on another disk"
        )
        yield Finding("disk", value, WARNING, advice)
    else:
        yield Finding("disk", value)


def _gpus(torch: dict[str, Any]) -> Iterator[Finding]:
    driver = _nvidia_driver()
    for number, gpu in enumerate(torch["gpus"]):
        what = f"GPU {number}"
        free = "" if gpu["free"] is None else f", {gpu['free'] / GIB:.1f} free"
        value = (
            f"{gpu['name']}, {gpu['memory'] / GIB:.1f} GiB{free}, compute capability "
            f"{gpu['capability']}" + (f", driver {driver}" if driver and torch["cuda"] else "")
        )
        if gpu["fault"]:
            advice = "install a torch build for this GPU, see pytorch.org/get-started"
            yield Finding(what, f"{value}: {gpu['fault']}", ERROR, advice)
        elif gpu["free"] < ENOUGH_GPU_MEMORY:
            advice = (
                f"the released models want {ENOUGH_GPU_MEMORY // GIB} GiB in half precision: close "
                "other programs, or choose a smaller metric_model or processing_resolution"
            )
            yield Finding(what, value, WARNING, advice)
        else:
            yield Finding(what, value)
    if torch["gpus"]:
        return
    if driver is None:
        advice = "on a processor a frame of the released models takes from seconds to a minute"
        yield Finding("GPU", "none found", WARNING, advice)
    elif not torch["cuda"]:
        advice = (
            "this torch is built for the CPU and leaves the GPU unused: install a CUDA build, see "
            "pytorch.org/get-started (on a Jetson, NVIDIA's own wheels)"
        )
        yield Finding("GPU", f"an NVIDIA GPU, driver {driver}", ERROR, advice)
    else:
        said = f": {torch['said'][-1]}" if torch["said"] else ""
        advice = (
            f"torch for CUDA {torch['cuda']} cannot use it: update the driver, install a torch for "
            "an older CUDA, or give the container its GPU (--gpus all); CUDA_VISIBLE_DEVICES is "
            f"{os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}"
        )
        yield Finding("GPU", f"an NVIDIA GPU, driver {driver}{said}", ERROR, advice)


def _nvidia_driver() -> str | None:
    """Version of the NVIDIA driver, None on a machine without one."""
    if shutil.which("nvidia-smi"):
        try:
            output = ask(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], 10)
        except ProbeFailed as failure:
            return f"that does not answer ({failure})"
        return (output.split() or ["unknown"])[0]
    if JETSON.exists():
        return JETSON.read_text().split(",")[0].lstrip("# ")
    return "without nvidia-smi" if KERNEL_DRIVER.exists() else None


def _threads(torch_threads: int) -> Finding:
    # Linux tells which cores this process may use, others only how many there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = [
        f"{name}={os.environ[name]}"
        for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS")
        if name in os.environ
    ]
    value = f"{cores} usable cores, torch uses {torch_threads}; {', '.join(settings)}".rstrip("; ")
    if torch_threads > cores:
        advice = "more threads than cores slow each other down: set OMP_NUM_THREADS to the cores"
        return Finding("CPU threads", value, WARNING, advice)
    if os.environ.get("OMP_WAIT_POLICY", "passive").lower() != "passive":
        advice = "waiting threads take the processor from the ROS graph: unset OMP_WAIT_POLICY"
        return Finding("CPU threads", value, WARNING, advice)
    return Finding("CPU threads", value, OK)


def _container_limit() -> int | None:
    """Bytes that a container may use, None without a limit."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(path).read_text().strip() if Path(path).exists() else ""
        if text.isdigit():
            return int(text)
    return None
