# SPDX-License-Identifier: Apache-2.0
"""Models that a stranger made: nothing in them is run or followed, and the message says what to do.

Every trap would make the folder `marker` if its code ran.
"""

import contextlib
import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpdepth_ros import load_metric_model
from sharpdepth_ros.models import safe_loading as checkpoint_files
from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.models.marigold import load_marigold
from sharpdepth_ros.models.prompt_cache import prompt_embedding_once
from sharpdepth_ros.models.safe_loading import CheckpointError
from sharpdepth_ros.models.tiny_vae import load_tiny_vae
from sharpdepth_ros.pipeline.compile_cache import FOLDER_VARIABLE, use_compile_cache
from sharpdepth_ros.weights.home import bundled_folder, weights_home

from . import malicious

CPU = torch.device("cpu")
NETWORKS = ("unet", "vae", "text_encoder")


@pytest.fixture
def marker(tmp_path):
    """The folder that code in a file would make; it must not be there afterwards."""
    folder = tmp_path / "code-was-run"
    yield folder
    assert not folder.exists()


@pytest.fixture
def checkpoint(data, tmp_path):
    """A diffusers folder, to poison."""
    return shutil.copytree(data / "tiny_checkpoint", tmp_path / "models" / "checkpoint")


@pytest.fixture
def metric(tmp_path):
    """The folder of a metric model, to poison."""
    return shutil.copytree(bundled_folder("metric"), tmp_path / "models" / "metric")


def weights_of(part):
    return next(part.glob("*.safetensors"))


def pickle_name(part):
    return "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"


def as_marigold(checkpoint):
    """The folder as a Marigold's: its index names the classes of its parts."""
    index = {
        "_class_name": "MarigoldDepthPipeline",
        "prediction_type": "depth",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    (checkpoint / "model_index.json").write_text(json.dumps(index))
    return index


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# Pickles


@pytest.mark.parametrize("make", malicious.PICKLES)
def test_the_traps_work(make, tmp_path):
    make(tmp_path / "trap.bin", tmp_path / "ran")
    if make is not malicious.tar_pickle:  # torch reads that layout no more
        with contextlib.suppress(RuntimeError):  # a bare pickle is no file of torch's, once it ran
            torch.load(tmp_path / "trap.bin", weights_only=False)
        assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("make", malicious.PICKLES)
def test_a_pickle_of_a_metric_model_is_not_run(make, metric, marker):
    (metric / "model.safetensors").unlink()
    make(metric / "pytorch_model.bin", marker)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read as tensors"):
        load_metric_model(metric, device="cpu")


def test_safetensors_are_read_and_a_pickle_beside_them_is_not(metric, marker):
    malicious.zip_pickle(metric / "pytorch_model.bin", marker)
    load_metric_model(metric, device="cpu")


def test_a_pickle_that_is_no_state_dict_is_refused(metric):
    (metric / "model.safetensors").unlink()
    torch.save([torch.zeros(1)], metric / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no state dict of named tensors"):
        load_metric_model(metric, device="cpu")


@pytest.mark.parametrize("part", NETWORKS)
@pytest.mark.parametrize("make", malicious.PICKLES)
def test_a_pickle_in_a_diffusers_folder_is_not_run(part, make, checkpoint, marker):
    weights_of(checkpoint / part).unlink()
    make(checkpoint / part / pickle_name(part), marker)
    with pytest.raises(CheckpointError, match=rf"{part} cannot be loaded as a .*"):
        load_depth_diffusion(checkpoint)


def test_the_message_about_a_pickle_says_what_to_take_instead(checkpoint, marker):
    weights_of(checkpoint / "vae").unlink()
    malicious.zip_pickle(checkpoint / "vae" / pickle_name("vae"), marker)
    with pytest.raises(CheckpointError, match=r"carries code, which is not run.*\.safetensors"):
        load_depth_diffusion(checkpoint)


def test_a_pickled_tiny_vae_is_not_run(tmp_path, marker):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text('{"_class_name": "AutoencoderTiny"}')
    malicious.zip_pickle(folder / "diffusion_pytorch_model.bin", marker)
    with pytest.raises(CheckpointError, match="carries code, which is not run"):
        load_tiny_vae(folder)


def test_a_pickled_transformers_model_is_not_run(tmp_path, marker):
    config = {"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 20}
    images = {"size": {"height": 70, "width": 70}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    malicious.zip_pickle(tmp_path / "pytorch_model.bin", marker)
    with pytest.raises(CheckpointError, match="carries code, which is not run"):
        load_metric_model(tmp_path, device="cpu")


def test_a_pickled_part_of_marigold_is_not_run(checkpoint, marker):
    as_marigold(checkpoint)
    weights_of(checkpoint / "unet").unlink()
    malicious.zip_pickle(checkpoint / "unet" / pickle_name("unet"), marker)
    with pytest.raises(CheckpointError, match="carries code, which is not run"):
        load_marigold(checkpoint, CPU, torch.float32)


def test_a_torch_that_can_be_led_to_run_code_reads_no_pickle(checkpoint, metric, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "SAFE_UNPICKLING", checkpoint_files.Version("999"))
    for folder, name in ((checkpoint / "vae", pickle_name("vae")), (metric, "pytorch_model.bin")):
        file = weights_of(folder)
        torch.save(load_file(file), folder / name)
        file.unlink()
    for load, folder in ((load_depth_diffusion, checkpoint), (load_metric_model, metric)):
        with pytest.raises(CheckpointError, match=r"take the model's \.safetensors, or torch 999"):
            load(folder, device="cpu")


# Configurations that name code


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"auto_map": {"AutoModel": "evil.Model"}}),
        ("text_encoder", {"auto_map": {"AutoModel": "evil.Model"}}),
        ("vae", {"nested": [{"auto_map": "evil.Model"}]}),
    ],
)
def test_a_configuration_that_names_python_code_is_refused(part, change, checkpoint, marker):
    (checkpoint / part / "evil.py").write_text(f"import os; os.mkdir({str(marker)!r})")
    edit_json(checkpoint / part / "config.json", **change)
    with pytest.raises(CheckpointError, match=r"names Python code \(auto_map.*never run"):
        load_depth_diffusion(checkpoint)


