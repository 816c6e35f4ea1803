# SPDX-License-Identifier: Apache-2.0
"""Launch arguments and the files in config/ against the names the node really uses."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from sharpdepth_ros.messages import topics
from sharpdepth_ros.node import fastdds, ros_compat
from sharpdepth_ros.node.fastdds import (
    PROFILE,
    find_profile,
    large_message_environment,
    memory_environment,
)
from sharpdepth_ros.node.launch_arguments import (
    ARGUMENTS,
    CAMERA_ARGUMENTS,
    argument_descriptions,
    camera_namespaces,
    camera_parameters,
    parameters_from_text,
    planned,
)
from sharpdepth_ros.processing import parameter_docs
from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, Parameters

from .conftest import NodeProcess

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
OUTPUTS = {f"/{topic}" for topic in topics.OUTPUTS}


def _parameters(file: str) -> dict:
    return yaml.safe_load((CONFIG / file).read_text())["/**"]["ros__parameters"]


def test_the_parameters_file_is_the_one_the_table_writes():
    assert (CONFIG / "sharpdepth.yaml").read_text() == parameter_docs.yaml(), (
        "run: python -m sharpdepth_ros.processing.parameter_docs yaml > config/sharpdepth.yaml"
    )
    assert _parameters("sharpdepth.yaml") == DEFAULTS


@pytest.mark.parametrize("preset", ["navigation.yaml", "low_latency.yaml"])
def test_a_preset_sets_parameters_that_exist_to_values_they_take(preset):
    values = _parameters(preset)
    assert Parameters().changed(values) != Parameters()


def test_the_node_takes_the_parameters_file(start_node, peer):
    node: NodeProcess = start_node(
        stand_in=True, ros_args=("--params-file", str(CONFIG / "navigation.yaml")), autostart=False
    )
    assert peer.state() == "unconfigured"
    assert peer.set_parameters(min_depth=100.0) == (
        False,
        "min_depth 100.0 must be below max_depth 100.0; set both in one call",
    )
    assert node.process.poll() is None


def test_the_voxel_layer_listens_to_the_cloud_as_ros_types_it():
    costmap = yaml.safe_load((CONFIG / "nav2_voxel.yaml").read_text())
    layer = costmap["local_costmap"]["local_costmap"]["ros__parameters"]["voxel_layer"]
    for name in layer["observation_sources"].split():
        assert layer[name]["topic"] == f"/{topics.POINTS}"
        assert layer[name]["data_type"] == "PointCloud2"


def test_rviz_shows_topics_the_node_has():
    shown = yaml.safe_load((CONFIG / "sharpdepth.rviz").read_text())
    displays = shown["Visualization Manager"]["Displays"]
    assert {display["Topic"]["Value"] for display in displays} <= OUTPUTS
    kinds = {d["Topic"]["Value"]: d["Class"].split("/")[1] for d in displays}
    assert kinds["/points"] == "PointCloud2"


def test_every_parameter_is_a_launch_argument_with_its_default():
    descriptions = argument_descriptions()
    assert list(descriptions) == list(SPECS)
    assert descriptions["lotus_steps"].endswith("Default 1; 1 to 50.")


def test_launch_arguments_become_typed_values_and_empty_ones_are_left_to_the_file():
    texts = {"compile": "True", "max_depth": "10", "lotus_steps": "4", "model": "7", "mode": ""}
    assert parameters_from_text(texts) == {
        "compile": True,
        "max_depth": 10.0,
        "lotus_steps": 4,
        "model": "7",
    }


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"compile": "yes"}, "compile must be true or false, got 'yes'"),
        ({"lotus_steps": "1.5"}, "lotus_steps must be a number, got '1.5'"),
        ({"mode": "fast"}, "mode must be one of"),
    ],
)
def test_a_launch_argument_that_is_not_valid_is_refused(texts, reason):
    with pytest.raises(ValueError, match=reason):
        parameters_from_text(texts)


def test_cameras_are_namespaces():
    assert camera_namespaces(" front, left_2 ", "") == ["front", "left_2"]
    assert camera_namespaces("front/left,/robot/rear/", "r2") == ["r2/front/left", "/robot/rear"]
    assert camera_namespaces("front", "/r2") == ["/r2/front"]
    assert camera_namespaces("", "r2") == ["r2"]
    for bad in ("front,front", "front,/front", "2nd", "left-rear", "a//b", "größe"):
        with pytest.raises(ValueError, match="camera"):
            camera_namespaces(bad, "")
    with pytest.raises(ValueError, match="namespace 'my robot' cannot be a namespace"):
        camera_namespaces("", "my robot")


def plan(**texts: str):
    """The plan of sharpdepth.launch.py with these arguments."""
    defaults = {name: default for name, (default, _) in ARGUMENTS.items()}
    return planned({**dict.fromkeys(SPECS, ""), **defaults, **texts})


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"use_sim_time": "yes"}, "use_sim_time must be true or false, got 'yes'"),
        ({"large_messages": "1"}, "large_messages must be true or false, got '1'"),
        ({"log_level": "verbose"}, "log_level must be one of debug, info, .*, got 'verbose'"),
        ({"image": "/cam/image raw"}, "image:=/cam/image raw is no name of a topic"),
        ({"camera_info": "/2nd/info"}, "camera_info:=/2nd/info is no name of a topic"),
        ({"namespace": "my robot"}, "namespace 'my robot' cannot be a namespace"),
        ({"cameras": "a,b", "image": "/cam/image"}, "/cam/image .* must be relative names"),
        ({"params_file": "~/gone.yaml"}, "there is no parameter file /.*/gone.yaml"),
    ],
)
def test_a_wrong_launch_argument_is_refused_before_anything_starts(texts, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        plan(**texts)


@pytest.mark.parametrize(
    ("image", "info"),
    [
        ("image", "camera_info"),
        ("/cam/image_raw", "/cam/camera_info"),
        ("/cam/color/image_raw/compressed", "/cam/color/camera_info"),
        ("/image", "/camera_info"),
        ("cam/image_raw/compressedDepth", "cam/camera_info"),
        ("image/compressed", "camera_info"),
        ("~/image", "~/camera_info"),
    ],
)
def test_camera_info_is_looked_for_beside_the_image_and_that_is_said(image, info):
    (node,), remarks = plan(image=image).nodes, plan(image=image).remarks
    assert node.camera_info == info
    said = f"camera_info is not given: it is {info}, beside the image {image}"
    assert (said in remarks) == (image != "image")
    assert plan(image=image, camera_info="/other").nodes[0].camera_info == "/other"


def test_a_parameter_file_is_checked_for_the_nodes_that_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "nav.yaml"

    def with_file(text: str, **texts: str):
        file.write_text(text)
        return plan(params_file="~/nav.yaml", **texts)

    assert with_file("/**: {ros__parameters: {max_depth: 8}}").params_file == file
    with pytest.raises(
        ValueError, match=r"nav\.yaml: max_depth must be from 0.0 to 1000.0, got 5000"
    ):
        with_file("/**: {ros__parameters: {max_depth: 5000}}")
    text = "/front/sharpdepth: {ros__parameters: {max_depth: 8}}"
    with pytest.raises(ValueError, match=r"of /front/sharpdepth, not of /sharpdepth: write /sharp"):
        with_file(text)
    assert with_file(text, cameras="front,left", image="image_raw").remarks != []
    assert with_file(text, namespace="front").nodes[0].name == "/front/sharpdepth"
    assert with_file(text, ros_namespace="/front").nodes[0].name == "/front/sharpdepth"
    with pytest.raises(ValueError, match=r"min_depth 9\.0 must be below max_depth 8\.0"):
        with_file(text, namespace="front", min_depth="9")
    far = "/**: {ros__parameters: {max_depth: 200}}"
    assert with_file(far, min_depth="150").parameters == {"min_depth": 150.0}
    text = "/sharpdepth: {ros__parameters: {seed: 1}}\n/**: {ros__parameters: {max_depth: 8}}"
    with pytest.raises(
        ValueError, match=r"max_depth:=9.0 has no effect, because .*nav\.yaml addre"
    ):
        with_file(text, max_depth="9")
    (remark,) = with_file("sharpdepth: {ros__parameters: {max_dpeth: 8}}").remarks
    assert "nav.yaml sets max_dpeth (did you mean max_depth?): /sharpdepth has no such" in remark


def test_the_time_is_the_files_unless_an_argument_says_it():
    assert plan().parameters == {}
    assert plan(use_sim_time="True").parameters == {"use_sim_time": True}


def test_a_misspelt_launch_argument_is_named():
    (remark,) = plan(imge="/cam/image", rviz_config="x", images="folder", other="1").remarks
    assert "imge:=/cam/image is no argument of sharpdepth.launch.py; did you mean image?" in remark


def test_descriptions_of_launch_arguments_stand_alone():
    described = {name: text for name, (*_, text) in (ARGUMENTS | CAMERA_ARGUMENTS).items()}
    for name, text in (described | argument_descriptions()).items():
        assert not text.lower().startswith("of "), name
        assert "likewise" not in text, name
        assert text.endswith("."), name


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"width": "wide"}, "width must be a number, got 'wide'"),
        ({"rate": "fast"}, "rate must be a number, got 'fast'"),
        ({"images": "/no/such/folder"}, "images:=/no/such/folder is no folder"),
    ],
)
def test_a_wrong_argument_of_the_demo_camera_is_refused(texts, reason):
    defaults = {name: default for name, (default, *_) in CAMERA_ARGUMENTS.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        camera_parameters(defaults | texts)


class TestLargeMessages:
    PROFILE = CONFIG / "fastdds_large_messages.xml"

    @pytest.mark.parametrize(
        ("library", "variable"),
        [
            ("lib/libfastdds.so.3.2", "FASTDDS_DEFAULT_PROFILES_FILE"),
            ("lib/libfastrtps.so.2.14", "FASTRTPS_DEFAULT_PROFILES_FILE"),
            ("lib/aarch64-linux-gnu/libfastrtps.so.2.6.8", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ],
    )
    @pytest.mark.parametrize("place", ["installation", "wheels"])
    def test_the_profile_is_given_to_the_fast_dds_that_is_installed(
        self, place, library, variable, monkeypatch, tmp_path
    ):
        (tmp_path / library).parent.mkdir(parents=True)
        (tmp_path / library).touch()
        environment = {"AMENT_PREFIX_PATH": f"{tmp_path / 'mine'}:{tmp_path}"}
        if place == "wheels":
            monkeypatch.setattr(ros_compat.sys, "prefix", str(tmp_path))
            environment = {}
        for rmw in ("", "rmw_fastrtps_cpp"):
            for distribution in ("", "jazzy", "kilted"):  # it says nothing of wheels
                told = {"RMW_IMPLEMENTATION": rmw, "ROS_DISTRO": distribution}
                variables, _ = large_message_environment(self.PROFILE, environment | told)
                assert variables == {variable: str(self.PROFILE)}

    @pytest.mark.parametrize(
        "environment",
        [
            {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
            {"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"},
            {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"},
        ],
    )
    def test_what_a_user_chose_stays(self, environment):
        variables, reason = large_message_environment(self.PROFILE, environment)
        assert variables == {}
        assert next(iter(environment.values())) in reason or next(iter(environment)) in reason

    def test_the_profile_is_found_in_the_source_tree_and_where_colcon_installs_it(
        self, tmp_path, monkeypatch
    ):
        assert find_profile({}) == self.PROFILE
        # As installed: no config/ beside the package.
        installed = tmp_path / "lib/site-packages/sharpdepth_ros/node/fastdds.py"
        monkeypatch.setattr(fastdds, "__file__", str(installed))
        monkeypatch.setattr(fastdds.sys, "prefix", str(tmp_path / "venv"))
        environment = {"AMENT_PREFIX_PATH": f"{tmp_path / 'other'}:{tmp_path / 'install'}"}
        assert find_profile(environment) is None
        colcons = tmp_path / "install/share/sharpdepth_ros" / PROFILE
        pips = tmp_path / "venv/share/sharpdepth_ros" / PROFILE
        for place in (colcons, pips):
            place.parent.mkdir(parents=True)
            place.touch()
            assert find_profile(environment) == place

    def test_memory_is_kept_unless_the_user_chose_an_allocator(self):
        assert set(memory_environment({})) == {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
        for chosen in ("MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"):
            assert memory_environment({chosen: "1"}) == {}

    def test_its_messages_fit_the_cloud_of_a_large_image(self):
        text = re.sub(r' xmlns="[^"]+"', "", self.PROFILE.read_text())
        profile = ElementTree.fromstring(text)
        shared = profile.find(".//transport_descriptor[type='SHM']")
        assert int(shared.find("maxMessageSize").text) > 1280 * 720 * 16
        assert int(shared.find("segment_size").text) >= 4 * 1280 * 720 * 16


def test_the_documentation_shows_the_parameter_table():
    assert (ROOT / "docs/parameters.md").read_text() == parameter_docs.markdown()
