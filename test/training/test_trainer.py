# SPDX-License-Identifier: Apache-2.0
"""The training loop: it learns, resumes as if it had never stopped, and stops without loss."""

import json
import math

import diffusers
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from sharpdepth_ros import SharpDepthPipeline, load_metric_model
from sharpdepth_ros.cli import main
from sharpdepth_ros.training import train, trainer
from sharpdepth_ros.training.run_checkpoints import (
    CheckpointNotWritten,
    checkpoints_of,
    write_checkpoint,
)
from sharpdepth_ros.training.stages.lotus import LotusStage
from sharpdepth_ros.training.stages.sharpen import SharpenStage

ALL = ("metric", "vae", "lotus", "sharpen")


def log_of(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("stage", ALL)
def test_a_few_steps_reduce_the_loss_on_one_batch(stage, stack, tmp_path):
    more = ["data.frames=2", "data.flip=false", "optimizer.batch_size=2", "optimizer.steps=40"]
    more += ["optimizer.learning_rate=3e-3", "optimizer.schedule=constant", "data.in_memory=true"]
    assert train(stage, None, stack.arguments(stage, tmp_path / "run", *more)) == 0
    losses = [line["loss"] for line in log_of(tmp_path / "run")]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("stage", ALL)
def test_a_resumed_run_ends_with_the_same_bits(stage, stack, tmp_path):
    more = ["optimizer.accumulate=2", "optimizer.schedule=constant", "run.keep=9"]
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert train(stage, None, stack.arguments(stage, once, *more, "optimizer.steps=4")) == 0
    assert train(stage, None, stack.arguments(stage, twice, *more, "optimizer.steps=2")) == 0
    resume = ["optimizer.steps=4", "run.resume=true"]
    assert train(stage, None, stack.arguments(stage, twice, *more, *resume)) == 0
    states = [checkpoints_of(run)[-1] / "training_state" for run in (once, twice)]
    weights = [load_file(state / "model.safetensors") for state in states]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    if stage == "sharpen":
        averages = [torch.load(s / "stage.pt", weights_only=True) for s in states]
        assert averages[0]["updates"] == averages[1]["updates"] == 4
        first, second = (a["network"] for a in averages)
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert [line["step"] for line in log_of(twice)] == [1, 2, 3, 4]
    assert [line["loss"] for line in log_of(twice)] == [line["loss"] for line in log_of(once)]


@pytest.mark.parametrize("stage", ["vae", "lotus", "sharpen"])
def test_gradient_checkpointing_changes_memory_and_not_the_result(stage, stack, tmp_path):
    losses = []
    for name, given in (("without", "false"), ("with", "true")):
        more = ["optimizer.steps=2", f"optimizer.gradient_checkpointing={given}"]
        assert train(stage, None, stack.arguments(stage, tmp_path / name, *more)) == 0
        losses.append([line["loss"] for line in log_of(tmp_path / name)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_second_run_does_not_overwrite_the_first(stack, tmp_path):
    options = stack.arguments("vae", tmp_path / "run", "optimizer.steps=1")
    assert train("vae", None, options) == 0
    with pytest.raises(ValueError, match=r"run\.resume=true"):
        train("vae", None, options)


@pytest.mark.parametrize("teacher", ["ema", "lotus", "student"])
@pytest.mark.parametrize("gate", ["noise-aware", "uniform", "none"])
def test_every_ablation_trains(gate, teacher, stack, tmp_path):
    more = [f"stage.gate={gate}", f"stage.teacher={teacher}", "stage.gate_noise=pure"]
    more += ["optimizer.steps=1", "stage.reconstruction_weight=0.3"]
    assert train("sharpen", None, stack.arguments("sharpen", tmp_path / "run", *more)) == 0
    assert math.isfinite(log_of(tmp_path / "run")[0]["loss"])


def test_a_trained_sharpener_loads_in_the_pipeline_and_in_diffusers(stack, tmp_path):
    output = tmp_path / "run"
    assert train("sharpen", None, stack.arguments("sharpen", output, "optimizer.steps=1")) == 0
    folder = checkpoints_of(output)[-1]
    metric = load_metric_model(checkpoints_of(stack.metric)[-1], device="cpu")
    pipe = SharpDepthPipeline.from_pretrained(folder, metric_model=metric, device="cpu")
    out = pipe(np.zeros((48, 64, 3), np.uint8), processing_resolution=32)
    assert out.depth.shape == (48, 64)
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    assert unet.config.in_channels == 2 * vae.config.latent_channels


def test_the_metric_model_runs_once_per_image_when_its_maps_are_kept(stack, tmp_path, monkeypatch):
    seen = []
    infer = SharpenStage._infer
    monkeypatch.setattr(
        SharpenStage, "_infer", lambda self, batch: seen.append(batch.names) or infer(self, batch)
    )
    more = ["optimizer.steps=8", f"stage.metric_cache={tmp_path / 'cache'}"]
    assert train("sharpen", None, stack.arguments("sharpen", tmp_path / "run", *more)) == 0
    assert len(seen) == 4  # the images of the folder, in two epochs
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 4


@pytest.mark.parametrize(
    ("precision", "amx", "word", "warned"),
    [
        ("auto", True, "bf16", False),
        ("auto", False, "no", False),
        ("bf16", True, "bf16", False),
        ("bf16", False, "bf16", True),
        ("fp32", True, "no", False),
        ("no", False, "no", False),
    ],
)
def test_bf16_is_chosen_where_the_processor_multiplies_it(
    precision, amx, word, warned, monkeypatch, capsys
):
    monkeypatch.setattr(trainer, "has_amx", lambda: amx)
    assert trainer._mixed_precision(precision, cpu=True) == word
    assert ("has to emulate" in capsys.readouterr().err) == warned


@pytest.fixture
def any_precision():
    """accelerate keeps the first precision of a process for good."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("any_precision")
def test_the_vae_runs_once_per_image_and_mirror_when_latents_are_kept(stack, tmp_path, monkeypatch):
    encoded = []
    encode = LotusStage._encode
    monkeypatch.setattr(
        LotusStage, "_encode", lambda self, batch: encoded.extend(batch.keys) or encode(self, batch)
    )
    more = ["optimizer.steps=12", "optimizer.batch_size=2", "optimizer.precision=bf16"]
    losses = {}
    for cache in ("null", str(tmp_path / "latents")):
        encoded.clear()
        output = tmp_path / ("without" if cache == "null" else "with")
        arguments = stack.arguments("lotus", output, *more, f"stage.latent_cache={cache}")
        assert train("lotus", None, arguments) == 0
        losses[cache] = [line["loss"] for line in log_of(output)]
        assert len(encoded) == 24 if cache == "null" else len(encoded) <= 8  # 4 images, mirrored
    without, kept = losses.values()
    assert kept == pytest.approx(without, rel=0.02)


def test_overrides_may_follow_the_configuration_file(stack, tmp_path, capsys):
    file = tmp_path / "vae.yaml"
    file.write_text("optimizer:\n  steps: 7\n")
    overrides = stack.arguments("vae", tmp_path / "run", "optimizer.steps=1")
    assert main(["train", "vae", "--config", str(file), *overrides]) == 0
    assert len(log_of(tmp_path / "run")) == 1
    with pytest.raises(SystemExit):
        main(["train", "vae", "--config", str(file), "--unknown", *overrides])
    assert "unrecognized arguments: --unknown" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_batch(
    stack, tmp_path, monkeypatch, capsys
):
    loss = LotusStage.loss
    calls = []

    def spoiled(self, batch):
        calls.append(batch)
        value, parts = loss(self, batch)
        return (value * math.nan, parts) if len(calls) == 3 else (value, parts)

    monkeypatch.setattr(LotusStage, "loss", spoiled)
    output = tmp_path / "run"
    more = ["optimizer.steps=9", "run.checkpoint_every=1"]
    assert train("lotus", None, stack.arguments("lotus", output, *more)) == 1
    message = capsys.readouterr().err
    saved = torch.load(output / "nan-batch-000002-0.pt")
    assert "nan-batch-000002-0.pt" in message and "checkpoint-000002" in message
    assert torch.equal(saved["rgb"], calls[2].rgb)
    assert saved["names"] == calls[2].names


def test_a_full_disk_leaves_the_last_checkpoint_loadable(stack, tmp_path, monkeypatch, capsys):
    export = LotusStage.export

    def full(self, folder):
        export(self, folder)
        if "000002" in folder.name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(LotusStage, "export", full)
    output = tmp_path / "run"
    more = ["optimizer.steps=9", "run.checkpoint_every=1", "run.keep=1"]
    assert train("lotus", None, stack.arguments("lotus", output, *more)) == 1
    assert "No space left" in capsys.readouterr().err
    assert [folder.name for folder in checkpoints_of(output)] == ["checkpoint-000001"]
    assert not list(output.glob(".*"))
    monkeypatch.setattr(LotusStage, "export", export)
    resume = stack.arguments("lotus", output, "optimizer.steps=2", "run.resume=true")
    assert train("lotus", None, resume) == 0
    assert checkpoints_of(output)[-1].name == "checkpoint-000002"


def test_a_run_that_was_killed_after_its_checkpoint_does_those_steps_again(
    stack, tmp_path, monkeypatch, capsys
):
    loss = LotusStage.loss
    calls = []

    def killed(self, batch):
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, batch)

    output = tmp_path / "run"
    options = stack.arguments("lotus", output, "optimizer.steps=4", "run.checkpoint_every=2")
    with monkeypatch.context() as patch:
        patch.setattr(LotusStage, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            train("lotus", None, options)
    kept = checkpoints_of(output)[-1]
    assert f"stopped at step 3; run.resume=true continues from {kept}" in capsys.readouterr().err
    assert [line["step"] for line in log_of(output)] == [1, 2, 3]
    assert train("lotus", None, [*options, "run.resume=true"]) == 0
    assert [line["step"] for line in log_of(output)] == [1, 2, 3, 4]


def test_what_a_killed_run_had_half_written_is_not_a_checkpoint(tmp_path):
    (tmp_path / ".checkpoint-000007.partial").mkdir()
    assert checkpoints_of(tmp_path) == []


def test_only_the_last_checkpoints_are_kept(tmp_path):
    for step in (5, 10, 100, 1000):
        write_checkpoint(tmp_path, step, lambda folder: (folder / "a").write_text("a"), keep=2)
    assert [p.name for p in checkpoints_of(tmp_path)] == ["checkpoint-000100", "checkpoint-001000"]


def test_a_failed_write_names_the_last_complete_checkpoint(tmp_path):
    write_checkpoint(tmp_path, 1, lambda folder: (folder / "a").write_text("a"), keep=2)

    def fail(folder):
        raise RuntimeError("unexpected pos 64 vs 0")

    with pytest.raises(CheckpointNotWritten, match="checkpoint-000001"):
        write_checkpoint(tmp_path, 2, fail, keep=2)
    assert [p.name for p in checkpoints_of(tmp_path)] == ["checkpoint-000001"]


def test_unreadable_images_are_skipped_counted_and_listed(stack, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    for file in (stack.frames / "rgb").glob("*.png"):
        (images / file.name).write_bytes(file.read_bytes())
    (images / "broken.png").write_bytes(b"nothing")
    output = tmp_path / "run"
    more = [f"data.path={images}", "optimizer.steps=5"]
    assert train("sharpen", None, stack.arguments("sharpen", output, *more)) == 0
    assert "1 images could not be read" in capsys.readouterr().err
    assert "broken.png" in (output / "unreadable-0.txt").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_of_which_nothing_can_be_read_ends_in_one_sentence(workers, stack, tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abc":
        (tmp_path / "images" / f"{name}.png").touch()
    more = [f"data.path={tmp_path / 'images'}", f"data.workers={workers}", "optimizer.steps=1"]
    with pytest.raises(ValueError, match=r"^none of the 3 images can be read.*\.png") as refused:
        train("sharpen", None, stack.arguments("sharpen", tmp_path / "run", *more))
    assert "\n" not in str(refused.value)
    if not workers:
        assert len((tmp_path / "run" / "unreadable-0.txt").read_text().splitlines()) == 3


def test_a_stage_that_needs_labels_refuses_a_folder_of_images(stack, tmp_path):
    more = ["data.source=images", f"data.path={stack.frames / 'rgb'}"]
    with pytest.raises(ValueError, match=r"data\.source"):
        train("vae", None, stack.arguments("vae", tmp_path / "run", *more))


def test_a_size_that_the_vae_cannot_divide_is_refused(stack, tmp_path):
    with pytest.raises(ValueError, match=r"data\.width is 30"):
        train("vae", None, stack.arguments("vae", tmp_path / "run", "data.width=30"))


def test_an_unknown_stage_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="metric, vae, tiny-vae, lotus, sharpen"):
        train("unet", None, [])


def test_time_ends_a_run_and_its_learning_rate_with_it(stack, tmp_path):
    more = ["optimizer.steps=100000", "optimizer.minutes=0.03"]
    assert train("vae", None, stack.arguments("vae", tmp_path / "run", *more)) == 0
    log = log_of(tmp_path / "run")
    assert log[-1]["step"] < 100000
    assert log[-1]["learning_rate"] < 0.5 * log[0]["learning_rate"]
