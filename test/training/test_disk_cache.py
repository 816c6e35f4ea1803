# SPDX-License-Identifier: Apache-2.0
"""The caches of frozen networks' maps: what decides a map is in its key, and no file ends a run."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpdepth_ros.synthetic import SampleOptions, write_dataset
from sharpdepth_ros.training import train
from sharpdepth_ros.training.disk_cache import DiskCache, content_key
from sharpdepth_ros.training.run_checkpoints import checkpoints_of
from sharpdepth_ros.training.stages.lotus import LotusStage
from sharpdepth_ros.training.stages.sharpen import SharpenStage


@pytest.fixture
def rendered(tmp_path):
    """Renders a small data set into the same folder, another one for each seed."""

    def render(seed):
        shutil.rmtree(tmp_path / "frames", ignore_errors=True)
        options = SampleOptions(seed=seed, width=64, height=48, kind="shapes")
        write_dataset(tmp_path / "frames", 2, options=options)
        return tmp_path / "frames"

    return render


@pytest.fixture
def maps(stack, tmp_path, monkeypatch):
    """Trains one step with the cache and one without; the maps that each was given."""
    given = []
    for stage, name in ((SharpenStage, "_metric_depth"), (LotusStage, "_latents")):
        read = getattr(stage, name)

        def recorded(self, batch, read=read):
            maps = read(self, batch)
            given.append(maps if isinstance(maps, torch.Tensor) else torch.cat(maps[:2], dim=1))
            return maps

        monkeypatch.setattr(stage, name, recorded)

    def run(stage, name, images, *more, option="metric_cache"):
        given.clear()
        for cache in (tmp_path / "cache", "null"):
            output = tmp_path / f"{name}-{len(given)}"
            options = ["data.source=frames", f"data.path={images}", "optimizer.batch_size=2"]
            options += ["optimizer.steps=1", "data.flip=false", f"stage.{option}={cache}", *more]
            assert train(stage, None, stack.arguments(stage, output, *options)) == 0
        return given

    return run


def assert_told_the_truth(maps):
    cached, truth = maps
    torch.testing.assert_close(cached, truth, rtol=2e-3, atol=2e-3)  # half precision


def other_metric(stack, tmp_path):
    """The metric model in a folder of its own, where its weights can be replaced."""
    folder = tmp_path / "metric"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(checkpoints_of(stack.metric)[-1], folder)
    return folder


def test_a_metric_model_that_was_trained_again_in_its_folder_is_asked_again(
    stack, tmp_path, rendered, maps
):
    folder, data = other_metric(stack, tmp_path), rendered(1)
    maps("sharpen", "before", data, f"stage.metric_model={folder}")
    weights = load_file(folder / "model.safetensors")
    weights["head.weight"] += 0.5
    save_file(weights, folder / "model.safetensors")
    assert_told_the_truth(maps("sharpen", "after", data, f"stage.metric_model={folder}"))


def test_a_camera_that_was_corrected_in_its_file_is_used(tmp_path, rendered, maps):
    images, camera = rendered(1) / "rgb", tmp_path / "camera.txt"
    more = ["data.source=images", f"data.intrinsics={camera}"]
    for name, focal in (("before", 30), ("after", 90)):
        np.savetxt(camera, [[focal, 0, 32], [0, focal, 24], [0, 0, 1]])
        given = maps("sharpen", name, images, *more)
    assert_told_the_truth(given)


@pytest.mark.parametrize(
    ("stage", "option"), [("sharpen", "metric_cache"), ("lotus", "latent_cache")]
)
def test_frames_that_were_rendered_again_under_their_names_are_read_again(
    stage, option, rendered, maps
):
    maps(stage, "before", rendered(1), option=option)
    assert_told_the_truth(maps(stage, "after", rendered(2), option=option))


def test_the_same_images_in_another_folder_have_the_same_maps(
    stack, tmp_path, rendered, maps, monkeypatch
):
    data = rendered(1)
    maps("sharpen", "before", data)
    shutil.move(data, tmp_path / "moved")
    asked = []
    infer = SharpenStage._infer
    monkeypatch.setattr(
        SharpenStage, "_infer", lambda self, batch: asked.append(batch) or infer(self, batch)
    )
    maps("sharpen", "after", tmp_path / "moved")
    assert len(asked) == 1  # by the run without a cache


@pytest.mark.parametrize("damage", ["empty", "cut", "shape", "type", "nan"])
def test_a_damaged_file_is_made_again_and_said_once(damage, tmp_path, capsys):
    cache = DiskCache(tmp_path, "network")
    maps = torch.ones(2, 1, 4, 4)
    cache.read(["a", "b"], (1, 4, 4), lambda missing: maps[missing])
    for file in tmp_path.rglob("*.npy"):
        content = file.read_bytes()
        if damage in ("empty", "cut"):
            file.write_bytes(content[: 0 if damage == "empty" else -3])
        else:
            shape, kind = ((2, 2), np.float16) if damage == "shape" else ((1, 4, 4), np.float16)
            value = np.nan if damage == "nan" else 3
            np.save(file, np.full(shape, value, np.float32 if damage == "type" else kind))
    made = []
    again = DiskCache(tmp_path, "network").read(
        ["a", "b"], (1, 4, 4), lambda missing: made.extend(missing) or maps[missing]
    )
    assert torch.equal(again, maps)
    assert made == [0, 1]
    assert capsys.readouterr().err.count("is damaged") == 1
    kept = DiskCache(tmp_path, "network").read(["a", "b"], (1, 4, 4), lambda _: pytest.fail())
    assert torch.equal(kept, maps)


def test_a_cache_that_cannot_be_written_is_said_once_and_the_maps_are_made_each_time(
    tmp_path, capsys
):
    (tmp_path / "cache").write_text("a file where the folder would be")
    cache = DiskCache(tmp_path / "cache", "network")
    for key in "abc":
        maps = cache.read([key], (1, 2, 2), lambda _: torch.ones(1, 1, 2, 2))
        assert torch.equal(maps, torch.ones(1, 1, 2, 2))
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_a_map_that_half_precision_cannot_hold_is_not_kept(tmp_path):
    cache = DiskCache(tmp_path, "network")
    made = []
    for _ in range(2):
        cache.read(["a"], (1, 1, 1), lambda _: made.append(1) or torch.full((1, 1, 1, 1), np.inf))
    assert len(made) == 2


def test_a_key_tells_shapes_types_and_missing_parts_apart():
    values = np.arange(6, dtype=np.float32)
    keys = {
        content_key(values, None),
        content_key(None, values),
        content_key(values.reshape(2, 3), None),
        content_key(values.astype(np.float64), None),
        content_key("a", "bc"),
        content_key("ab", "c"),
    }
    assert len(keys) == 6
    assert content_key(values, None) == content_key(values.copy(), None)
