# SPDX-License-Identifier: Apache-2.0
"""UniDepth V1 and V2 against the published implementation's numbers, and what both promise."""

import copy
import json
import zlib
from math import prod

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sharpdepth_ros.models.metric import MetricDepth, MetricDepthModel
from sharpdepth_ros.models.unidepth import UniDepthV1, UniDepthV2
from sharpdepth_ros.models.unidepth.cache import CachingModule
from sharpdepth_ros.models.unidepth.convnext import CONVNEXT_SIZES, ConvNeXtSize

SMALL = (112, 154)
ARCHITECTURES = {"UniDepthV1": UniDepthV1, "UniDepthV2": UniDepthV2}
RAW = ("pos_embed", "cls_token", "mask_token", "register_tokens", "latents_pos", "level_embeds")


def fill(key, shape):
    """The weight that the goldens' rule gives a state-dict key."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    numel = prod(shape)
    x = generator.standard_normal(numel, dtype=np.float32).reshape(shape)
    if len(shape) >= 2 and not key.endswith(RAW):
        x *= (numel / shape[0]) ** -0.5
    elif len(shape) == 1 and key.endswith(("weight", "gamma")):
        x = 1 + 0.1 * x
    else:
        x *= 0.1
    return torch.from_numpy(x.astype(np.float32))


def build(config):
    """A model of this configuration with the goldens' weights."""
    with torch.device("meta"):
        model = ARCHITECTURES[config["model"]["name"]](config)
    state = {key: fill(key, tuple(w.shape)) for key, w in model.state_dict().items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def load(path):
    """The arrays of a golden file and the model of its configuration."""
    golden = dict(np.load(path))
    return golden, build(json.loads(str(golden["config"])))


@pytest.fixture(scope="module")
def v1_golden(data):
    return load(data / "unidepth_v1_small.npz")


@pytest.fixture(scope="module")
def v2_golden(data):
    return load(data / "unidepth_v2_vits14.npz")


@pytest.fixture(scope="module")
def v1(v1_golden):
    """The V1 model on a smaller network image: quick, for what does not depend on the size."""
    model = copy.deepcopy(v1_golden[1])
    model.image_shape = SMALL
    return model


@pytest.fixture(scope="module")
def v2(v2_golden):
    """The V2 model on a smaller network image."""
    model = copy.deepcopy(v2_golden[1])
    model.pixel_bounds = (10_000, 30_000)
    return model


@pytest.fixture(params=["v1", "v2"])
def model(request):
    return request.getfixturevalue(request.param)


def scene(height, width, seed=0):
    """A smooth random image, uint8 [3, H, W]."""
    coarse = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(seed))
    fine = F.interpolate(coarse, (height, width), mode="bilinear")
    return (fine[0] * 255).to(torch.uint8)


def camera(focal, height, width):
    """Intrinsics [3, 3] with the principal point near the centre."""
    return torch.tensor([[focal, 0, width / 2 + 3], [0, focal * 1.02, height / 2 - 2], [0, 0, 1]])


def error(value, expected):
    """Greatest relative error."""
    expected = torch.as_tensor(expected)
    return ((value - expected).abs() / expected.abs()).max().item()


@pytest.mark.parametrize("case", ["0", "1"])
def test_v1_gives_the_published_depth_and_camera(v1_golden, case):
    golden, model = v1_golden
    out = model.infer(torch.from_numpy(golden[f"{case}_image"]))
    assert error(out.depth[0, 0], golden[f"{case}_depth"]) < 1e-4
    np.testing.assert_allclose(out.intrinsics[0], golden[f"{case}_intrinsics"], atol=1e-3)
    assert out.confidence is None


@pytest.mark.parametrize("case", ["0", "1"])
def test_v1_gives_the_published_depth_for_a_given_camera(v1_golden, case):
    golden, model = v1_golden
    image, intrinsics = (torch.from_numpy(golden[f"{case}_{name}"]) for name in ("image", "K"))
    out = model.infer(image, intrinsics)
    assert error(out.depth[0, 0], golden[f"{case}_depth_with_K"]) < 1e-4


