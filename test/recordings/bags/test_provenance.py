# SPDX-License-Identifier: Apache-2.0
"""Whatever decides a bag's depth is compared before unfinished work is gone on with."""

import argparse
import shutil
from dataclasses import fields, replace

import pytest

from sharpdepth_ros.cli import main, recordings
from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, Parameters
from sharpdepth_ros.recordings.bags.cameras import choose_cameras
from sharpdepth_ros.recordings.bags.depth import NOT_DECIDING, DepthRun
from sharpdepth_ros.recordings.bags.frames import Selection
from sharpdepth_ros.recordings.bags.reading import Bag as OpenBag
from sharpdepth_ros.recordings.bags.work_folder import BagForm, WorkFolder
from sharpdepth_ros.weights.locate import locate

from .conftest import Bag

BASE = ["--image", "/camera/image_raw", "--checkpoint", "0"]

DECIDING = {
    "image": ["--image", "/other/image_raw"],
    "camera_info": ["--camera-info", "/other/camera_info"],
    "cameras": ["--image", "image_raw", "--cameras", "camera"],
    "intrinsics": ["--intrinsics", "40,40,24,16"],
    "start": ["--start", "0.1"],
    "end": ["--end", "0.4"],
    "every": ["--every", "2"],
    "param": ["-p", "point_stride=2"],
    "params_file": ["--params-file", "node.yaml"],
    "namespace": ["--namespace", "deep"],
    "outputs": ["--outputs", "depth"],
    "storage": ["--storage", "sqlite3"],
    "compression": ["--compression", "message"],
}
"""Options of `sharpdepth bag` that decide what comes out, and another value of each."""

NOT_DECIDING_OPTIONS = {
    "input": "its files are recorded",
    "output": "it is where the bag goes",
    "checkpoint": "it is how often work is kept",
    "restart": "it does everything again",
}


@pytest.fixture
def unfinished(tmp_path, monkeypatch, stand_in):
    """Arguments of a run on a bag with two cameras that ended after its first frames."""
    monkeypatch.chdir(tmp_path)
    bag = Bag()
    for number in range(9):
        bag.add_frame(number)
        bag.add_frame(number, camera="/other")
    source = bag.write(tmp_path / "in", "mcap")
    (tmp_path / "node.yaml").write_text("/**:\n  ros__parameters:\n    max_depth: 5.0\n")
    shutil.copytree(locate("demo", "sharpener"), tmp_path / "model")
    stand_in.fail_at = set(range(3, 99))
    arguments = ["bag", str(source), "out", *BASE]
    assert main(arguments) == 1
    return arguments


def test_every_option_decides_or_is_named_with_the_reason_why_not():
    commands = argparse.ArgumentParser().add_subparsers()
    recordings.add_commands(commands)
    known = {action.dest for action in commands.choices["bag"]._actions} - {"help"}
    assert known == {*DECIDING, *NOT_DECIDING_OPTIONS}


@pytest.mark.parametrize("option", DECIDING)
def test_unfinished_work_is_not_gone_on_with_under_another_option(unfinished, capsys, option):
    assert main([*unfinished, *DECIDING[option]]) == 2
    said = capsys.readouterr().err
    assert "holds the work of another run" in said
    assert " was " in said and " and is " in said


def test_a_model_that_was_trained_again_is_another_model(unfinished, tmp_path, capsys):
    arguments = [*unfinished, "-p", "model=model"]
    assert main([*arguments, "--restart"]) == 1
    weights = next((tmp_path / "model/unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    capsys.readouterr()
    assert main(arguments) == 2
    assert "model_weights was" in capsys.readouterr().err


def _another(name, folder):
    spec, value = SPECS[name], DEFAULTS[name]
    if name in ("model", "metric_model", "generator", "tiny_vae"):
        kind = {"metric_model": "metric", "tiny_vae": "tiny-vae"}.get(name, "sharpener")
        part = "tiny_vae" if kind == "tiny-vae" else ""
        source = locate("demo", "metric" if kind == "metric" else "sharpener") / part
        return str(shutil.copytree(source, folder / name))
    if spec.choices:
        return next(c for c in spec.choices if c not in (value, "tf32"))
    if name == "intensity_range":
        return "full"
    if isinstance(value, bool):
        return not value
    return 0.5 if isinstance(value, float) else value + 1


def test_every_parameter_decides_or_is_named_with_the_reason_why_not(tmp_path):
    bag = Bag()
    bag.add_frame(0)
    with OpenBag(bag.write(tmp_path / "in", "mcap")) as opened:
        parameters = Parameters()
        run = DepthRun(
            choose_cameras(opened, parameters), parameters, ["points"], Selection(), BagForm("mcap")
        )
        found = set()
        for name in (field.name for field in fields(Parameters)):
            if name in NOT_DECIDING:
                continue
            value = {name: _another(name, tmp_path)}
            changed = replace(run, parameters=replace(parameters, **value))
            if changed.identity(opened) != run.identity(opened):
                found.add(name)
    assert found == set(DEFAULTS) - NOT_DECIDING.keys()


def test_a_bag_that_lost_messages_is_not_put_in_place(tmp_path, stand_in):
    bag = Bag()
    bag.add_frame(0)
    source = bag.write(tmp_path / "in", "mcap")
    folder = WorkFolder(tmp_path / "out", BagForm("mcap"), {})
    with folder.opened():
        source.rename(folder.begin_piece())
        folder.finish_piece(folder.begin_piece(), {})
        with pytest.raises(ValueError, match="holds 2 of 3 messages and is not put in place"):
            folder.put_in_place(3)
        assert not (tmp_path / "out").exists()
        folder.put_in_place(2)
    assert (tmp_path / "out").exists()
