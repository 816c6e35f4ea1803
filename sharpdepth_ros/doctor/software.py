# SPDX-License-Identifier: Apache-2.0
"""Examines Python, this package and what it is built on."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import sharpdepth_ros
from sharpdepth_ros.doctor.findings import ERROR, OK, WARNING, Finding
from sharpdepth_ros.doctor.probe import ProbeFailed, ask_python

DISTRIBUTION = "sharpdepth_ros"
LISTED = ("torch", "diffusers", "transformers", "huggingface_hub", "safetensors")
"""Requirements whose version is told without importing them, which takes seconds."""

OLDEST_PYTHON = (3, 10)

OPENCV = """
import cv2, numpy
answer = {"numpy": numpy.__version__, "opencv": cv2.__version__}
cv2.resize(numpy.zeros((4, 4), numpy.uint8), (2, 2))
"""


def check_python() -> Iterator[Finding]:
    """The interpreter."""
    value = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("python", value, ERROR, "use Python 3.10 or newer")
    else:
        yield Finding("python", value)


def check_package() -> Iterator[Finding]:
    """This package and the versions it asks for."""
    folder = Path(sharpdepth_ros.__file__).parent
    requirements = _requirements()
    installed = "" if requirements else ", run from its source without being installed"
    yield Finding("sharpdepth_ros", f"{sharpdepth_ros.__version__} ({folder}{installed})")
    for name in LISTED:
        yield _version(name, requirements.get(name, ""))


def check_opencv() -> Iterator[Finding]:
    """NumPy and OpenCV, used together: builds for different NumPys fail only then."""
    try:
        answer = ask_python(OPENCV)
    except ProbeFailed as failure:
        yield Finding(
            "numpy and opencv",
            str(failure),
            ERROR,
            "install builds that fit together: pip install --upgrade numpy opencv-python-headless",
        )
        return
    for name, version in answer.items():
        yield Finding(name, version)


def _requirements() -> dict[str, str]:
    """Version ranges by distribution, without those of extras; empty when not installed."""
    try:
        texts = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    from packaging.requirements import Requirement

    parsed = [Requirement(text) for text in texts]
    return {
        requirement.name.replace("-", "_"): str(requirement.specifier)
        for requirement in parsed
        if requirement.marker is None
    }


def _version(name: str, wanted: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", ERROR, f"pip install '{name}{wanted}'")
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(wanted).contains(version, prereleases=True):
        advice = f"{DISTRIBUTION} needs {wanted}: pip install '{name}{wanted}'"
        return Finding(name, version, WARNING, advice)
    return Finding(name, version, OK)
