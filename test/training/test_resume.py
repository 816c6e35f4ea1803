# SPDX-License-Identifier: Apache-2.0
"""Checkpoints are whole, and a run continues the one that it says it continues."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpdepth_ros import SharpDepthPipeline, load_metric_model
from sharpdepth_ros.io.depth_files import write_rgb
from sharpdepth_ros.training import train
from sharpdepth_ros.training.diffusers_folder import require_written, write_trained
from sharpdepth_ros.training.run_checkpoints import (
    CheckpointNotWritten,
    checkpoints_of,
    write_checkpoint,
)


def in_hub_cache(folder: Path, cache: Path) -> Path:
    """The checkpoint as the hub's client keeps it: relative links into blobs/."""
    snapshot = cache / "models--someone--lotus" / "snapshots" / ("0" * 40)
    blobs = cache / "models--someone--lotus" / "blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(sorted(f for f in folder.rglob("*") if f.is_file())):
        shutil.copyfile(file, blobs / str(number))
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    return snapshot


@pytest.fixture(scope="module")
def trained(stack, tmp_path_factory):
    """A sharpener's training of two checkpoints."""
    output = tmp_path_factory.mktemp("trained") / "run"
    more = ["optimizer.steps=2", "run.checkpoint_every=1"]
    assert train("sharpen", None, stack.arguments("sharpen", output, *more)) == 0
    return output


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it for one test."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def resume(stack, run):
    def again(*more, stage="sharpen"):
        options = ["optimizer.steps=3", "run.resume=true", *more]
        return train(stage, None, stack.arguments(stage, run, *options))

    return again


def test_a_sharpener_of_a_lotus_in_the_hubs_cache_is_whole_without_the_cache(stack, tmp_path):
    lotus = in_hub_cache(checkpoints_of(stack.lotus)[-1], tmp_path / "hub")
    output = tmp_path / "run"
    more = ["optimizer.steps=1", f"stage.lotus={lotus}"]
    assert train("sharpen", None, stack.arguments("sharpen", output, *more)) == 0
    (checkpoint,) = checkpoints_of(output)
    assert not [file for file in checkpoint.rglob("*") if file.is_symlink()]
    shutil.rmtree(tmp_path / "hub")
    metric = load_metric_model(checkpoints_of(stack.metric)[-1], device="cpu")
    pipe = SharpDepthPipeline.from_pretrained(checkpoint, metric_model=metric, device="cpu")
    assert pipe(np.zeros((24, 32, 3), np.uint8), processing_resolution=32).depth.shape == (24, 32)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "config.json").symlink_to("gone"),
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x40"),
        lambda folder: (folder / "optimizer.bin").write_bytes(b"PK"),
        lambda folder: (folder / "config.json").write_text("{"),
    ],
    ids=["a link to nothing", "weights", "optimiser", "configuration"],
)
def test_a_checkpoint_that_is_not_whole_does_not_take_the_place_of_the_last(spoil, tmp_path):
    write_checkpoint(tmp_path, 1, lambda folder: (folder / "a").write_text("a"), keep=1)
    with pytest.raises(CheckpointNotWritten, match=r"not whole.*checkpoint-000001"):
        write_checkpoint(tmp_path, 2, spoil, keep=1)
    assert [p.name for p in checkpoints_of(tmp_path)] == ["checkpoint-000001"]
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_that_cannot_be_written_is_reported_with_the_room_on_its_disk(tmp_path):
    def fail(folder):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    with pytest.raises(CheckpointNotWritten, match=r"unexpected pos.*its disk has [\d,.]+ MB free"):
        write_checkpoint(tmp_path, 2, fail, keep=2)


def test_weights_on_the_disk_are_compared_with_the_network(tmp_path):
    network, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 4)
    from safetensors.torch import save_file

    save_file(network.state_dict(), tmp_path / "a.safetensors")
    require_written(network, [tmp_path / "a.safetensors"])
    with pytest.raises(OSError, match=r"weight of the network has the shape \[4, 2\]"):
        require_written(other, [tmp_path / "a.safetensors"])
    with pytest.raises(OSError, match=r"no \.safetensors file it is missing"):
        require_written(network, [])


