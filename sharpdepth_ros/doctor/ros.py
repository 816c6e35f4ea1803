# SPDX-License-Identifier: Apache-2.0
"""Examines ROS 2 from outside: nothing of it is imported into this process."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from sharpdepth_ros.doctor.findings import ERROR, OK, WARNING, Finding
from sharpdepth_ros.doctor.probe import ProbeFailed, ask_python

INSTALLATIONS = Path("/opt/ros")
LAST_SAFE_DOMAIN = 101
"""Above it, DDS uses ports that Linux gives to other programs (ROS 2 docs, "The ROS_DOMAIN_ID")."""

LAST_DOMAIN = 232

DISTRIBUTIONS = {"3": "humble", "7": "jazzy", "9": "kilted"}
"""Of the major versions of rclpy that were released with one."""

RCLPY = """
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
import sensor_msgs.msg, diagnostic_msgs.msg, lifecycle_msgs.msg
answer = {"rmw": get_rmw_implementation_identifier()}
"""

CV_BRIDGE = """
import cv_bridge, numpy
bridge = cv_bridge.CvBridge()
image = bridge.cv2_to_imgmsg(numpy.zeros((2, 3, 3), numpy.uint8), "bgr8")
assert bridge.imgmsg_to_cv2(image, "rgb8").shape == (2, 3, 3)
"""

NO_ROS = "source your ROS installation, or pip install 'sharpdepth_ros[ros]'"


def check_ros() -> Iterator[Finding]:
    """The distribution, rclpy and the middleware it loads."""
    distro = os.environ.get("ROS_DISTRO", "")
    origin = _origin("rclpy")
    if origin is None:
        yield _no_rclpy(distro)
        return
    version = _wheels(origin)
    if version is None:
        yield Finding("ROS 2", f"{distro or 'distribution not told'}, an installation")
    else:
        yield _examine_wheels(origin, version, distro)
    try:
        answer = ask_python(RCLPY)
    except ProbeFailed as failure:
        yield Finding("rclpy", f"{failure} ({origin.parent})", ERROR, _import_advice(origin))
        return
    yield Finding("rclpy", str(origin.parent))
    chosen = "RMW_IMPLEMENTATION" if os.environ.get("RMW_IMPLEMENTATION") else "the default"
    yield Finding("RMW", f"{answer['rmw']} ({chosen})")


def check_domain() -> Iterator[Finding]:
    """ROS_DOMAIN_ID, and how far nodes look for each other."""
    text = os.environ.get("ROS_DOMAIN_ID", "")
    domain = int(text) if text.isdecimal() else (0 if text == "" else None)
    value = text or "0 (not set)"
    if domain is None or domain > LAST_DOMAIN:
        advice = f"must be a number from 0 to {LAST_SAFE_DOMAIN}: export ROS_DOMAIN_ID=0"
        yield Finding("ROS_DOMAIN_ID", value, ERROR, advice)
    elif domain > LAST_SAFE_DOMAIN:
        advice = f"above {LAST_SAFE_DOMAIN}, its ports may be taken: choose a smaller one"
        yield Finding("ROS_DOMAIN_ID", value, WARNING, advice)
    else:
        yield Finding("ROS_DOMAIN_ID", value)
    for name in ("ROS_LOCALHOST_ONLY", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_STATIC_PEERS"):
        if name in os.environ:
            yield Finding(name, os.environ[name])


def check_ros_packages() -> Iterator[Finding]:
    """Python packages of ROS that the node uses or that its neighbours do."""
    if _origin("rclpy") is None:
        return
    for name in ("message_filters", "sensor_msgs_py"):
        origin = _origin(name)
        yield Finding(
            name, "not here; this package has its own equivalent" if origin is None else str(origin)
        )
    if (origin := _origin("cv_bridge")) is None:
        yield Finding("cv_bridge", "not here; this package does not need it")
        return
    try:
        ask_python(CV_BRIDGE)
    except ProbeFailed as failure:
        advice = (
            "this package does not use it, but other Python nodes of this environment do: it is "
            "built for another NumPy; pip install 'numpy<2', or keep the nodes' environments apart"
        )
        yield Finding("cv_bridge", f"does not work: {failure} ({origin})", WARNING, advice)
        return
    yield Finding("cv_bridge", f"works with NumPy {metadata.version('numpy')}", OK)


def _no_rclpy(distro: str) -> Finding:
    if distro:
        advice = (
            f"{distro} is sourced, but this Python ({sys.executable}) does not see it: make the "
            "virtual environment with --system-site-packages from the system's Python"
        )
        return Finding("ROS 2", f"{distro}, without rclpy", ERROR, advice)
    installed = sorted(path.parent for path in INSTALLATIONS.glob("*/setup.bash"))
    if installed:
        advice = f"run: source {installed[-1]}/setup.bash"
        return Finding("ROS 2", f"installed in {installed[-1]}, not sourced", WARNING, advice)
    advice = f"the node needs it, images and the Python API do not: {NO_ROS}"
    return Finding("ROS 2", "not here", WARNING, advice)


def _examine_wheels(origin: Path, version: str, distro: str) -> Finding:
    """Wheels of rclpy, which do not mix with the installation of another distribution."""
    wheels = DISTRIBUTIONS.get(version.split(".")[0], "another distribution")
    value = f"wheels of {wheels} (rclpy {version})"
    if not distro:
        return Finding("ROS 2", value)
    if distro == wheels:
        return Finding("ROS 2", f"{distro}, and {value}")
    advice = (
        f"{distro} is sourced, but rclpy comes from Python wheels in {origin.parent}, of {wheels}: "
        "uninstall them, or use a shell without that setup.bash"
    )
    return Finding("ROS 2", f"{distro}, and {value}", WARNING, advice)


def _import_advice(origin: Path) -> str:
    """What to do when rclpy is there and cannot be imported: mostly it is another Python's."""
    built_for = {file.name.split(".")[1] for file in origin.parent.glob("_rclpy*.so")}
    this = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    if built_for and not any(tag.startswith(this) for tag in built_for):
        return (
            f"it is built for {', '.join(sorted(built_for))}, and {sys.executable} is {this}: use "
            "the Python that ROS was built for"
        )
    return f"the node cannot start: {NO_ROS}"


def _origin(name: str) -> Path | None:
    """The file of a package that could be imported."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin)


def _wheels(origin: Path) -> str | None:
    """The version of the wheel that rclpy is in; None: it is no wheel's."""
    try:
        wheel = metadata.distribution("ros-rclpy")
    except metadata.PackageNotFoundError:
        return None
    files = Path(wheel.locate_file("rclpy"))
    return wheel.version if files.resolve() == origin.parent.resolve() else None
