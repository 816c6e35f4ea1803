# SPDX-License-Identifier: Apache-2.0
"""Metric models by name and by folder, and what is said when there is none."""

import json
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sharpdepth_ros import load_metric_model
from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.safe_loading import CheckpointError
from sharpdepth_ros.models.unidepth import UniDepthV1
from sharpdepth_ros.weights.locate import WeightsNotFound, locate

CONFIG = {
    "training": {},
    "data": {"image_shape": [112, 154]},
    "model": {
        "name": "UniDepthV1",
        "num_heads": 8,
        "expansion": 4,
        "pixel_decoder": {"hidden_dim": 128, "depths": [3, 2, 1], "dropout": 0.0},
        "pixel_encoder": {"name": "dinov2_vits14", "pretrained": None},
    },
}
RGB = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (1, 3, 48, 64), dtype=np.uint8))


def random_metric_model() -> UniDepthV1:
    """The same random weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UniDepthV1(CONFIG)


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory):
    """A metric model as the hub stores it."""
    folder = tmp_path_factory.mktemp("unidepth")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(random_metric_model().state_dict(), folder / "model.safetensors")
    return folder


def test_the_demo_model_answers_in_metres_and_is_the_same_each_time():
    one, two = (load_metric_model("demo", device="cpu") for _ in range(2))
    assert isinstance(one, MetricDepthModel)
    depth = one.infer(RGB).depth
    assert depth.shape == (1, 1, 48, 64)
    assert (depth > 0).all()
    assert torch.equal(depth, two.infer(RGB).depth)


def test_a_folder_in_the_published_layout_loads_strictly(published_folder):
    got = load_metric_model(published_folder, device="cpu").infer(RGB).depth
    torch.testing.assert_close(got, random_metric_model().eval().infer(RGB).depth)


def test_a_pickled_state_dict_is_read_as_tensors_only(published_folder, tmp_path):
    (tmp_path / "config.json").write_text((published_folder / "config.json").read_text())
    torch.save(random_metric_model().state_dict(), tmp_path / "pytorch_model.bin")
    load_metric_model(tmp_path, device="cpu")

    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code from a weight file was run')",))

    torch.save({"weight": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="carries code, which is not run"):
        load_metric_model(tmp_path, device="cpu")


def test_a_state_dict_of_another_model_is_refused(published_folder, tmp_path):
    (tmp_path / "config.json").write_text((published_folder / "config.json").read_text())
    save_file({"head.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="do not fit UniDepthV1"):
        load_metric_model(tmp_path, device="cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "neither a config.json nor an .onnx graph"),
        ("{", "not JSON"),
        ('{"model": {"name": "ResNet"}}', "model.name is 'ResNet'"),
        (json.dumps(CONFIG), "neither model.safetensors nor pytorch_model.bin"),
    ],
)
def test_a_folder_that_is_no_metric_model_says_why(tmp_path, config, message):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=message):
        load_metric_model(tmp_path, device="cpu")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsNotFound, match=r"'unidepth-v9'.*demo, unidepth-v1-vitl14"):
        load_metric_model("unidepth-v9", device="cpu")


def test_without_a_network_a_hub_model_fails_in_seconds_and_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    begun = time.monotonic()
    remedy = r"unidepth-v1-vitl14.*HF_HUB_OFFLINE.*`sharpdepth weights fetch unidepth-v1-vitl14`"
    with pytest.raises(WeightsNotFound, match=remedy):
        load_metric_model("unidepth-v1-vitl14", device="cpu")
    assert time.monotonic() - begun < 10


def test_a_released_sharpener_that_is_not_here_says_where_it_belongs(weights_home):
    with pytest.raises(WeightsNotFound) as error:
        locate("sharpdepth", "sharpener")
    assert str(weights_home / "sharpdepth") in str(error.value)
    assert "`sharpdepth weights fetch sharpdepth`" in str(error.value)
    (weights_home / "sharpdepth").mkdir()
    try:
        assert locate("sharpdepth", "sharpener") == weights_home / "sharpdepth"
    finally:
        (weights_home / "sharpdepth").rmdir()


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("cuda:7", "auto", "cuda:7.* is not on this machine"),
        ("gpu", "auto", "'gpu' is not one that torch knows"),
        ("cpu", "int4", "'int4' is not one of auto, fp32"),
        ("cpu", "fp16", "'fp16' needs a GPU"),
    ],
)
def test_a_wrong_device_or_precision_says_what_would_be_right(device, precision, message):
    with pytest.raises(ValueError, match=message):
        load_metric_model("demo", device=device, precision=precision)


@pytest.fixture
def opened(monkeypatch):
    """Which loader a folder is handed to."""
    seen = []
    for module, loader in (
        ("metric3d", "load_metric3d"),
        ("transformers_depth", "load_transformers_depth"),
    ):
        monkeypatch.setattr(
            f"sharpdepth_ros.models.{module}.{loader}", lambda *_, name=loader: seen.append(name)
        )
    return seen


@pytest.mark.parametrize(
    ("files", "loader"),
    [
        ({"model.onnx": ""}, "load_metric3d"),
        ({"onnx/model.onnx": "", "config.json": '{"model_type": "metric3d"}'}, "load_metric3d"),
        ({"config.json": '{"model_type": "depth_pro"}'}, "load_transformers_depth"),
        (
            {"onnx/model.onnx": "", "config.json": '{"model_type": "depth_anything"}'},
            "load_transformers_depth",
        ),
        ({"config.json": '{"model_type": "bert"}'}, "load_transformers_depth"),
    ],
)
def test_a_folder_tells_its_family(tmp_path, opened, files, loader):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    load_metric_model(tmp_path, device="cpu")
    assert opened == [loader]
