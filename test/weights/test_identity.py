# SPDX-License-Identifier: Apache-2.0
"""Whether a folder holds the model that its name says: architecture and number of weights."""

import json
import struct
from pathlib import Path

import pytest

from sharpdepth_ros.doctor.weights import check_weights
from sharpdepth_ros.weights import identity
from sharpdepth_ros.weights.commands import run_fetch, run_verify
from sharpdepth_ros.weights.fetch import entry_named
from sharpdepth_ros.weights.home import WeightsNotFound, bundled_folder
from sharpdepth_ros.weights.identity import differences
from sharpdepth_ros.weights.locate import locate

NAME = "unidepth-v1-vitl14"
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def sizes_count(home, monkeypatch):
    """The other tests of this folder have small models under the names of large ones."""
    monkeypatch.setattr(identity, "LEAST_SHARE", 0.85)


def write_header(file: Path, shapes: dict[str, list[int]]) -> None:
    """A .safetensors file of float32 zeros that takes no room on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)


def write_model(folder: Path, config: dict, shapes: dict[str, list[int]]) -> Path:
    write_header(folder / "model.safetensors", shapes)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def published(name: str) -> dict[str, list[int]]:
    """Names and shapes of the published weights."""
    return json.loads((DATA / f"{name.replace('-', '_')}.keys.json").read_text())


@pytest.mark.parametrize(
    ("name", "kind"), [(NAME, "UniDepthV1"), ("unidepth-v2-vits14", "UniDepthV2")]
)
def test_the_published_weights_are_those_of_the_catalogue(name, kind, tmp_path):
    folder = write_model(tmp_path / "model", {"model": {"name": kind}}, published(name))
    assert differences(entry_named(name), folder) == []


def test_a_smaller_model_of_the_same_architecture_is_another_one(tmp_path):
    config = {"model": {"name": "UniDepthV2"}}
    folder = write_model(tmp_path / "model", config, published("unidepth-v2-vits14"))
    (found,) = differences(entry_named("unidepth-v2-vitl14"), folder)
    assert found == "it has 34.2 million weights, unidepth-v2-vitl14 354"


@pytest.mark.parametrize("channels", [4, 8])
def test_a_lotus_with_noise_and_one_without_are_told_apart(channels, tmp_path):
    for part, millions in (("unet", 866), ("vae", 84), ("text_encoder", 340)):
        weights = tmp_path / part / "diffusion_pytorch_model.safetensors"
        write_header(weights, {"weight": [millions, 1000, 1000]})
        (tmp_path / part / "config.json").write_text(json.dumps({"in_channels": channels}))
    names = {"lotus-depth-g-v1-0": 8, "lotus-depth-d-v1-0": 4, "sharpdepth": 8}
    for name, wanted in names.items():
        assert bool(differences(entry_named(name), tmp_path)) == (channels != wanted)


def test_the_same_weights_in_another_format_are_not_counted_twice(tmp_path):
    folder = write_model(tmp_path, {"model": {"name": "UniDepthV1"}}, published(NAME))
    (folder / "pytorch_model.bin").write_bytes(b"")
    write_header(folder / "model.fp16.safetensors", published(NAME))
    assert differences(entry_named(NAME), folder) == []


def test_a_pickles_number_of_weights_is_known_from_its_size_within_limits(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model": {"name": "UniDepthV1"}}))
    file = tmp_path / "pytorch_model.bin"
    for size, same in ((347e6 * 4, True), (347e6 * 2, True), (34e6 * 4, False), (900e6 * 4, False)):
        with file.open("wb") as stream:
            stream.truncate(int(size))
        assert (differences(entry_named(NAME), tmp_path) == []) == same


def test_another_metric_model_is_not_taken_under_a_name(home, capsys):
    demo = bundled_folder("metric")
    assert run_fetch(NAME, str(demo)) == 1
    printed = capsys.readouterr().err
    assert (
        "config.json has model.name 'SmallMetric', unidepth-v1-vitl14 has 'UniDepthV1'" in printed
    )
    assert "it has 3.98 million weights, unidepth-v1-vitl14 347" in printed
    assert not (home / NAME).exists()


def test_another_model_under_a_name_is_not_run_and_is_reported(home, tools, capsys):
    files = tools.read_files(bundled_folder("metric"))
    tools.write_files(home / NAME, files)
    with pytest.raises(WeightsNotFound, match="another model than unidepth-v1-vitl14"):
        locate(NAME, "metric")
    assert run_verify([NAME]) == 1
    assert "another model: config.json has model.name" in capsys.readouterr().err
    finding = next(f for f in check_weights() if f.what == NAME)
    assert "another model" in finding.value
    assert finding.advice == f"sharpdepth weights fetch {NAME} --force"


def test_a_mistyped_name_is_answered_with_the_nearest():
    with pytest.raises(WeightsNotFound, match="did you mean 'depth-anything-v2-indoor-small'"):
        locate("depth-anything-v2-indor-small", "metric")