def test_a_checkpoint_of_a_base_that_lacks_a_part_is_not_called_whole(stack, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(checkpoints_of(stack.lotus)[-1], base)
    (base / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    with pytest.raises(OSError, match="vae"):
        write_trained(tmp_path / "written", unet, base)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("stage.gate=uniform", r"stage\.gate was 'noise-aware' and is 'uniform'"),
        ("stage.teacher=student", r"stage\.teacher was 'ema' and is 'student'"),
        ("optimizer.batch_size=2", r"optimizer\.batch_size was 1 and is 2"),
        ("optimizer.accumulate=3", r"optimizer\.accumulate was 1 and is 3"),
        ("data.width=64", r"data\.width was 32 and is 64"),
        ("run.seed=7", r"run\.seed was 42 and is 7"),
        ("data.intrinsics=30,30,16,12", r"data\.intrinsics was None and is '30,30,16,12'"),
    ],
)
def test_a_resumed_run_with_another_option_is_refused_with_both_values(change, words, resume, run):
    with pytest.raises(ValueError, match=rf"{words}.*run\.allow_changes=\[{change.split('=')[0]}"):
        resume(change)
    assert [p.name for p in checkpoints_of(run)] == ["checkpoint-000001", "checkpoint-000002"]


def test_a_change_that_is_allowed_by_name_is_said_and_made(resume, run, capsys):
    name = "optimizer.batch_size"
    assert resume(f"{name}=2", f"run.allow_changes=[{name}]") == 0
    assert f"continuing with changes: {name} was 1 and is 2" in capsys.readouterr().out
    assert checkpoints_of(run)[-1].name == "checkpoint-000003"


def test_an_unknown_name_among_the_allowed_changes_is_refused(resume):
    with pytest.raises(ValueError, match=r"'optimizer\.batchsize'.*'optimizer\.batch_size'"):
        resume("run.allow_changes=[optimizer.batchsize]")


def test_what_does_not_change_the_steps_may_differ(resume, tmp_path):
    free = ["optimizer.minutes=60", "run.log_every=2", "run.checkpoint_every=5", "run.keep=3"]
    assert resume(*free, "data.in_memory=true", f"stage.metric_cache={tmp_path / 'cache'}") == 0


def test_other_images_in_the_same_folder_are_noticed_and_the_same_elsewhere_are_not(
    stack, tmp_path, capsys
):
    images, output = tmp_path / "images", tmp_path / "run"
    shutil.copytree(stack.frames / "rgb", images)
    arguments = stack.arguments("sharpen", output, f"data.path={images}", "optimizer.steps=1")
    assert train("sharpen", None, arguments) == 0
    moved = images.rename(tmp_path / "moved")
    again = [*arguments, "optimizer.steps=2", "run.resume=true", f"data.path={moved}"]
    assert train("sharpen", None, again) == 0
    write_rgb(moved / "more.png", np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"data\.path is still .*moved', but what lies"):
        train("sharpen", None, [*again, "optimizer.steps=3"])


def test_a_teacher_that_was_trained_on_in_its_folder_is_noticed(stack, tmp_path):
    metric, output = tmp_path / "metric", tmp_path / "run"
    shutil.copytree(checkpoints_of(stack.metric)[-1], metric)
    arguments = stack.arguments("sharpen", output, f"stage.metric_model={metric}")
    assert train("sharpen", None, [*arguments, "optimizer.steps=1"]) == 0
    weights = metric / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ValueError, match=r"stage\.metric_model is still .*has changed"):
        train("sharpen", None, [*arguments, "optimizer.steps=2", "run.resume=true"])


def test_another_training_in_the_same_folder_is_refused(resume):
    with pytest.raises(ValueError, match=r"another training \(SharpenStage, not MetricStage\)"):
        resume(stage="metric")


def test_a_network_of_another_shape_cannot_continue_whatever_is_allowed(stack, tmp_path):
    output = tmp_path / "run"
    assert train("metric", None, stack.arguments("metric", output, "optimizer.steps=1")) == 0
    more = ["optimizer.steps=2", "run.resume=true", "stage.channels=[16,48]"]
    more += ["run.allow_changes=[stage.channels]"]
    with pytest.raises(ValueError, match=r"another network.*run\.output") as refused:
        train("metric", None, stack.arguments("metric", output, *more))
    assert "emove" not in str(refused.value)


