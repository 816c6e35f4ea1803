# SPDX-License-Identifier: Apache-2.0
"""Hub models: from a cache, from a folder, and by the hub's own client from a server."""

import time

import pytest

from sharpdepth_ros.weights.fetch import fetch
from sharpdepth_ros.weights.home import FetchError
from sharpdepth_ros.weights.hub import superfluous_files
from sharpdepth_ros.weights.locate import WeightsNotFound, locate

NAME = "unidepth-v1-vitl14"
REPOSITORY = "lpiccinelli/unidepth-v1-vitl14"


@pytest.fixture(scope="session")
def model(tools):
    """A metric model's files as a repository holds them."""
    return {
        "config.json": b'{"model": {"name": "UniDepthV1"}}',
        "model.safetensors": tools.weights(5, 5000),
    }


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_cached_model_is_found_without_a_network(tmp_path, offline, model, tools):
    snapshot = tools.write_hub_cache(tmp_path / "hub", REPOSITORY, model)
    assert locate(NAME, "metric") == snapshot
    assert locate(REPOSITORY, "metric") == snapshot
    assert fetch(NAME) == snapshot


def test_a_download_that_was_broken_off_does_not_count_as_here(tmp_path, offline, model, tools):
    snapshot = tools.write_hub_cache(tmp_path / "hub", REPOSITORY, model)
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(WeightsNotFound, match="HF_HUB_OFFLINE is set"):
        locate(NAME, "metric")


def test_a_cached_file_that_was_removed_does_not_count_as_here(tmp_path, offline, model, tools):
    snapshot = tools.write_hub_cache(tmp_path / "hub", REPOSITORY, model)
    (snapshot / "config.json").resolve().unlink()
    with pytest.raises(WeightsNotFound, match="HF_HUB_OFFLINE is set"):
        locate(NAME, "metric")


def test_a_cached_model_is_found_after_a_power_cut_emptied_its_reference(
    tmp_path, offline, model, tools
):
    snapshot = tools.write_hub_cache(tmp_path / "hub", REPOSITORY, model)
    (snapshot.parents[1] / "refs" / "main").write_text("")
    assert locate(NAME, "metric") == snapshot


@pytest.mark.parametrize("form", ["snapshot", "folder of models", "hub cache", "HF_HOME"])
def test_a_robot_without_a_network_takes_a_model_from_a_folder(
    tmp_path, home, offline, model, tools, form
):
    stick = tmp_path / "stick"
    source = stick
    if form == "snapshot":
        source = tools.write_hub_cache(stick, REPOSITORY, model)
    elif form == "folder of models":
        tools.write_files(stick / NAME, model)
    else:
        tools.write_hub_cache(stick / ("hub" if form == "HF_HOME" else ""), REPOSITORY, model)
    assert fetch(NAME, source) == home / NAME == locate(NAME, "metric")
    assert tools.read_files(home / NAME) == model
    assert not any(file.is_symlink() for file in (home / NAME).rglob("*"))


def test_a_folder_of_something_else_is_refused(tmp_path, home, tools):
    tools.write_files(tmp_path / "stick", {"config.json": b"{}"})
    with pytest.raises(FetchError, match=rf"stick does not hold {NAME}: no weights"):
        fetch(NAME, tmp_path / "stick")
    assert not (home / NAME).exists()


def test_a_cache_on_a_stick_that_lost_a_bit_is_refused(tmp_path, model, tools):
    snapshot = tools.write_hub_cache(tmp_path / "stick", REPOSITORY, model)
    blob = (snapshot / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    with pytest.raises(FetchError, match=r"model\.safetensors .*publisher's checksum is"):
        fetch(NAME, tmp_path / "stick")


def test_the_hubs_client_fetches_what_is_needed_from_a_mirror(server, model, tools):
    tools.publish_on_hub(server, REPOSITORY, model | {"pytorch_model.bin": b"the same, pickled"})
    folder = fetch(NAME, server.url)
    assert tools.read_files(folder) == model
    assert locate(NAME, "metric") == folder
    asked = len(server.requests)
    assert fetch(NAME, server.url) == folder
    assert len(server.requests) == asked


def test_force_replaces_a_copy_by_what_the_hub_has(server, tmp_path, home, model, tools):
    tools.write_files(tmp_path / "stick", model)
    fetch(NAME, tmp_path / "stick")
    newer = dict(model, **{"model.safetensors": tools.weights(6, 5000)})
    tools.publish_on_hub(server, REPOSITORY, newer)
    folder = fetch(NAME, server.url, force=True)
    assert locate(NAME, "metric") == folder
    assert tools.read_files(folder) == newer


def test_a_repository_outside_the_catalogue_can_be_fetched(server, model, tools):
    tools.publish_on_hub(server, "someone/their-model", model)
    assert tools.read_files(fetch("someone/their-model", server.url)) == model


def test_a_repository_that_is_not_there_is_named(server):
    server.files[""] = b"the hub"
    with pytest.raises(FetchError, match=rf"{NAME} could not be fetched: .*{REPOSITORY}"):
        fetch(NAME, server.url)


@pytest.mark.parametrize("ask", [lambda url: fetch(NAME, url), lambda _: locate(NAME, "metric")])
def test_without_a_network_it_fails_in_seconds_and_names_the_remedy(closed_port, monkeypatch, ask):
    url = f"http://127.0.0.1:{closed_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    begun = time.monotonic()
    with pytest.raises((FetchError, WeightsNotFound)) as error:
        ask(url)
    assert time.monotonic() - begun < 5
    assert f"{url} cannot be reached" in str(error.value)
    assert f"`sharpdepth weights fetch {NAME} --source FOLDER`" in str(error.value)


def test_offline_no_server_is_asked(server, offline):
    with pytest.raises(FetchError, match=rf"{NAME} could not be fetched: HF_HUB_OFFLINE is set"):
        fetch(NAME, server.url)
    assert server.requests == []


def test_the_same_weights_in_other_forms_are_left_out():
    repository = [
        "README.md",
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.bin",
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "onnx/model_fp16.onnx",
        "onnx/model_quantized.onnx",
        "split/model-00001-of-00002.safetensors",
        "split/model.safetensors.index.json",
    ]
    assert superfluous_files(repository) == [
        "onnx/model_fp16.onnx",
        "onnx/model_quantized.onnx",
        "pytorch_model.bin",
        "tf_model.h5",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    ]
