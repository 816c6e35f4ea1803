# SPDX-License-Identifier: Apache-2.0
"""Configurations: what is read, overridden and refused; the shipped ones load."""

from pathlib import Path

import pytest
import yaml

from sharpdepth_ros.training.config import load_config
from sharpdepth_ros.training.run import STAGES
from sharpdepth_ros.training.stages.sharpen import SharpenOptions
from sharpdepth_ros.training.stages.vae import VaeOptions

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "train").glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_a_shipped_configuration_is_one_of_a_stage(file):
    stage = next(name for name in STAGES if file.stem.replace("_", "-").startswith(name))
    assert load_config(file, [], STAGES[stage][1]).optimizer.steps > 0


def test_overrides_come_after_the_file_and_take_its_types(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump({"optimizer": {"steps": 5}, "stage": {"channels": [8, 16]}}))
    overrides = ["optimizer.steps=7", "optimizer.learning_rate=1e-4", "optimizer.minutes=null"]
    config = load_config(file, overrides, VaeOptions)
    assert (config.optimizer.steps, config.optimizer.learning_rate) == (7, 1e-4)
    assert config.stage.channels == (8, 16)


def test_a_word_that_yaml_reads_as_false_is_taken_for_what_it_says():
    config = load_config(None, ["optimizer.precision=no"], VaeOptions)
    assert config.optimizer.precision == "no"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.stepz=3", "optimizer.stepz"),
        ("optimiser.steps=3", "optimiser"),
        ("optimizer.steps=many", "'many'"),
        ("optimizer.steps=0", "optimizer.steps is 0"),
        ("optimizer.steps=2.5", "whole number"),
        ("optimizer.precision=fp8", "fp8"),
        ("run.resume=1", "true or false"),
        ("data.scale=0", "data.scale is 0.0"),
        ("data.scale=0.5", "without data.native_crop"),
        ("steps=3", "section.key=value"),
        ("optimizer.steps", "section.key=value"),
    ],
)
def test_a_wrong_override_is_refused_with_its_name_and_value(override, message):
    with pytest.raises(ValueError, match=message):
        load_config(None, [override], VaeOptions)


def test_an_option_without_default_is_asked_for():
    with pytest.raises(ValueError, match=r"stage\.lotus"):
        load_config(None, [], SharpenOptions)


def test_a_file_that_is_missing_or_not_yaml_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.yaml", [], VaeOptions)
    (tmp_path / "bad.yaml").write_text("stage: [")
    with pytest.raises(ValueError, match="not plain YAML"):
        load_config(tmp_path / "bad.yaml", [], VaeOptions)
