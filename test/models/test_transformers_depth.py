# SPDX-License-Identifier: Apache-2.0
"""The adapters against transformers' own processors, on small networks of the published classes."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoImageProcessor,
    BeitConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DepthProConfig,
    DepthProForDepthEstimation,
    Dinov2Config,
    ZoeDepthConfig,
    ZoeDepthForDepthEstimation,
)

from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.safe_loading import CheckpointError
from sharpdepth_ros.models.transformers_depth import load_transformers_depth
from sharpdepth_ros.models.transformers_images import ImageSettings

# As the hub has them, but for the size.
DPT_IMAGES = {
    "do_normalize": True,
    "do_pad": False,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 14,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "DPTImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "keep_aspect_ratio": True,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 70, "width": 70},
    "size_divisor": None,
}
DEPTH_PRO_IMAGES = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "DepthProImageProcessorFast",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 64, "width": 64},
}
ZOE_IMAGES = {
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 32,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ZoeDepthImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "keep_aspect_ratio": True,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 64, "width": 96},
}

SIZES = [(97, 143), (150, 80), (60, 200)]


def depth_anything(kind="metric"):
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=Dinov2Config(
                image_size=56,
                patch_size=14,
                hidden_size=32,
                num_hidden_layers=4,
                num_attention_heads=2,
                mlp_ratio=2,
                out_indices=[1, 2, 3, 4],
                reshape_hidden_states=False,
            ),
            reassemble_hidden_size=32,
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=8,
            head_hidden_size=8,
            depth_estimation_type=kind,
            max_depth=20,
        )
    )


def depth_pro(use_fov_model=True):
    encoder = {
        "model_type": "dinov2",
        "image_size": 16,
        "patch_size": 4,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
    }
    return DepthProForDepthEstimation(
        DepthProConfig(
            patch_size=16,
            fusion_hidden_size=16,
            intermediate_hook_ids=[1, 0],
            intermediate_feature_dims=[8, 8],
            scaled_images_feature_dims=[16, 16, 8],
            merge_padding_value=1,
            num_fov_head_layers=1,
            use_fov_model=use_fov_model,
            image_model_config=dict(encoder),
            patch_model_config=dict(encoder),
            fov_model_config=dict(encoder),
        )
    )


def zoedepth(*domains):
    heads = {"nyu": 10.0, "kitti": 80.0}
    several = {
        "num_patch_transformer_layers": 4,
        "patch_transformer_hidden_size": 128,
        "patch_transformer_intermediate_size": 32,
        "patch_transformer_num_attention_heads": 2,
    }
    return ZoeDepthForDepthEstimation(
        ZoeDepthConfig(
            backbone_config=BeitConfig(
                image_size=64,
                patch_size=16,
                hidden_size=32,
                num_hidden_layers=4,
                num_attention_heads=2,
                intermediate_size=64,
                use_relative_position_bias=True,
                reshape_hidden_states=False,
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=16,
            num_relative_features=8,
            bottleneck_features=16,
            num_attractors=[4, 4, 2, 1],
            bin_embedding_dim=8,
            bin_configurations=[
                {"name": name, "n_bins": 8, "min_depth": 1e-3, "max_depth": heads[name]}
                for name in domains
            ],
            **(several if len(domains) > 1 else {}),
        )
    )


FAMILIES = {
    "depth-anything": (depth_anything, DPT_IMAGES),
    "depth-pro": (depth_pro, DEPTH_PRO_IMAGES),
    "zoedepth-n": (lambda: zoedepth("nyu"), ZOE_IMAGES),
    "zoedepth-nk": (lambda: zoedepth("nyu", "kitti"), ZOE_IMAGES),
}


def write_folder(folder, network, images):
    """Save a network with weights that make its depth vary, and its images' settings."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, weight[0].numel() ** -0.5)
        if getattr(network, "fov_model", None) is not None:
            network.fov_model.head.layers[-1].bias.fill_(55.0)  # degrees, as trained ones answer
        if isinstance(network, DepthProForDepthEstimation):
            network.head.layers[-2].bias.fill_(1.0)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder per family, as the hub has them."""
    root = tmp_path_factory.mktemp("transformers")
    return {
        name: write_folder(root / name, make(), images) for name, (make, images) in FAMILIES.items()
    }


def photo(height, width, seed=0):
    """A smooth uint8 image [1, 3, H, W] that stays clear of black and white."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 8 + 1, width // 8 + 1, generator=source)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return (60 + 130 * smooth).clamp(0, 255).to(torch.uint8)


