# SPDX-License-Identifier: Apache-2.0
"""Every option that decides a result is a fact of it; the others are named, with the reason."""

import argparse
import os
import shutil
from pathlib import Path

import pytest

from sharpdepth_ros.cli import evaluation, image
from sharpdepth_ros.cli.options import facts_of
from sharpdepth_ros.pipeline.provenance import camera_facts, changes, folder_digest
from sharpdepth_ros.weights.locate import locate

COMMANDS = {
    "image": (image, ["a.png", "--output", "out"]),
    "video": (image, ["a.mp4", "--output", "out"]),
    "evaluate": (evaluation, ["--dataset", "folder", "--root", "in", "--output", "out"]),
}


def _parser(command):
    commands = argparse.ArgumentParser().add_subparsers()
    COMMANDS[command][0].add_commands(commands)
    return commands.choices[command]


def _options(command):
    return [a for a in _parser(command)._actions if a.dest != "help"]


def _another(action, value, folder):
    """A value of an option that differs from the one that it has."""
    if action.dest in ("model", "metric_model", "generator", "tiny_vae"):
        kind = "metric" if action.dest == "metric_model" else "sharpener"
        part = "tiny_vae" if action.dest == "tiny_vae" else ""
        return str(shutil.copytree(locate("demo", kind) / part, folder / action.dest))
    if action.dest == "precision":
        return "bf16"
    if action.dest == "preset":
        return "fast"
    if action.nargs == 0:
        return not value
    if action.choices:
        return next(choice for choice in action.choices if choice != value)
    if isinstance(value, list):
        return [*value, ("steps", 2)]
    return f"{value}x" if action.type in (None, str) else 7


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_decides_or_is_named_with_the_reason_why_not(command, tmp_path):
    module, arguments = COMMANDS[command]
    parsed = _parser(command).parse_args(arguments)
    before = facts_of(parsed, module.NOT_DECIDING_HERE)
    assert changes(before, facts_of(parsed, module.NOT_DECIDING_HERE)) == {}
    silent = set()
    for action in _options(command):
        if action.dest in module.NOT_DECIDING_HERE:
            assert module.NOT_DECIDING_HERE[action.dest]
            continue
        value = _another(action, getattr(parsed, action.dest), tmp_path)
        changed = argparse.Namespace(**vars(parsed) | {action.dest: value})
        found = changes(before, facts_of(changed, module.NOT_DECIDING_HERE))
        if action.dest not in found:
            silent.add(action.dest)
    assert silent == set()


def test_the_names_of_what_does_not_decide_are_those_of_options():
    for module in (image, evaluation):
        commands = [name for name, (owner, _) in COMMANDS.items() if owner is module]
        known = {action.dest for name in commands for action in _options(name)} | {"run"}
        assert set(module.NOT_DECIDING_HERE) <= known


def test_weights_are_told_apart_by_what_is_in_them_and_not_by_their_time(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(b"0123")
    first = folder_digest(folder)
    os.utime(weights, (1, 1))
    assert folder_digest(folder) == first
    weights.write_bytes(b"0124")
    assert folder_digest(folder) != first
    shutil.copytree(folder, tmp_path / "copy")
    assert folder_digest(tmp_path / "copy") == folder_digest(folder)
    weights.rename(folder / "other.safetensors")
    assert folder_digest(folder) != folder_digest(tmp_path / "copy")


def test_a_tiny_vae_that_was_trained_again_is_a_fact_of_the_presets_that_use_one(tmp_path):
    module, arguments = COMMANDS["image"]
    folder = shutil.copytree(locate("demo", "sharpener") / "tiny_vae", tmp_path / "tiny")
    parsed = _parser("image").parse_args(
        [*arguments, "--preset", "fast", "--tiny-vae", str(folder)]
    )
    before = facts_of(parsed, module.NOT_DECIDING_HERE)
    with (folder / "config.json").open("a") as file:
        file.write(" ")
    found = changes(before, facts_of(parsed, module.NOT_DECIDING_HERE))
    assert found.keys() == {"tiny_vae_weights"}


def test_a_camera_is_told_apart_by_the_content_of_its_file(tmp_path):
    (tmp_path / "deep").mkdir()
    one, other = tmp_path / "deep/a.txt", tmp_path / "deep/b.txt"
    one.write_text("1 2 3 4"), other.write_text("1 2 3 4")

    def facts():
        folder = str(tmp_path)
        names = [Path("deep/a"), Path("deep/b")]
        return [camera_facts(str(one)), *(camera_facts(folder, name) for name in names)]

    before = facts()
    one.write_text("1 2 3 5")
    assert [old == new for old, new in zip(before, facts(), strict=True)] == [False, False, True]
    assert camera_facts("1,2,3,4") == ["1,2,3,4"]
    assert camera_facts(None) is None


def test_a_change_is_said_with_both_values():
    assert changes({"a": 1, "b": [2]}, {"a": 1, "b": [3], "c": "x"}) == {
        "b": "b was [2] and is [3]",
        "c": "c was not recorded and is 'x'",
    }
