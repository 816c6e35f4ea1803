# SPDX-License-Identifier: Apache-2.0
"""Examines whether the middleware has room for messages as large as images and clouds."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import sharpdepth_ros
from sharpdepth_ros.doctor.findings import ERROR, WARNING, Finding
from sharpdepth_ros.node.fastdds import large_message_environment

PROFILE = "fastdds_large_messages.xml"
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

LARGE_MESSAGE = 1280 * 720 * 16
"""Bytes of an xyzrgb cloud of a 1280x720 image."""

RECEIVE_BUFFER = 2 * 2**20
"""Bytes a UDP socket should be able to hold: an image that arrives in fragments."""

SHARED_MEMORY = Path("/dev/shm")
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


def check_profile() -> Iterator[Finding]:
    """The Fast DDS profile that this shell gives to the nodes it starts."""
    what = "DDS profile"
    if importlib.util.find_spec("rclpy") is None:
        return
    ours = shipped_profile()
    without = {name: text for name, text in os.environ.items() if name not in VARIABLES}
    wanted, reason = large_message_environment(ours or Path(PROFILE), without)
    given = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not given:
        if not wanted:
            yield Finding(what, f"none: {reason}")
            return
        [(variable, path)] = wanted.items()
        advice = (
            "the launch files set it for the node; the camera driver needs it too: "
            f"export {variable}={path}"
        )
        yield Finding(what, "none in this shell", WARNING, advice)
        return
    for variable, path in given.items():
        yield _examine(Path(path), variable, next(iter(wanted), variable), ours)


def check_shared_memory() -> Iterator[Finding]:
    """/dev/shm, which Docker makes 64 MiB small."""
    usable, reason = large_message_environment(shipped_profile() or Path(PROFILE), {})
    usage = shutil.disk_usage(SHARED_MEMORY)
    value = f"{usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB free"
    # With nothing set in the environment, only /dev/shm can be in the profile's way.
    yield Finding("/dev/shm", value) if usable else Finding("/dev/shm", value, WARNING, reason)


def check_receive_buffer() -> Iterator[Finding]:
    """The kernel's limit for UDP, by which images come from other machines."""
    size = int(RMEM_MAX.read_text())
    value = f"{size / 2**20:.1f} MiB"
    if size < RECEIVE_BUFFER:
        advice = (
            "images from other machines arrive in fragments and some get lost: "
            "sudo sysctl -w net.core.rmem_max=8388608"
        )
        yield Finding("net.core.rmem_max", value, WARNING, advice)
    else:
        yield Finding("net.core.rmem_max", value)


def shipped_profile() -> Path | None:
    """This package's profile: in the source, or where pip or colcon installed it."""
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if p]
    folders = [Path(sharpdepth_ros.__file__).parents[1] / "config"]
    folders += [p / "share" / "sharpdepth_ros" / "config" for p in (*prefixes, Path(sys.prefix))]
    return next((f / PROFILE for f in folders if (f / PROFILE).is_file()), None)


def _examine(path: Path, variable: str, wanted: str, ours: Path | None) -> Finding:
    """One profile that is set."""
    what, value = "DDS profile", f"{variable}={path}"
    try:
        content = path.read_text()
        size = _shared_memory_message(content)
    except OSError as error:
        advice = f"Fast DDS cannot read it: correct or unset {variable}"
        return Finding(what, f"{value}: {error.strerror}", ERROR, advice)
    except (ElementTree.ParseError, ValueError) as error:
        advice = f"Fast DDS ignores it whole: correct it or unset {variable}"
        return Finding(what, f"{value}: {error}", ERROR, advice)
    if variable == VARIABLES[0] and wanted != variable:
        advice = f"the Fast DDS that is installed reads another variable: export {wanted}={path}"
        return Finding(what, value, WARNING, advice)
    if ours is not None and content == ours.read_text():
        return Finding(what, f"{value}, this package's for large messages")
    if size < LARGE_MESSAGE:
        advice = (
            f"its shared memory takes messages of {size} bytes, a cloud of 1280x720 has "
            f"{LARGE_MESSAGE}: take over the transports of {ours or PROFILE}"
        )
        return Finding(what, value, WARNING, advice)
    return Finding(what, f"{value}, with shared memory for messages of {size / 2**20:.0f} MiB")


def _shared_memory_message(profile: str) -> int:
    """The largest message that a profile's shared memory takes, in bytes; 0 without one."""
    sizes = [0]
    for element in ElementTree.fromstring(profile).iter():
        fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
        if element.tag.endswith("transport_descriptor") and fields.get("type") == "SHM":
            limits = (fields.get(name, "0") for name in ("segment_size", "maxMessageSize"))
            sizes.append(min(map(int, limits)))
    return max(sizes)
