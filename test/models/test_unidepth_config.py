# SPDX-License-Identifier: Apache-2.0
"""UniDepth's published configurations: the state dicts they stand for, and wrong ones."""

import copy
import json

import numpy as np
import pytest
import torch

from sharpdepth_ros.models.unidepth import UniDepthV1, UniDepthV2


@pytest.fixture(scope="module")
def v1_config(data):
    return json.loads(str(np.load(data / "unidepth_v1_vitl14.npz")["config"]))


@pytest.fixture(scope="module")
def v2_config(data):
    return json.loads(str(np.load(data / "unidepth_v2_vits14.npz")["config"]))


def shapes(architecture, config):
    """Key and shape of every weight, without allocating any."""
    with torch.device("meta"):
        model = architecture(config)
    return {key: list(weight.shape) for key, weight in model.state_dict().items()}


def changed(config, path, value):
    """A copy with one key set, or removed where the value is ..."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


def test_v1_has_exactly_the_published_keys(data, v1_config):
    published = json.loads((data / "unidepth_v1_vitl14.keys.json").read_text())
    assert shapes(UniDepthV1, v1_config) == published


def test_v2_has_exactly_the_published_keys(data, v2_config):
    published = json.loads((data / "unidepth_v2_vits14.keys.json").read_text())
    assert shapes(UniDepthV2, v2_config) == published


def test_v1_with_convnext_has_the_published_sizes(v1_config):
    weights = shapes(UniDepthV1, changed(v1_config, "model.pixel_encoder.name", "convnext_large"))
    assert len(weights) == 695
    assert weights["pixel_encoder.stages.2.blocks.26.mlp.fc1.weight"] == [3072, 768]
    assert weights["pixel_encoder.stages.3.downsample.1.weight"] == [1536, 768, 2, 2]
    assert weights["pixel_decoder.input_adapter.input_adapters.0.1.weight"] == [512, 192]
    # The camera sees the tokens of the last four blocks, last first: three of the last stage.
    dims = [weights[f"pixel_decoder.token_adapter.input_adapters.{i}.0.weight"] for i in range(4)]
    assert dims == [[1536], [1536], [1536], [768]]


@pytest.mark.parametrize(
    ("encoder", "hidden_dim", "out_dim", "levels", "count", "width"),
    [
        ("dinov2_vitb14", 384, 48, [3, 6, 9, 12], 352, 768),
        ("dinov2_vitl14", 512, 64, [6, 12, 18, 24], 520, 1024),
    ],
)
def test_v2_has_the_published_sizes(v2_config, encoder, hidden_dim, out_dim, levels, count, width):
    config = copy.deepcopy(v2_config)
    config["model"]["pixel_encoder"].update(name=encoder, output_idx=levels)
    config["model"]["pixel_decoder"].update(hidden_dim=hidden_dim, out_dim=out_dim)
    weights = shapes(UniDepthV2, config)
    assert len(weights) == count
    assert weights["pixel_decoder.input_adapter.input_adapters.3.weight"] == [hidden_dim, width]
    assert weights["pixel_decoder.depth_layer.to_depth_lr.weight"] == [
        hidden_dim // 8,
        hidden_dim // 4,
        3,
        3,
    ]


def test_the_configuration_is_not_changed(v1_config, v2_config):
    for architecture, config in ((UniDepthV1, v1_config), (UniDepthV2, v2_config)):
        before = copy.deepcopy(config)
        shapes(architecture, config)
        assert config == before


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model", ..., "no key 'model.name'"),
        ("model", "UniDepthV1", "model is 'UniDepthV1', expected a JSON object"),
        ("model.name", "UniDepthV2", "'model.name' is 'UniDepthV2'"),
        ("data.image_shape", ..., "no key 'data.image_shape'"),
        ("data.image_shape", [462], r"'data.image_shape' is \[462\]"),
        ("data.image_shape", [460, 616], "multiples of 14"),
        ("model.num_heads", "8", "'model.num_heads' is '8', expected int"),
        ("model.num_heads", 6, "'model.num_heads' is 6"),
        ("model.expansion", 0, "'model.expansion' is 0"),
        ("model.pixel_decoder.hidden_dim", True, "'model.pixel_decoder.hidden_dim' is True"),
        ("model.pixel_decoder.depths", [3, 2], r"'model.pixel_decoder.depths' is \[3, 2\]"),
        ("model.pixel_encoder.name", "resnet50", "'resnet50', expected one of dinov2_vits14"),
        ("model.pixel_encoder.output_idx", [5, 12, 18, 25], r"\[5, 12, 18, 25\].*up to 24"),
        ("model.pixel_encoder.num_register_tokens", 4, "num_register_tokens' is 4"),
    ],
)
def test_a_wrong_v1_configuration_is_refused_by_key(v1_config, path, value, message):
    with pytest.raises(ValueError, match=message):
        shapes(UniDepthV1, changed(v1_config, path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.name", "UniDepthV2old", "'UniDepthV2old', but this class is 'UniDepthV2'"),
        ("data.augmentations", ..., "no key 'data.augmentations.shape_constraints.pixels_min'"),
        ("data.augmentations.shape_constraints.ratio_bounds", [0.5, -1], "ratio_bounds"),
        ("model.pixel_encoder.stacking_fn", "softmax", "stacking_fn' is 'softmax'"),
        ("model.pixel_encoder.name", "convnext_large", "'convnext_large', expected one of"),
        ("model.pixel_encoder.use_norm", "yes", "use_norm' is 'yes', expected bool"),
    ],
)
def test_a_wrong_v2_configuration_is_refused_by_key(v2_config, path, value, message):
    with pytest.raises(ValueError, match=message):
        shapes(UniDepthV2, changed(v2_config, path, value))


def test_a_state_dict_of_another_size_is_refused(v1_config, v2_config):
    with torch.device("meta"):
        model = UniDepthV1(v1_config)
        other = UniDepthV2(v2_config).state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(other, strict=True)