def test_a_configuration_that_names_kernels_of_the_hub_is_refused(checkpoint):
    edit_json(checkpoint / "text_encoder/config.json", _attn_implementation="evil/kernels")
    with pytest.raises(CheckpointError, match=r"names compiled code.*evil/kernels.*Remove"):
        load_depth_diffusion(checkpoint)


@pytest.mark.parametrize("library", ["evil_library", "evil"])
def test_marigolds_index_cannot_choose_the_classes(
    library, checkpoint, tmp_path, marker, monkeypatch
):
    """Neither from a library that can be imported nor from a file in the part's own folder."""
    code = f"import os; os.mkdir({str(marker)!r})\nclass Evil: pass\n"
    (tmp_path / "evil_library.py").write_text(code)
    (checkpoint / "unet" / "evil.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    index = as_marigold(checkpoint)
    index["unet"] = index["vae"] = [library, "Evil"]
    (checkpoint / "model_index.json").write_text(json.dumps(index))
    unet = checkpoint / "unet" / "config.json"
    edit_json(unet, class_embed_type=None)
    weights = load_file(weights_of(checkpoint / "unet"))
    kept = {name: value for name, value in weights.items() if "class_embedding" not in name}
    save_file(kept, weights_of(checkpoint / "unet"), metadata={"format": "pt"})
    scheduler = checkpoint / "scheduler" / "scheduler_config.json"
    edit_json(scheduler, _class_name="DDIMScheduler")
    load_marigold(checkpoint, CPU, torch.float32)
    assert library not in sys.modules


def test_a_part_that_says_it_is_of_another_class_is_refused(checkpoint):
    edit_json(checkpoint / "unet/config.json", _class_name="EvilModel")
    with pytest.raises(CheckpointError, match="holds a EvilModel; expected UNet2DConditionModel"):
        load_depth_diffusion(checkpoint)


def test_a_schedule_of_an_unknown_class_is_refused(checkpoint):
    as_marigold(checkpoint)
    edit_json(checkpoint / "scheduler/scheduler_config.json", _class_name="EvilScheduler")
    with pytest.raises(CheckpointError, match=r"EvilScheduler.*DDIMScheduler or LCMScheduler"):
        load_marigold(checkpoint, CPU, torch.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[1, 2]", "holds a list; expected a JSON object"),
        (b'{"model": 3}', "model.name is None"),
        (b'{"model": {"name": ["UniDepthV1"]}}', "known are"),
    ],
)
def test_a_configuration_that_is_none_is_refused(content, message, metric):
    (metric / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_metric_model(metric, device="cpu")


def test_numbers_that_no_network_has_are_refused(checkpoint):
    edit_json(checkpoint / "vae/config.json", block_out_channels=["a", None])
    with pytest.raises(CheckpointError, match="vae cannot be loaded as a AutoencoderKL"):
        load_depth_diffusion(checkpoint)


# Weights


@pytest.mark.parametrize(
    "content", malicious.BROKEN_SAFETENSORS.values(), ids=malicious.BROKEN_SAFETENSORS
)
def test_broken_safetensors_are_refused_everywhere(content, checkpoint, metric):
    weights_of(metric).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*[Ff]etch it again"):
        load_metric_model(metric, device="cpu")
    weights_of(checkpoint / "vae").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"vae.*safetensors.*[Ff]etch it again"):
        load_depth_diffusion(checkpoint)


