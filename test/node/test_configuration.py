# SPDX-License-Identifier: Apache-2.0
"""Launch arguments and the files in config/ against the names the node really uses."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from sharpdepth_ros.node import launching, parameter_docs, ros_compat, topics
from sharpdepth_ros.node.launching import (
    PROFILE,
    argument_descriptions,
    camera_names,
    find_profile,
    large_message_environment,
    memory_environment,
    parameters_from_text,
)
from sharpdepth_ros.node.parameters import DEFAULTS, SPECS, Parameters

from .conftest import NodeProcess

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
OUTPUTS = {f"/{topic}" for topic in topics.OUTPUTS}


def _parameters(file: str) -> dict:
    return yaml.safe_load((CONFIG / file).read_text())["/**"]["ros__parameters"]


def test_the_parameters_file_is_the_one_the_table_writes():
    assert (CONFIG / "sharpdepth.yaml").read_text() == parameter_docs.yaml(), (
        "run: python -m sharpdepth_ros.node.parameter_docs yaml > config/sharpdepth.yaml"
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
    assert peer.set_parameters(min_depth=9.0) == (
        False,
        "min_depth 9.0 must be below max_depth 8.0; set both in one call",
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


def test_cameras_are_names():
    assert camera_names(" front, left_2 ") == ["front", "left_2"]
    assert camera_names("") == []
    for bad in ("front,front", "a/b", "2nd", "left-rear"):
        with pytest.raises(ValueError, match="camera"):
            camera_names(bad)


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
        installed = tmp_path / "lib/site-packages/sharpdepth_ros/node/launching.py"
        monkeypatch.setattr(launching, "__file__", str(installed))
        monkeypatch.setattr(launching.sys, "prefix", str(tmp_path / "venv"))
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