def camera(focal):
    return torch.tensor([[[focal, 0.0, 70.0], [0.0, focal, 50.0], [0.0, 0.0, 1.0]]])


def given_to_network(model, call):
    """The pixels that the network is run on during a call, and what the call returns."""
    seen = []
    hook = model.network.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    answer = call()
    hook.remove()
    return torch.cat(seen), answer


class Reference:
    """transformers' own image processor and the network, without torchvision."""

    def __init__(self, folder, network, monkeypatch):
        self.processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        self.network = network
        # ZoeDepth's processor resizes its depth with this one function of torchvision.
        stand_in = SimpleNamespace(
            InterpolationMode=SimpleNamespace(BICUBIC="bicubic"),
            resize=lambda depth, size, interpolation, antialias: F.interpolate(
                depth[None], size, mode=interpolation, antialias=antialias
            )[0],
        )
        module = sys.modules[type(self.processor).__module__]
        monkeypatch.setattr(module, "tvF", stand_in, raising=False)

    def pixels(self, rgb):
        image = rgb[0].permute(1, 2, 0).numpy()
        return self.processor(images=image, return_tensors="pt")["pixel_values"]

    def depth(self, pixels, size):
        with torch.no_grad():
            answer = self.network(pixel_values=pixels)
        # The second argument is ZoeDepth's source_sizes and the others' target_sizes.
        return self.processor.post_process_depth_estimation(answer, [size])[0]["predicted_depth"]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_family_answers_with_depth_at_the_size_of_the_image(folders, name, height, width):
    model = load_transformers_depth(folders[name])
    assert isinstance(model, MetricDepthModel)
    depth = model.infer(photo(height, width)).depth
    assert depth.shape == (1, 1, height, width)
    assert depth.dtype == torch.float32
    assert (depth > 0).all()
    assert depth.std() > 1e-3


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_depth_anything_agrees_with_its_own_processor(folders, monkeypatch, height, width):
    folder, rgb = folders["depth-anything"], photo(height, width)
    model = load_transformers_depth(folder)
    reference = Reference(folder, model.network, monkeypatch)
    pixels, answer = given_to_network(model, lambda: model.infer(rgb))
    # PIL rounds to whole levels after each of two passes; ours does not round.
    want = reference.pixels(rgb)
    torch.testing.assert_close(pixels, want, atol=1.1 / 255 / 0.224, rtol=0)
    depth = answer.depth[0, 0]
    torch.testing.assert_close(depth, reference.depth(pixels, (height, width)))
    # What the rounding does to an untrained network.
    assert (depth - reference.depth(want, (height, width))).abs().mean() < 0.005 * 20


