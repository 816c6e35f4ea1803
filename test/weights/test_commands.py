# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth weights list`, `verify` and `path`, and what a usable folder is."""

import json
from pathlib import Path

import pytest

from sharpdepth_ros.weights.catalogue import CATALOGUE
from sharpdepth_ros.weights.checksums import record_file
from sharpdepth_ros.weights.commands import inventory, run_fetch, run_list, run_path, run_verify
from sharpdepth_ros.weights.layout import CHECKPOINT_PARTS, faults_of

METRIC = "unidepth-v1-vitl14"
UNIDEPTH = b'{"model": {"name": "UniDepthV1"}}'
REPOSITORY = "lpiccinelli/unidepth-v1-vitl14"


@pytest.fixture
def sharpdepth(tmp_path, tools, checkpoint_files, capsys):
    """The sharpener, fetched from a folder."""
    source = tools.write_files(tmp_path / "stick", checkpoint_files)
    assert run_fetch("sharpdepth", str(source)) == 0
    folder = tmp_path / "home" / "sharpdepth"
    out = capsys.readouterr().out
    assert out == f"sharpdepth is in {folder} (license: BSD-3-Clause-Clear)\n"
    return folder


@pytest.fixture
def snapshot(tmp_path, tools):
    """A metric model in the hub's cache."""
    files = {"config.json": UNIDEPTH, "model.safetensors": tools.weights(5, 5000)}
    return tools.write_hub_cache(tmp_path / "hub", REPOSITORY, files)


def test_the_list_names_every_model_and_where_it_is(sharpdepth, snapshot, capsys):
    assert run_list() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(CATALOGUE)
    rows = {line.split()[0]: line for line in lines}
    assert rows["sharpdepth"].endswith(str(sharpdepth))
    assert "BSD-3-Clause-Clear" in rows["sharpdepth"]
    assert rows[METRIC].endswith(str(snapshot))
    assert rows["lotus-depth-g-v1-0"].endswith("not here")
    sizes = {stored.entry.name: stored.size for stored in inventory()}
    assert sizes["sharpdepth"] == sum(f.stat().st_size for f in sharpdepth.rglob("*.*"))


def test_the_path_is_printed_alone_for_use_in_a_script(sharpdepth, capsys):
    assert run_path("sharpdepth") == 0
    assert capsys.readouterr().out == f"{sharpdepth}\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (METRIC, f"{METRIC} is not on this machine. .*`sharpdepth weights fetch {METRIC}`"),
        ("someone/model", "`sharpdepth weights fetch someone/model`"),
        ("demo", "'demo' comes with the package"),
        ("sharpdeth", "no model is called 'sharpdeth'; known are .*sharpdepth"),
    ],
)
def test_a_path_that_is_not_there_is_an_error_with_a_remedy(name, message, capsys):
    assert run_path(name) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    import re

    assert re.search(message, printed.err)


def test_a_fetch_that_fails_is_one_line_and_status_1(capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run_fetch("sharpdepth") == 1
    printed = capsys.readouterr().err
    assert printed.startswith("sharpdepth: sharpdepth could not be fetched: HF_HUB_OFFLINE")
    assert printed.count("\n") == 1


def test_sound_models_pass_the_check(sharpdepth, snapshot, capsys):
    assert run_verify() == 0
    out = capsys.readouterr().out
    assert "sharpdepth: 8 files as they were" in out
    assert f"{METRIC}: 2 files as they were" in out


@pytest.mark.parametrize("damage", ["a byte differs", "cut off", "missing"])
def test_a_damaged_file_is_named_with_the_remedy(sharpdepth, capsys, damage):
    file = sharpdepth / "unet" / "diffusion_pytorch_model.safetensors"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] + (b"" if damage == "cut off" else b"\1"))
    assert run_verify(["sharpdepth"]) == 1
    printed = capsys.readouterr().err
    assert str(file) in printed or "unet" in printed
    assert "`sharpdepth weights fetch sharpdepth --force`" in printed


def test_a_damaged_file_of_the_hubs_cache_is_named(snapshot, capsys):
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\1")
    assert run_verify([METRIC]) == 1
    assert f"{snapshot / 'model.safetensors'} has" in capsys.readouterr().err


def test_a_folder_that_was_put_there_by_hand_is_said_to_be_unchecked(
    tmp_path, tools, checkpoint_files, capsys
):
    tools.write_files(tmp_path / "home" / "sharpdepth", checkpoint_files)
    assert run_verify() == 0
    printed = capsys.readouterr().out
    assert "nothing to compare with" in printed
    folder = tmp_path / "home" / "sharpdepth"
    assert f"`sharpdepth weights fetch sharpdepth --source {folder} --force`" in printed
    assert run_fetch("sharpdepth", str(folder), force=True) == 0
    assert run_verify() == 0
    assert "8 files as they were" in capsys.readouterr().out


def test_the_hidden_companions_that_macos_makes_are_no_damage(tmp_path, tools, checkpoint_files):
    companions = {f"{Path(n).parent}/._{Path(n).name}": b"mac" for n in checkpoint_files}
    tools.write_files(tmp_path / "model", checkpoint_files | companions)
    assert faults_of(tmp_path / "model", "sharpener") == []


def test_a_model_that_is_not_here_cannot_be_verified(capsys):
    assert run_verify([METRIC]) == 1
    assert "is not on this machine" in capsys.readouterr().err
    assert run_verify() == 0
    assert "no weights are on this machine" in capsys.readouterr().out


def test_a_damaged_record_is_named(sharpdepth, capsys):
    record_file("sharpdepth").write_text(json.dumps({"files": 3}))
    assert run_verify() == 1
    assert "sharpdepth.json is damaged" in capsys.readouterr().err


def test_a_split_model_without_one_of_its_files_is_incomplete(tmp_path, tools):
    index = json.dumps({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}).encode()
    files = {"m.safetensors.index.json": index, "m-1.safetensors": tools.weights()}
    folder = tools.write_files(tmp_path / "model", files)
    assert faults_of(folder, "metric") == ["no m-2.safetensors"]


def test_the_parts_of_a_checkpoint_are_those_that_the_loader_asks_for():
    from sharpdepth_ros.models.diffusion import PARTS

    assert set(CHECKPOINT_PARTS) == set(PARTS)
