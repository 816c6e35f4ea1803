# SPDX-License-Identifier: Apache-2.0
"""The table of models is what the code, the command line and the documentation say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpdepth_ros.cli import main
from sharpdepth_ros.models.registry import NATIVE
from sharpdepth_ros.weights.catalogue import CATALOGUE, models_table
from sharpdepth_ros.weights.locate import locate

WEIGHTS_PAGE = Path(__file__).parents[2] / "docs/weights.md"


def test_the_command_and_the_documentation_show_the_table(capsys):
    assert main(["models"]) == 0
    assert capsys.readouterr().out.strip() == models_table()
    assert models_table() in WEIGHTS_PAGE.read_text()


def test_names_are_unique_within_a_kind():
    names = [(m.name, m.kind) for m in CATALOGUE]
    assert len(set(names)) == len(names)


def published_config(data, name):
    with np.load(data / f"{name}.npz") as golden:
        return json.loads(str(golden["config"]))


@pytest.mark.parametrize("name", ["demo", "unidepth-v1-vitl14", "unidepth-v2-vits14"])
def test_the_size_of_a_native_metric_model_is_as_stated(data, name):
    golden = name.replace("-", "_")
    if name == "demo":
        config = json.loads((locate("demo", "metric") / "config.json").read_text())
    else:
        config = published_config(data, golden)
    with torch.device("meta"):
        network = NATIVE[config["model"]["name"]](config)
    entry = next(m for m in CATALOGUE if m.name == name and m.kind == "metric")
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(entry.parameters, abs=0.5)


def test_the_size_of_the_demo_sharpener_is_as_stated():
    from sharpdepth_ros.models.diffusion import load_depth_diffusion

    model = load_depth_diffusion(locate("demo", "sharpener"))
    entry = next(m for m in CATALOGUE if m.name == "demo" and m.kind == "sharpener")
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(
        entry.parameters, abs=0.05
    )