@pytest.mark.parametrize("name", ["zoedepth-n", "zoedepth-nk"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_zoedepth_agrees_with_its_own_processor(folders, monkeypatch, name, height, width):
    rgb = photo(height, width)
    model = load_transformers_depth(folders[name])
    reference = Reference(folders[name], model.network, monkeypatch)
    pixels, answer = given_to_network(model, lambda: model.infer(rgb))
    want = reference.pixels(rgb)
    torch.testing.assert_close(pixels, want, atol=1e-5, rtol=0)
    depth = reference.depth(want, (height, width))
    torch.testing.assert_close(answer.depth[0, 0], depth, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (720, 1280), (1280, 720), (518, 518), (90, 700), (700, 90)]
)
def test_sizes_in_the_network_are_those_of_transformers(tmp_path, height, width):
    settings = {**DPT_IMAGES, "size": {"height": 518, "width": 518}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    processor = AutoImageProcessor.from_pretrained(tmp_path, local_files_only=True)
    image = np.zeros((height, width, 3), np.uint8)
    want = processor(images=image, return_tensors="pt")["pixel_values"].shape[-2:]
    assert ImageSettings.read(tmp_path).network_size(height, width) == tuple(want)


def test_zoedepth_averages_with_the_mirrored_image_when_asked(folders):
    model = load_transformers_depth(folders["zoedepth-n"])
    rgb = photo(97, 143)
    plain, mirrored = model.infer(rgb).depth, model.infer(rgb.flip(-1)).depth.flip(-1)
    model.mirror = True
    torch.testing.assert_close(model.infer(rgb).depth, (plain + mirrored) / 2)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_depth_pro_is_the_published_formula(folders, height, width):
    """apple/ml-depth-pro `infer`; transformers' processor for it exists with torchvision only."""
    model = load_transformers_depth(folders["depth-pro"])
    rgb = photo(height, width)
    pixels, answer = given_to_network(model, lambda: model.infer(rgb))
    standardised = rgb.float() / 255 * 2 - 1
    want_pixels = F.interpolate(standardised, (64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(pixels, want_pixels, atol=1e-5, rtol=0)

    with torch.no_grad():
        raw = model.network(pixel_values=want_pixels)
    fov = raw.field_of_view.item()
    focal = 0.5 * width / np.tan(0.5 * np.deg2rad(fov))
    inverse = F.interpolate(
        raw.predicted_depth[:, None] * width / focal, (height, width), mode="bilinear"
    )
    torch.testing.assert_close(answer.depth, 1 / inverse.clamp(1e-4, 1e4), atol=0, rtol=1e-3)
    expected = [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
    torch.testing.assert_close(answer.intrinsics, torch.tensor([expected], dtype=torch.float32))


def test_depth_pro_takes_the_given_focal_length_and_leaves_out_the_field_of_view(folders):
    model = load_transformers_depth(folders["depth-pro"])
    rgb = photo(97, 143)
    estimated = model.infer(rgb)
    runs = []
    model.network.fov_model.register_forward_hook(lambda *_: runs.append(1))

    same = model.infer(rgb, estimated.intrinsics)
    torch.testing.assert_close(same.depth, estimated.depth)
    twice = model.infer(rgb, camera(2 * estimated.intrinsics[0, 0, 0].item()))
    torch.testing.assert_close(twice.depth, 2 * estimated.depth)
    assert not runs
    assert twice.intrinsics[0, 0, 2] == 70

    torch.testing.assert_close(model.infer(rgb).depth, estimated.depth)
    assert runs
    with pytest.raises(ValueError, match=r"fx \[-1\.0\], expected positive pixels"):
        model.infer(rgb, camera(-1.0))


def test_depth_pro_without_field_of_view_needs_the_camera(tmp_path):
    model = load_transformers_depth(
        write_folder(tmp_path, depth_pro(use_fov_model=False), DEPTH_PRO_IMAGES)
    )
    assert model.infer(photo(97, 143), camera(100.0)).depth.shape == (1, 1, 97, 143)
    with pytest.raises(ValueError, match=r"needs the camera: give intrinsics"):
        model.infer(photo(97, 143))


@pytest.mark.parametrize("name", ["depth-anything", "zoedepth-n"])
def test_models_without_camera_input_hand_it_through(folders, name):
    model = load_transformers_depth(folders[name])
    rgb = photo(97, 143)
    without, given = model.infer(rgb), model.infer(rgb, camera(321.0))
    assert without.intrinsics is None
    assert torch.equal(given.intrinsics, camera(321.0))
    assert torch.equal(given.depth, without.depth)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_is_its_images(folders, name):
    model = load_transformers_depth(folders[name])
    rgb = torch.cat([photo(60, 90, seed) for seed in range(3)])
    together = model.infer(rgb).depth
    for i in range(3):
        alone = model.infer(rgb[i]).depth
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-3)


def test_images_of_a_batch_do_not_vote_on_each_others_domain(folders):
    model = load_transformers_depth(folders["zoedepth-nk"])
    brightness = []
    model.network.register_forward_pre_hook(
        lambda _, args, kwargs: brightness.append(kwargs["pixel_values"].mean((1, 2, 3))),
        with_kwargs=True,
    )
    # Bright images are surely indoors, dark ones likely outdoors: together they would be indoors.
    model.network.metric_head.mlp_classifier.register_forward_hook(
        lambda *_: torch.stack([brightness[-1] * 4, -brightness[-1]], dim=-1)
    )
    bright, dark = photo(60, 90) // 2 + 127, photo(60, 90) // 2
    alone = torch.cat([model.infer(bright).depth, model.infer(dark).depth])
    assert (alone[0] - alone[1]).abs().max() > 1e-3
    torch.testing.assert_close(model.infer(torch.cat([bright, dark])).depth, alone)


@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_keeps_the_metres_in_float32(folders, name):
    rgb = photo(97, 143)
    full = load_transformers_depth(folders[name]).infer(rgb).depth
    model = load_transformers_depth(folders[name], dtype=torch.bfloat16)
    half = model.infer(rgb).depth
    assert model.network.dtype == torch.bfloat16
    assert ((half - full).abs() / full).median() < 0.1
    pixels, _ = given_to_network(model, lambda: model.infer(rgb))
    with torch.no_grad():
        raw = model.network(pixel_values=pixels).predicted_depth
    assert raw.dtype == torch.float32
    assert not torch.equal(raw, raw.bfloat16().float())


def edit(folder, file, **changes):
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**config, **changes}))


def test_a_relative_depth_anything_is_refused(tmp_path):
    write_folder(tmp_path, depth_anything("relative"), DPT_IMAGES)
    with pytest.raises(CheckpointError, match=r"depth_estimation_type is 'relative'.* not metres"):
        load_transformers_depth(tmp_path)


def test_a_metric_depth_anything_without_its_largest_depth_is_refused(tmp_path):
    write_folder(tmp_path, depth_anything(), DPT_IMAGES)
    edit(tmp_path, "config.json", max_depth=None)
    with pytest.raises(CheckpointError, match=r"max_depth is None, expected metres"):
        load_transformers_depth(tmp_path)


def test_a_folder_of_something_else_says_why(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        load_transformers_depth(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_transformers_depth(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_transformers_depth(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(CheckpointError, match=r"model_type is 'dpt'; .*depth_anything, depth_pro"):
        load_transformers_depth(tmp_path)


def test_an_incomplete_folder_names_the_part(tmp_path):
    write_folder(tmp_path, depth_anything(), DPT_IMAGES)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no preprocessor_config\.json"):
        load_transformers_depth(tmp_path)
    images = {key: value for key, value in DPT_IMAGES.items() if key not in ("size", "image_std")}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    with pytest.raises(CheckpointError, match=r"lacks size\.height, size\.width, image_std"):
        load_transformers_depth(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**DPT_IMAGES, "resample": 1}))
    with pytest.raises(CheckpointError, match=r"resample is 1; known are 2"):
        load_transformers_depth(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({**DPT_IMAGES, "size_divisor": 8})
    )
    with pytest.raises(CheckpointError, match=r"size_divisor is 8; known is None"):
        load_transformers_depth(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(DPT_IMAGES))
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="is damaged or cut off"):
        load_transformers_depth(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_transformers_depth(tmp_path)


def test_weights_of_another_model_are_refused(folders, tmp_path):
    write_folder(tmp_path, depth_anything(), DPT_IMAGES)
    other = folders["zoedepth-n"] / "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights .* first is backbone\."):
        load_transformers_depth(tmp_path)


def test_weights_of_another_size_are_refused(tmp_path):
    write_folder(tmp_path, depth_anything(), DPT_IMAGES)
    edit(tmp_path, "config.json", fusion_hidden_size=16)
    with pytest.raises(CheckpointError, match=r"in another shape, the first is head\.conv1\.bias"):
        load_transformers_depth(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet18", "use_timm_backbone": True}, "encoder is 'resnet18'"),
        ({"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18"}}, "timm"),
        ({"patch_size": "fourteen"}, "patch_size"),
    ],
)
def test_a_network_that_cannot_be_built_here_is_refused_without_a_network(
    tmp_path, changes, message
):
    write_folder(tmp_path, depth_anything(), DPT_IMAGES)
    edit(tmp_path, "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        load_transformers_depth(tmp_path)
