# SPDX-License-Identifier: Apache-2.0
"""The package as a whole: its layout keeps its rules, and it installs as ROS expects."""

import ast
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import sharpdepth_ros

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sharpdepth_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))

NOT_SOURCE = shutil.ignore_patterns(
    *(".git", ".venv", "test", "output", "__pycache__", "build", "*.egg-info")
)

ROS = {"rclpy", "sensor_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "rcl_interfaces"}
ROS |= {"lifecycle_msgs", "builtin_interfaces", "message_filters", "cv_bridge", "sensor_msgs_py"}
ROS |= {"bond"}
FORBIDDEN = {"torchvision", "timm", "xformers"}

MAY_IMPORT = {
    "cli": {"demo", "viewing", "doctor", "training", "evaluation", "recordings", "node", "io"}
    | {"processing", "pipeline", "synthetic", "weights"},
    "demo": {"viewing", "evaluation", "recordings", "node", "processing", "messages", "synthetic"}
    | {"weights", "io", "geometry"},
    "viewing": {"recordings", "node", "messages", "pipeline", "io", "geometry"},
    "doctor": {"node", "weights"},
    "training": {"recordings", "refiners", "models", "synthetic", "weights", "io"},
    "evaluation": {"recordings", "pipeline", "refiners", "models", "io"},
    "recordings": {"processing", "messages", "pipeline", "io", "geometry"},
    "node": {"processing", "messages", "pipeline", "weights", "io", "geometry"},
    "processing": {"messages", "pipeline", "io", "geometry"},
    "messages": {"io", "geometry"},
    "pipeline": {"refiners", "models", "weights", "geometry"},
    "refiners": {"models"},
    "models": {"weights"},
    "synthetic": {"io", "geometry"},
    "weights": set(),
    "io": {"geometry"},
    "geometry": set(),
}
"""Folder of the package -> folders that it may import (docs/architecture.md)."""

IMPORT_ROS = {"node", "demo", "viewing/live.py"}


def imports_of(path, run_time=False):
    """Absolute names that a module imports, wherever in it; or those that it imports when it runs,
    which leaves out what is for type checkers."""
    todo = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if run_time and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        todo += ast.iter_child_nodes(node)


def folder_of(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def imported_folders(path):
    """The folders of the package that a module imports, its own left out."""
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "sharpdepth_ros" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
            yield parts[1]


def test_the_permitted_imports_have_an_order():
    # Raises CycleError if two folders may import each other, even through others.
    order = [*TopologicalSorter(MAY_IMPORT).static_order()]
    assert set(order) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    with pytest.raises(CycleError):
        [*TopologicalSorter(MAY_IMPORT | {"geometry": {"node"}}).static_order()]


def test_imports_between_folders_are_those_permitted():
    strays = {
        (str(path.relative_to(ROOT)), folder)
        for path in MODULES
        if (home := folder_of(path)) is not None
        for folder in imported_folders(path)
        if folder not in {home, *MAY_IMPORT[home]}
    }
    assert not strays


def test_no_permission_is_left_over():
    used = {(folder_of(path), folder) for path in MODULES for folder in imported_folders(path)}
    permitted = {(home, folder) for home, folders in MAY_IMPORT.items() for folder in folders}
    assert not permitted - used


def test_ros_is_imported_in_the_node_and_the_programs_around_it_only():
    strays = {
        (str(path.relative_to(ROOT)), name)
        for path in MODULES
        if not {folder_of(path), path.relative_to(PACKAGE).as_posix()} & IMPORT_ROS
        for name in imports_of(path, run_time=True)
        if name.split(".")[0] in ROS
    }
    assert strays == {
        ("sharpdepth_ros/cli/demo.py", "rclpy"),  # says whether there is a ROS
        ("sharpdepth_ros/messages/images.py", "cv_bridge"),  # for encodings that are not our own
    }


def test_nothing_needs_torchvision_timm_or_xformers():
    used = {name.split(".")[0] for path in MODULES for name in imports_of(path)}
    assert not used & FORBIDDEN


def test_every_package_that_is_imported_is_declared():
    declared = {
        re.split(r"[^a-z0-9-]", quoted.lower().replace("_", "-"))[0]
        for quoted in re.findall(r'"([^"\n]+)"', (ROOT / "setup.py").read_text())
    }
    given = {*sys.stdlib_module_names, "sharpdepth_ros", *ROS}
    distributions = packages_distributions()
    missing = {
        (str(path.relative_to(ROOT)), name)
        for path in MODULES
        for name in {name.split(".")[0] for name in imports_of(path)} - given
        if not declared & {d.lower().replace("_", "-") for d in distributions.get(name, [name])}
    }
    assert not missing


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_opens_with_what_it_is_for(path):
    first_line = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    assert len(first_line) > 20


def test_importing_the_package_loads_neither_torch_nor_ros():
    code = "import sys, sharpdepth_ros, sharpdepth_ros.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert "sharpdepth_ros.cli" in loaded
    assert not {"torch", "rclpy", "diffusers"} & set(loaded)


PROGRAMS = {
    "an import": "import sharpdepth_ros, sharpdepth_ros.cli, sharpdepth_ros.node.main",
    "sharpdepth": "import sharpdepth_ros.cli as c; c.main('turntable a --output a.gif'.split())",
    "sharpdepth_node": "import sharpdepth_ros.node.main as program; program.main(['--ros-args'])",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_choose_how_threads_wait_before_torch_is_loaded_and_imports_do_not(program):
    code = f"""
import os, sys
before = dict(os.environ)
class Watch:  # is asked first of all for every module that is imported
    def find_spec(self, name, *_):
        if name == "torch":
            print("torch is loaded with", os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
{PROGRAMS[program]}
print("the environment is the same:", os.environ == before)
"""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT
    ).stdout.splitlines()
    if program == "an import":
        assert said == ["the environment is the same: True"]
    else:
        assert said[-1] == "torch is loaded with passive"


@pytest.mark.parametrize("name", sharpdepth_ros.__all__)
def test_every_public_name_is_there(name):
    assert getattr(sharpdepth_ros, name).__doc__


def test_the_version_is_the_same_everywhere():
    manifest = ElementTree.parse(ROOT / "package.xml").getroot()
    assert manifest.find("version").text == sharpdepth_ros.__version__
    assert f'version="{sharpdepth_ros.__version__}"' in (ROOT / "setup.py").read_text()


def test_colcon_builds_an_ament_package_with_its_executables(tmp_path):
    source = tmp_path / "src/sharpdepth_ros"
    shutil.copytree(ROOT, source, ignore=NOT_SOURCE)
    subprocess.run(
        [sys.executable, "-m", "colcon", "build"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env=os.environ | {"COLCON_LOG_PATH": str(tmp_path / "log")},
    )
    prefix = tmp_path / "install/sharpdepth_ros"
    assert (prefix / "share/ament_index/resource_index/packages/sharpdepth_ros").is_file()
    for folder in ("launch", "config"):
        sources, installed = (
            {path.name for path in place.iterdir() if path.is_file()}
            for place in (ROOT / folder, prefix / "share/sharpdepth_ros" / folder)
        )
        assert installed == sources
    executables = {path.name for path in (prefix / "lib/sharpdepth_ros").iterdir()}
    assert {"sharpdepth_node", "sharpdepth_camera"} <= executables
    # The interpreter that runs colcon: in a virtual environment that one, where torch is.
    first_line = (prefix / "lib/sharpdepth_ros/sharpdepth_node").read_text().splitlines()[0]
    assert first_line == f"#!{sys.executable}"
    for line in (ROOT / "setup.py").read_text().splitlines():
        if "= sharpdepth_ros." in line:
            module, function = line.strip().strip('",').split(" = ")[1].split(":")
            assert callable(getattr(import_module(module), function))


def _relative(folder, files):
    return {path.relative_to(folder) for path in files if path.is_file()}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="setuptools 59 runs up to Python 3.11")
def test_the_setuptools_of_ubuntu_22_04_installs_the_package_whole(tmp_path):
    """ROS 2 Humble's colcon builds with it. wheel is of the same system."""
    tools, source, dist = (tmp_path / name for name in ("tools", "source", "dist"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tools)]
    requirements = ["setuptools==59.6.0", "wheel==0.37.1"]
    subprocess.run([*pip, *requirements], check=True, capture_output=True, timeout=120)
    shutil.copytree(ROOT, source, ignore=NOT_SOURCE)
    ended = subprocess.run(
        [sys.executable, "setup.py", "bdist_wheel", "--dist-dir", str(dist)],
        cwd=source,
        env=os.environ | {"PYTHONPATH": str(tools)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    (wheel,) = dist.glob("*.whl")
    installed = tmp_path / "installed"
    shutil.unpack_archive(wheel, installed, "zip")
    package = source / PACKAGE.name
    expected = _relative(package, package.rglob("*"))
    assert _relative(installed / PACKAGE.name, (installed / PACKAGE.name).rglob("*")) == expected
    (share,) = installed.glob("*.data/data/share/sharpdepth_ros")
    for folder in ("launch", "config"):
        there = _relative(share / folder, (share / folder).rglob("*"))
        assert there == _relative(source / folder, (source / folder).rglob("*"))


def test_the_demo_weights_tell_nothing_of_the_machine_that_made_them():
    configurations = sorted((PACKAGE / "weights/demo").rglob("*.json"))
    assert len(configurations) >= 5
    for file in configurations:
        assert "_name_or_path" not in file.read_text(), file