def test_v1_of_the_released_size_gives_the_published_depth(data, monkeypatch):
    golden, model = load(data / "unidepth_v1_vitl14.npz")
    image = torch.from_numpy(golden["0_image"])
    # The encoder is most of the time and sees the same image twice.
    encode, encoded = model.encode, []

    def encode_once(pixels):
        if not encoded:
            encoded.append(encode(pixels))
        return encoded[0]

    monkeypatch.setattr(model, "encode", encode_once)
    out = model.infer(image)
    assert error(out.depth[0, 0], golden["0_depth"]) < 1e-4
    np.testing.assert_allclose(out.intrinsics[0], golden["0_intrinsics"], atol=1e-3)
    out = model.infer(image, torch.from_numpy(golden["0_K"]))
    assert error(out.depth[0, 0], golden["0_depth_with_K"]) < 1e-4


def test_v1_on_a_convnext_gives_the_published_codes_depth(monkeypatch):
    # The numbers are the published code's, run on a ConvNeXt of this size.
    size = ConvNeXtSize(dims=(16, 32, 64, 128), depths=(1, 1, 2, 1))
    monkeypatch.setitem(CONVNEXT_SIZES, "convnext_large", size)
    model = build(
        {
            "data": {"image_shape": [112, 154]},
            "model": {
                "name": "UniDepthV1",
                "num_heads": 8,
                "expansion": 4,
                "pixel_decoder": {"hidden_dim": 64, "depths": [3, 2, 1]},
                "pixel_encoder": {"name": "convnext_large"},
            },
        }
    )
    channel, row, column = torch.meshgrid(
        torch.arange(3), torch.arange(48), torch.arange(64), indexing="ij"
    )
    image = ((50 * channel + 3 * row + 2 * column) % 256).to(torch.uint8)
    out = model.infer(image)
    expected = [
        [7.7655468, 3.9387262, 7.8706675],
        [3.0635173, 16.3269215, 42.3904266],
        [4.3124409, 10.6789188, 5.6455665],
    ]
    assert error(out.depth[0, 0, 4::20, 4::20], expected) < 1e-4
    expected = [[16.6150, 0, 22.2943], [0, 19.6366, 16.9476], [0, 0, 1]]
    np.testing.assert_allclose(out.intrinsics[0], expected, atol=1e-3)

    out = model.infer(image, torch.tensor([[60.0, 0, 33], [0, 62, 23], [0, 0, 1]]))
    expected = [
        [5.6770558, 2.6259224, 3.6664789],
        [3.4979968, 13.9424429, 26.0295830],
        [2.5167682, 7.7587337, 4.7792997],
    ]
    assert error(out.depth[0, 0, 4::20, 4::20], expected) < 1e-4


@pytest.mark.parametrize("case", ["0", "1"])
def test_v2_gives_the_published_depth_camera_and_confidence(v2_golden, case):
    golden, model = v2_golden
    image = torch.from_numpy(golden[f"{case}_image"])
    out = model.infer(image)
    assert error(out.depth[0, 0], golden[f"{case}_depth"]) < 1e-4
    assert error(out.confidence[0, 0], golden[f"{case}_confidence"]) < 1e-4
    np.testing.assert_allclose(out.intrinsics[0], golden[f"{case}_intrinsics"], atol=1e-3)


@pytest.mark.parametrize("case", ["0", "1"])
def test_v2_gives_the_published_depth_for_a_given_camera(v2_golden, case):
    golden, model = v2_golden
    image = torch.from_numpy(golden[f"{case}_image"])
    # The published code scales the camera it is given in place, and the golden was stored
    # afterwards: its K is that of the network's image, enlarged to 200 000 pixels.
    intrinsics = torch.from_numpy(golden[f"{case}_K"])
    intrinsics[:2] /= (200_000 / image[0].numel()) ** 0.5
    out = model.infer(image, intrinsics)
    assert error(out.depth[0, 0], golden[f"{case}_depth_with_K"]) < 1e-4


