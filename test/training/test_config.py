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


@pytest.mark.parametrize("given", ["override", "file"])
@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("data.path", "2026_11_30", "2026_11_30"),
        ("data.path", "0123", "0123"),
        ("data.path", "0o17", "0o17"),
        ("data.path", "12:30", "12:30"),
        ("data.path", "1e3", "1e3"),
        ("data.path", "yes", "yes"),
        ("run.output", "off", "off"),
        ("run.output", "'a b'", "a b"),
        ("data.path", "~/images", "/home/someone/images"),
        ("data.path", "null", None),
        ("optimizer.precision", "no", "no"),
        ("optimizer.learning_rate", "1e-3", 1e-3),
        ("optimizer.steps", "1e3", 1000),
        ("optimizer.steps", "010", 10),
        ("data.flip", "off", False),
        ("data.flip", "Yes", True),
        ("stage.channels", "[8, 16]", (8, 16)),
        ("run.allow_changes", "[data.path, run.seed]", ("data.path", "run.seed")),
    ],
)
def test_an_option_is_read_by_its_type_and_not_by_the_look_of_its_text(
    given, option, text, value, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", "/home/someone")
    section, name = option.split(".")
    file = tmp_path / "a.yaml"
    file.write_text(f"{section}:\n  {name}: {text}\n")
    config = load_config(
        *((file, []) if given == "file" else (None, [f"{option}={text}"])), VaeOptions
    )
    read = getattr(getattr(config, section), name)
    assert read == value and type(read) is type(value)


def test_every_option_that_is_a_path_knows_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    names = ("stage.lotus", "stage.metric_model", "stage.metric_cache", "stage.init", "run.output")
    config = load_config(None, [f"{name}=~/{name}" for name in names], SharpenOptions)
    for section, name in (full.split(".") for full in names):
        value = getattr(getattr(config, section), name)
        assert value == f"/home/someone/{section}.{name}"


def test_a_file_of_configuration_may_leave_an_option_out_with_a_tilde(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("data:\n  path: ~\nrun:\n")
    assert load_config(file, [], VaeOptions).data.path is None


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
        ("optimizer.steps=12:30", "'12:30'; give a whole number"),
        ("optimizer.steps=0x10", "'0x10'; give a whole number"),
        ("optimizer.learning_rate=nan", "finite"),
        ("optimizer.learning_rate=[1, 2]", "give a number"),
        ("optimizer.weight_decay=-1", "give 0 or more"),
        ("optimizer.precision=fp15", r"did you mean 'fp16'\?\); choose one of auto, fp32"),
        ("optimizer.learning_rat=1", "did you mean 'learning_rate'"),
        ("optimiser.steps=3", "did you mean 'optimizer'"),
        ("run.log_every=0", "run.log_every is 0; give 1 or more"),
        ("run.output=", "run.output is empty"),
        ("data.width=4", "give 8 or more"),
        ("stage.max_depth=0", "stage.max_depth is 0.0; give a number above 0"),
        ("stage.layers=-1", "stage.layers is -1; give 1 or more"),
        ("stage.channels=[8,0]", "stage.channels is 0; give 1 or more"),
        ("data.scale=0", "data.scale is 0.0"),
        ("data.scale=0.5", "without data.native_crop"),
        ("steps=3", "section.key=value"),
        ("optimizer.steps", "section.key=value"),
    ],
)
def test_a_wrong_override_is_refused_with_its_name_and_value(override, message):
    with pytest.raises(ValueError, match=message):
        load_config(None, [override], VaeOptions)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage.ema_every=0", "stage.ema_every is 0; give 1 or more"),
        ("stage.gate_probability=1.5", "give 0 to 1"),
        ("stage.gate=Noise-Aware", "did you mean 'noise-aware'"),
    ],
)
def test_the_options_of_a_stage_have_bounds_of_their_own(override, message):
    overrides = ["stage.lotus=a", "stage.metric_model=b", override]
    with pytest.raises(ValueError, match=message):
        load_config(None, overrides, SharpenOptions)


def test_a_section_that_is_no_section_is_refused(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("data: images\n")
    with pytest.raises(ValueError, match="section data is 'images'"):
        load_config(file, [], VaeOptions)


def test_an_option_without_default_is_asked_for():
    with pytest.raises(ValueError, match=r"stage\.lotus"):
        load_config(None, [], SharpenOptions)


def test_a_file_that_is_missing_or_not_yaml_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.yaml", [], VaeOptions)
    (tmp_path / "bad.yaml").write_text("stage: [")
    with pytest.raises(ValueError, match="not plain YAML"):
        load_config(tmp_path / "bad.yaml", [], VaeOptions)