def test_a_moving_average_that_was_never_kept_cannot_be_continued(stack, tmp_path):
    output = tmp_path / "run"
    options = ["optimizer.steps=1", "stage.teacher=lotus"]
    assert train("sharpen", None, stack.arguments("sharpen", output, *options)) == 0
    more = ["optimizer.steps=2", "run.resume=true", "run.allow_changes=[stage.teacher]"]
    with pytest.raises(ValueError, match=r"stage\.init=.*checkpoint-000001"):
        train("sharpen", None, stack.arguments("sharpen", output, *more))


def test_an_empty_checkpoint_folder_is_none(resume, run):
    (run / "checkpoint-000009").mkdir()  # a kill while one was removed
    assert resume() == 0
    assert checkpoints_of(run)[-1].name == "checkpoint-000003"


@pytest.mark.parametrize("damage", ["removed", "torn"])
def test_a_run_continues_from_the_last_checkpoint_whose_state_is_whole(damage, resume, run, capsys):
    state = run / "checkpoint-000002" / "training_state"
    if damage == "removed":
        shutil.rmtree(state)
    else:
        (state / "optimizer.bin").write_bytes((state / "optimizer.bin").read_bytes()[:100])
    assert resume() == 0
    printed = capsys.readouterr().out
    assert f"not continuing from {run / 'checkpoint-000002'}" in printed
    assert "from step 1" in printed


def test_checkpoints_without_any_state_are_kept_and_named_as_a_start(resume, run):
    for state in run.glob("*/training_state"):
        shutil.rmtree(state)
    with pytest.raises(ValueError, match=r"stage\.init=.*checkpoint-000002"):
        resume()
    assert len(checkpoints_of(run)) == 2


def test_a_checkpoint_of_an_earlier_version_is_compared_by_its_options(resume, run):
    for file in run.glob("*/training_state/progress.json"):
        progress = json.loads(file.read_text())
        kept = {name: progress[name] for name in ("step", "seconds", "config")}
        del kept["config"]["run"]["allow_changes"]
        file.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"stage\.gate was"):
        resume("stage.gate=uniform")
    with pytest.raises(ValueError, match="another training"):
        resume(stage="metric")
    assert resume() == 0


def test_a_torn_line_of_the_log_does_not_end_a_resume(resume, run):
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 2, "lo}\n[1]\n')
    assert resume() == 0
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_the_list_of_unreadable_images_is_complete_after_a_resume(stack, tmp_path):
    images, output = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    for number in range(70):
        (images / f"a{number:02d}.png").touch()
    for file in (stack.frames / "rgb").glob("*.png"):
        shutil.copyfile(file, images / f"b{file.name}")
    arguments = stack.arguments("sharpen", output, f"data.path={images}")
    assert train("sharpen", None, [*arguments, "optimizer.steps=3"]) == 0
    before = set((output / "unreadable-0.txt").read_text().splitlines())
    assert train("sharpen", None, [*arguments, "optimizer.steps=6", "run.resume=true"]) == 0
    after = (output / "unreadable-0.txt").read_text().splitlines()
    assert before < set(after)
    assert len(after) == len(set(after)) <= 70


def test_an_output_that_cannot_be_made_is_a_sentence(stack, tmp_path):
    (tmp_path / "file").write_text("")
    arguments = stack.arguments("vae", tmp_path / "file", "optimizer.steps=1")
    with pytest.raises(ValueError, match=r"run\.output is .*file"):
        train("vae", None, arguments)


def test_a_log_that_cannot_be_written_does_not_end_the_training(stack, tmp_path, capsys):
    output = tmp_path / "run"
    (output / "log.jsonl").mkdir(parents=True)
    assert train("vae", None, stack.arguments("vae", output, "optimizer.steps=2")) == 0
    assert capsys.readouterr().err.count("cannot be written") == 1
    assert checkpoints_of(output)[-1].name == "checkpoint-000002"