@pytest.mark.parametrize("golden_name", ["v1_golden", "v2_golden"])
def test_encoder_gives_the_published_features(request, golden_name):
    golden, model = request.getfixturevalue(golden_name)
    image = model.standardise(torch.from_numpy(golden["0_image"])[None].float())
    encoder = copy.deepcopy(model.pixel_encoder)
    encoder.outputs = frozenset([1, len(encoder.blocks)])
    with torch.no_grad():
        first, last = encoder(F.interpolate(image, (224, 308), mode="bilinear"))[0]
    np.testing.assert_allclose(
        first[0, ::4, ::4], golden["0_encoder_224x308_first"], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        last[0, ::4, ::4], golden["0_encoder_224x308_last"], rtol=1e-4, atol=1e-4
    )


def test_models_satisfy_the_metric_model_protocol(model):
    assert isinstance(model, MetricDepthModel)
    out = model.infer(scene(60, 80))
    assert isinstance(out, MetricDepth)
    assert out.depth.shape == (1, 1, 60, 80)
    assert out.intrinsics.shape == (1, 3, 3)


@pytest.mark.parametrize("known", ["shared camera", "own cameras", "no camera"])
def test_a_batch_gives_what_its_images_give_alone(model, known):
    images = torch.stack([scene(90, 120, seed) for seed in range(3)])
    cameras = {
        "shared camera": [camera(100.0, 90, 120)] * 3,
        "own cameras": [camera(focal, 90, 120) for focal in (60.0, 100.0, 200.0)],
        "no camera": None,
    }[known]
    batch = model.infer(images, None if cameras is None else torch.stack(cameras))
    for i, image in enumerate(images):
        alone = model.infer(image, None if cameras is None else cameras[i])
        assert error(batch.depth[i], alone.depth[0]) < 1e-4
        torch.testing.assert_close(batch.intrinsics[i], alone.intrinsics[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [(160, 60), (40, 300), (60, 160)])
def test_any_aspect_ratio_keeps_its_size(model, size):
    out = model.infer(scene(*size), camera(100.0, *size))
    assert out.depth.shape == (1, 1, *size)
    assert out.depth.dtype == torch.float32
    assert torch.isfinite(out.depth).all() and (out.depth > 0).all()
    if out.confidence is not None:
        assert out.confidence.shape == (1, 1, *size)


@pytest.mark.parametrize("size", [(90, 120), (160, 60), (40, 300)])
def test_its_own_camera_estimate_given_back_changes_nothing(model, size):
    estimated = model.infer(scene(*size))
    given = model.infer(scene(*size), estimated.intrinsics)
    assert error(given.depth, estimated.depth) < 1e-4
    assert torch.equal(given.intrinsics, estimated.intrinsics)


def test_the_given_camera_matters(model):
    near = model.infer(scene(90, 120), camera(60.0, 90, 120))
    far = model.infer(scene(90, 120), camera(300.0, 90, 120))
    assert error(near.depth, far.depth) > 0.01


def test_repeated_frames_and_changing_cameras_do_not_disturb_each_other(model):
    model = copy.deepcopy(model)
    image, wide, tele = scene(90, 120), camera(60.0, 90, 120), camera(300.0, 90, 120)
    first = model.infer(image, wide).depth
    other = model.infer(image, tele).depth
    model.infer(scene(120, 90), wide)
    assert not torch.equal(first, other)
    assert torch.equal(model.infer(image, wide).depth, first)
    assert torch.equal(model.infer(image, tele).depth, other)


def test_the_store_of_cameras_is_bounded(model):
    model = copy.deepcopy(model)
    for focal in range(100, 110):
        model.infer(scene(60, 80), camera(float(focal), 60, 80))
    assert len(model._stored) <= 4


def test_loading_weights_forgets_what_was_derived_from_the_old_ones(model):
    reference, image = copy.deepcopy(model), scene(90, 120)
    changed = {key: weight * 0.9 for key, weight in model.state_dict().items()}
    for assign in (False, True):
        warm = copy.deepcopy(model)
        warm.infer(image)
        warm.load_state_dict(changed, assign=assign)
        reference.load_state_dict(changed)
        assert torch.equal(warm.infer(image).depth, reference.infer(image).depth)


def test_writing_to_a_weight_forgets_what_was_derived_from_it(model):
    warm, fresh, image = copy.deepcopy(model), copy.deepcopy(model), scene(90, 120)
    before = warm.infer(image).depth
    for each in (warm, fresh):
        with torch.no_grad():
            each.pixel_encoder.pos_embed.mul_(2)
    assert torch.equal(warm.infer(image).depth, fresh.infer(image).depth)
    assert not torch.equal(warm.infer(image).depth, before)


def test_gradients_reach_the_weights_after_inference_mode(model):
    model, image = copy.deepcopy(model), scene(60, 80)
    with torch.inference_mode():
        model.infer(image, camera(100.0, 60, 80))
    depth = model(torch.zeros(1, 3, *SMALL), camera(100.0, *SMALL)[None])[0]
    depth.log().mean().backward()
    assert model.pixel_encoder.pos_embed.grad.abs().sum() > 0
    with torch.no_grad():
        assert torch.isfinite(model.infer(image, camera(100.0, 60, 80)).depth).all()


def test_what_inference_mode_leaves_behind_is_usable_in_any_mode():
    with torch.inference_mode():
        kept = CachingModule().computed_once(("key",), lambda: torch.ones(3))
    weight = torch.ones(3, requires_grad=True)
    (kept * weight).sum().backward()  # refused for a tensor made in inference mode
    assert torch.equal(weight.grad, torch.ones(3))


@pytest.mark.parametrize("known", [True, False])
def test_bfloat16_stays_near_float32(model, known):
    image, intrinsics = scene(90, 120), camera(100.0, 90, 120) if known else None
    half = copy.deepcopy(model)
    half.infer(image, intrinsics)  # what float32 left behind must not be used
    half.bfloat16()
    full, rounded = model.infer(image, intrinsics), half.infer(image, intrinsics)
    assert rounded.depth.dtype == rounded.intrinsics.dtype == torch.float32
    # Rounding these random weights alone moves V1's log depth by 0.05.
    assert (rounded.depth / full.depth).log().abs().median() < 0.2
    torch.testing.assert_close(rounded.intrinsics, full.intrinsics, rtol=0.05, atol=1.0)


def test_the_network_compiles_into_one_graph(model):
    image, intrinsics = torch.zeros(1, 3, *SMALL), camera(100.0, *SMALL)[None]
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert error(compiled(image, intrinsics)[0], model(image, intrinsics)[0]) < 1e-5


def test_a_higher_resolution_level_works_on_more_pixels(v2_golden):
    model = copy.deepcopy(v2_golden[1])
    model.pixel_bounds = (20_000, 120_000)
    pixels = []
    model.pixel_encoder.register_forward_pre_hook(
        lambda _, inputs: pixels.append(inputs[0][0, 0].numel())
    )
    for level in (0, 4.5, 9):
        model.resolution_level = level
        assert model.infer(scene(60, 80)).depth.shape == (1, 1, 60, 80)
    # The lower end of the level's tenth, rounded up to whole patches.
    for least, got in zip((20_000, 65_000, 110_000), pixels, strict=True):
        assert least <= got < 1.2 * least


@pytest.mark.parametrize("level", [-1, 10, float("nan")])
def test_a_resolution_level_out_of_range_is_refused(v2, level):
    with pytest.raises(ValueError, match="resolution_level"):
        v2.resolution_level = level


@pytest.mark.parametrize(
    ("rgb", "intrinsics", "message"),
    [
        (torch.zeros(3, 8, 8), None, "torch.float32"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), None, r"\[1, 8, 8, 3\]"),
        (torch.zeros(3, 0, 8, dtype=torch.uint8), None, r"\[1, 3, 0, 8\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), torch.eye(4), r"\[1, 4, 4\]"),
        (torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.eye(3).expand(2, 3, 3), "2 intrinsics"),
    ],
)
def test_wrong_input_is_refused_with_what_was_wrong(model, rgb, intrinsics, message):
    with pytest.raises(ValueError, match=message):
        model.infer(rgb, intrinsics)