@pytest.mark.parametrize("name", malicious.OUTSIDE)
@pytest.mark.parametrize("part", NETWORKS)
def test_an_index_cannot_lead_out_of_its_folder(name, part, checkpoint):
    file = weights_of(checkpoint / part)
    weights = load_file(file)
    # A file that would do, outside of the folder.
    file.rename(checkpoint.parent / "secret.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, name)}
    (checkpoint / part / f"{file.name}.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"weight_map leads to .*weights lie in the folder"):
        load_depth_diffusion(checkpoint)


def test_split_weights_of_the_folder_itself_are_loaded(checkpoint, data):
    file = weights_of(checkpoint / "vae")
    weights = load_file(file)
    names = sorted(weights)
    halves = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for half, keys in halves.items():
        save_file({k: weights[k] for k in keys}, file.with_name(half), metadata={"format": "pt"})
    file.unlink()
    index = {"metadata": {}, "weight_map": {k: half for half, keys in halves.items() for k in keys}}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps(index))
    got, want = (load_depth_diffusion(f).vae for f in (checkpoint, data / "tiny_checkpoint"))
    assert torch.equal(got.encoder.conv_in.weight, want.encoder.conv_in.weight)


@pytest.mark.parametrize(
    "location", ["../../secret.bin", "/etc/passwd", "data/../../../secret.bin"]
)
def test_weights_of_a_graph_cannot_lie_outside_of_its_folder(location, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs onnx (pip install .[test])")
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime (pip install .[onnx])")
    values = onnx.numpy_helper.from_array(torch.zeros(1, 3, 1, 1).numpy(), "weights")
    values.ClearField("raw_data")
    values.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        entry = values.external_data.add()
        entry.key, entry.value = key, value
    kind, shape = onnx.TensorProto.FLOAT, [1, 3, 56, 98]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["pixel_values", "weights"], ["predicted_depth"])],
        "graph",
        [onnx.helper.make_tensor_value_info("pixel_values", kind, shape)],
        [onnx.helper.make_tensor_value_info("predicted_depth", kind, shape)],
        [values],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    folder = tmp_path / "models" / "metric3d"
    (folder / "data").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"model\.onnx cannot be loaded.*Fetch it again"):
        load_metric_model(folder, device="cpu")


# What the package keeps for itself


def test_a_prompt_cache_that_is_not_one_is_made_again(checkpoint, tmp_path, marker, monkeypatch):
    monkeypatch.setenv("SHARPDEPTH_HOME", str(tmp_path / "home"))
    made = []

    def embed(folder):
        made.append(folder)
        return torch.ones(1, 2, 16)

    prompt_embedding_once(checkpoint, embed)
    (kept,) = (weights_home() / "prompts").glob("*.safetensors")
    for poison in (*malicious.BROKEN_SAFETENSORS.values(), None):
        if poison is None:
            malicious.zip_pickle(kept, marker)
        else:
            kept.write_bytes(poison)
        assert torch.equal(prompt_embedding_once(checkpoint, embed), torch.ones(1, 2, 16))
    assert len(made) == 1 + len(malicious.BROKEN_SAFETENSORS) + 1


def test_compiled_code_is_kept_where_nobody_else_writes(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("SHARPDEPTH_HOME", str(tmp_path))
    folder = use_compile_cache()
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert folder.stat().st_mode & 0o022 == 0
    folder.chmod(0o777)
    with pytest.raises(ValueError, match=r"others may write to it.*chmod go-w"):
        use_compile_cache()
    monkeypatch.delenv(FOLDER_VARIABLE)
