# SPDX-License-Identifier: Apache-2.0
"""The environment that lets Fast DDS and glibc carry large messages.

Imported by `ros2 launch` with the system's Python: no torch, no rclpy.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from sharpdepth_ros.node.ros_compat import fastdds_profiles_variable

#: Where a share folder has the profile that gives Fast DDS room for images.
PROFILE = "config/fastdds_large_messages.xml"
#: Environment variables by which a user configures Fast DDS; then we do not.
_FASTDDS_VARIABLES = (
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_BUILTIN_TRANSPORTS",
)
_FASTDDS_RMWS = ("", "rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")
#: glibc keeps the memory of a message for the next, instead of getting it page by page each time.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "536870912", "MALLOC_MMAP_THRESHOLD_": "33554432"}
#: By these a user has chosen how memory is got.
_MEMORY_VARIABLES = (*_KEEP_MEMORY, "GLIBC_TUNABLES", "LD_PRELOAD")
#: Bytes that must be free in /dev/shm: Fast DDS dies of a segment that the system cannot back.
_SHARED_MEMORY = 192 * 2**20


def find_profile(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The Fast DDS profile, in the source tree or where pip or colcon has installed it."""
    shares = [Path(prefix) / "share/sharpdepth_ros" for prefix in (sys.prefix, sys.base_prefix)]
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    shares += [Path(prefix) / "share/sharpdepth_ros" for prefix in prefixes if prefix]
    places = (root / PROFILE for root in (Path(__file__).parents[2], *shares))
    return next((place for place in places if place.is_file()), None)


def large_message_environment(
    profile: Path, environment: Mapping[str, str] = os.environ
) -> tuple[dict[str, str], str]:
    """Environment variables that give Fast DDS room for images.

    Returns:
        The variables, none where they would be of no use or in the way; and why, as a sentence.
    """
    rmw = environment.get("RMW_IMPLEMENTATION", "")
    if rmw not in _FASTDDS_RMWS:
        return {}, f"{rmw} has its own settings for large messages (see docs/deployment.md)"
    own = [name for name in _FASTDDS_VARIABLES if environment.get(name)]
    if own:
        return {}, f"{own[0]} is set; it stays as it is"
    free = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0
    if free < _SHARED_MEMORY:
        return {}, (
            f"/dev/shm has {free // 2**20} MiB free, fast large messages need "
            f"{_SHARED_MEMORY // 2**20} (in a container, see --shm-size): Fast DDS stays as it is"
        )
    variable = fastdds_profiles_variable(environment)
    return {variable: str(profile)}, f"Fast DDS profile for large messages: {profile}"


def memory_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables that spare a process the page faults of large messages.

    With them a 1280x720 image takes 4 ms to a subscriber in Python instead of 7, a cloud 17 instead
    of 33 (benchmarks/message_latency.py). None where a user has chosen an allocator.
    """
    if any(environment.get(name) for name in _MEMORY_VARIABLES):
        return {}
    return dict(_KEEP_MEMORY)
