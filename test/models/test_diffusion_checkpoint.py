# SPDX-License-Identifier: Apache-2.0
"""Loading the released checkpoint layout, and what is said when a folder is not one."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpdepth_ros.models.diffusion import ABOUT, PARTS, load_depth_diffusion, write_about
from sharpdepth_ros.models.random_checkpoint import write_random_checkpoint
from sharpdepth_ros.models.safe_loading import CheckpointError

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def checkpoint(data, tmp_path):
    """A copy of the tiny checkpoint, to break."""
    return shutil.copytree(data / "tiny_checkpoint", tmp_path / "checkpoint")


def test_the_properties_of_the_networks_are_read_from_their_configurations(data):
    model = load_depth_diffusion(data / "tiny_checkpoint")
    assert (model.stride, model.latent_channels, model.takes_noise) == (8, 4, True)
    assert model.last_timestep == 999
    # The empty prompt is a start and an end token.
    assert model.prompt_embedding.shape == (1, 2, 16)


def test_weights_as_bin_load_like_safetensors(checkpoint, data):
    for part in ("unet", "vae"):
        file = checkpoint / part / "diffusion_pytorch_model.safetensors"
        torch.save(load_file(file), file.with_suffix(".bin"))
        file.unlink()
    file = checkpoint / "text_encoder/model.safetensors"
    torch.save(load_file(file), file.with_name("pytorch_model.bin"))
    file.unlink()

    want = load_depth_diffusion(data / "tiny_checkpoint").state_dict()
    got = load_depth_diffusion(checkpoint).state_dict()
    assert want.keys() == got.keys()
    assert all(torch.equal(want[key], got[key]) for key in want)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(checkpoint, part):
    shutil.rmtree(checkpoint / part)
    with pytest.raises(CheckpointError, match=f"{part}/ missing"):
        load_depth_diffusion(checkpoint)


def test_a_folder_that_is_no_checkpoint_says_what_it_holds(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(
        CheckpointError, match=r"not a Lotus, SharpDepth or Marigold .*holiday\.jpg"
    ):
        load_depth_diffusion(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        load_depth_diffusion(tmp_path / "nowhere")


def test_a_part_of_another_kind_is_named(checkpoint):
    shutil.rmtree(checkpoint / "unet")
    shutil.copytree(checkpoint / "vae", checkpoint / "unet")
    with pytest.raises(CheckpointError, match=r"unet holds a AutoencoderKL; expected UNet2D"):
        load_depth_diffusion(checkpoint)


def test_a_truncated_weight_file_is_named(checkpoint):
    file = checkpoint / UNET_FILE
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"unet.*safetensors is damaged or cut off"):
        load_depth_diffusion(checkpoint)


def test_a_weight_file_that_lacks_weights_is_refused(checkpoint):
    weights = load_file(checkpoint / UNET_FILE)
    del weights["conv_in.weight"]
    save_file(weights, checkpoint / UNET_FILE, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"unet lacks 1 weights.*conv_in\.weight"):
        load_depth_diffusion(checkpoint)


def test_weights_of_another_shape_are_refused(checkpoint):
    weights = load_file(checkpoint / UNET_FILE)
    weights["conv_in.weight"] = torch.zeros(16, 4, 3, 3)
    save_file(weights, checkpoint / UNET_FILE, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"unet cannot be loaded .*conv_in\.weight"):
        load_depth_diffusion(checkpoint)


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("unet", "config.json"),
        ("scheduler", "scheduler_config.json"),
        ("text_encoder", "config.json"),
    ],
)
def test_a_part_without_its_configuration_is_named(checkpoint, part, file):
    (checkpoint / part / file).unlink()
    with pytest.raises(CheckpointError, match=rf"{part}/ of the checkpoint lacks {file}"):
        load_depth_diffusion(checkpoint)


def test_a_tokenizer_without_its_files_is_named(checkpoint):
    for file in (checkpoint / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(CheckpointError, match="tokenizer holds neither"):
        load_depth_diffusion(checkpoint)


def test_a_scheduler_that_predicts_noise_is_refused(checkpoint):
    file = checkpoint / "scheduler/scheduler_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "prediction_type": "epsilon"}))
    with pytest.raises(CheckpointError, match="prediction_type is 'epsilon'"):
        load_depth_diffusion(checkpoint)


def test_a_checkpoint_written_by_this_package_loads_and_is_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        write_random_checkpoint(tmp_path / name)
    one, two = (load_depth_diffusion(tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_in_bfloat16_the_timestep_stays_999(data):
    exact = load_depth_diffusion(data / "tiny_checkpoint")
    half = load_depth_diffusion(data / "tiny_checkpoint", dtype=torch.bfloat16)
    seen = []
    half.unet.time_proj.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    latent, noise = torch.randn(2, 1, 4, 8, 8).unbind()
    with torch.inference_mode():
        got = half.generate(latent, noise).float()
        want = exact.generate(latent, noise)
    assert seen[0].tolist() == [999]
    assert (got - want).abs().mean() < 0.02 * want.std()


def test_what_a_folder_notes_of_itself_is_read_and_what_it_leaves_out_is_as_released(checkpoint):
    released = load_depth_diffusion(checkpoint)
    assert (released.processing_resolution, released.fit) == (768, "least-squares")
    write_about(checkpoint, 160, fit="relative")
    noted = load_depth_diffusion(checkpoint)
    assert (noted.processing_resolution, noted.fit) == (160, "relative")
    (checkpoint / ABOUT).write_text('{"processing_resolution": 96}')
    older = load_depth_diffusion(checkpoint)
    assert (older.processing_resolution, older.fit) == (96, "least-squares")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ('{"processing_resolution": 0}', "processing_resolution is 0"),
        ('{"processing_resolution": "160"}', "processing_resolution is '160'"),
        ('{"fit": "squares"}', "fit is 'squares'; it is one of least-squares, relative"),
        ('{"fit": ["relative"]}', r"fit is \['relative'\]"),
    ],
)
def test_a_note_that_makes_no_sense_is_named(checkpoint, about, message):
    (checkpoint / ABOUT).write_text(about)
    with pytest.raises(CheckpointError, match=message):
        load_depth_diffusion(checkpoint)
