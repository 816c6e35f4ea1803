# SPDX-License-Identifier: Apache-2.0
"""The engine changes the speed, not the numbers; what only a GPU runs is seen from outside."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.models.constant_folding import FoldedDiffusion, can_fold, sharing_copy
from sharpdepth_ros.models.diffusion import DepthDiffusion, load_depth_diffusion
from sharpdepth_ros.models.metric import MetricDepth
from sharpdepth_ros.pipeline.cuda_graphs import ReplayedCalls
from sharpdepth_ros.pipeline.engine import Engine, EngineOptions

SWITCHES = {
    "all": EngineOptions(),
    "released": EngineOptions.released(),
    "no channels_last": EngineOptions(channels_last=False),
    "no fused_attention": EngineOptions(fused_attention=False),
    "no fold_constants": EngineOptions(fold_constants=False),
    "sequential": EngineOptions(schedule="sequential"),
    # Without a GPU its two streams are one; the order of the work is the parallel one.
    "parallel": EngineOptions(schedule="parallel"),
    "no pinned_transfers": EngineOptions(pinned_transfers=False),
}

TOLERANCE = {"fp32": 2e-5, "bf16": 0.12}
"""Largest error of the affine depth in [-1, 1] on the golden images, as docs/speed.md states it.
bf16 on random weights: no trained network amplifies its rounding as much."""


@pytest.fixture
def golden(data):
    with np.load(data / "sharpdepth_tiny.npz") as arrays:
        return {k.removeprefix("0_"): arrays[k] for k in arrays.files if k.startswith("0_")}


@pytest.fixture
def run(data, golden, given_metric_model):
    """Run the golden image through a pipeline that is made with these options."""

    def run_golden(**options):
        pipe = SharpDepthPipeline.from_pretrained(
            data / "tiny_checkpoint",
            metric_model=given_metric_model(golden["metric_depth"]),
            device="cpu",
            **{"precision": "fp32", **options},
        )
        return pipe(
            golden["image"].transpose(1, 2, 0),
            processing_resolution=int(golden["processing_resolution"]),
            noise=(golden["noise_generator"], golden["noise_gate"]),
            fallback=False,
        )

    return run_golden


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_keeps_the_published_numbers(run, golden, switches):
    out = run(engine=switches)
    error = np.abs(out.affine_depth - golden["affine_depth_full"]).max()
    assert error < TOLERANCE["fp32"]
    assert out.scale == pytest.approx(float(golden["scale"]), rel=1e-4)


def test_bfloat16_keeps_them_within_its_tolerance_and_does_not_show_in_steps(run, golden):
    out = run(precision="bf16")
    error = np.abs(out.affine_depth - golden["affine_depth_full"])
    assert error.max() < TOLERANCE["bf16"]
    # The last layer answers in float32: far more levels than eight bits of mantissa have.
    assert len(np.unique(out.affine_depth)) > 0.9 * out.affine_depth.size


def test_compiled_networks_keep_them_and_their_code_is_found_again(
    run, golden, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    # aot_eager traces and lowers the networks as inductor does, without a C++ compiler.
    from sharpdepth_ros.models import diffusion

    compiled = []
    original = diffusion.nn.Module.compile

    def compile_quickly(module, *args, **kwargs):
        compiled.append(type(module).__name__)
        original(module, backend="aot_eager", **kwargs)

    monkeypatch.setattr(diffusion.nn.Module, "compile", compile_quickly)
    out = run(compile=True)
    assert compiled == ["_FoldedUNet", "Encoder", "Decoder"]
    assert np.abs(out.affine_depth - golden["affine_depth_full"]).max() < TOLERANCE["fp32"]


def test_the_compile_cache_is_under_the_packages_home_unless_the_user_chose(
    monkeypatch, weights_home, tmp_path
):
    from sharpdepth_ros.pipeline.compile_cache import FOLDER_VARIABLE, use_compile_cache

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert use_compile_cache() == weights_home / "compiled"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    assert use_compile_cache() == tmp_path / "mine"
    monkeypatch.delenv(FOLDER_VARIABLE)


@pytest.fixture
def model(data):
    return load_depth_diffusion(data / "tiny_checkpoint")


def test_folding_computes_the_same_for_every_timestep(model):
    assert can_fold(model.unet)
    folded = FoldedDiffusion.of(model)
    image, noise = torch.randn(2, 2, 4, 8, 8).unbind()
    with torch.inference_mode():
        for steps in (1, 3):
            torch.testing.assert_close(
                folded.generate(image, noise, steps), model.generate(image, noise, steps)
            )


def test_folding_leaves_the_model_as_it_was_and_shares_its_weights(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = FoldedDiffusion.of(model)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    mine = {p.data_ptr() for p in model.parameters()}
    extra = [p for p in folded.parameters() if p.data_ptr() not in mine]
    assert not extra
    assert sharing_copy(model.unet).conv_in.weight is model.unet.conv_in.weight


def test_folding_keeps_all_that_the_model_says_of_itself(model):
    parts = model.unet, model.vae, model.scheduler, model.prompt_embedding
    given = DepthDiffusion(*parts, space="disparity", processing_resolution=320, fit="relative")
    said = {n: v for n, v in vars(given).items() if isinstance(v, str | int | float)}
    assert {"space", "processing_resolution", "fit", "stride", "max_steps"} <= said.keys()
    folded = FoldedDiffusion.of(given.eval())
    assert {name: getattr(folded, name) for name in said} == said | {"training": False}
    assert folded.scheduler.config == given.scheduler.config


def test_a_unet_with_conditions_of_its_own_is_not_folded(model):
    model.unet.register_to_config(addition_embed_type="text")
    assert not can_fold(model.unet)
    assert not isinstance(Engine(torch.device("cpu")).prepare(model), FoldedDiffusion)


def test_both_passes_have_one_unet_where_no_generator_was_given(data, given_metric_model):
    pipe = SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint", metric_model=given_metric_model(np.ones((8, 8))), device="cpu"
    )
    assert pipe._generator is pipe._sharpener
    kept = {
        p.data_ptr(): p.nbytes for m in (pipe.sharpener, pipe._sharpener) for p in m.parameters()
    }
    assert sum(kept.values()) == sum(p.nbytes for p in pipe.sharpener.parameters())


class NoLookAtValues(TorchDispatchMode):
    """Raises where the host would wait for the device: for a value, or for a copy between them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "equal", "masked_select"):
            raise AssertionError(f"{name} waits for the device")
        out = func(*args, **(kwargs or {}))
        if name == "_to_copy" and out.device != args[0].device and args[0].ndim > 0:
            raise AssertionError(f"{list(args[0].shape)} copied {args[0].device} -> {out.device}")
        return out


class FakeMetricModel(torch.nn.Module):
    def infer(self, rgb, intrinsics=None):
        return MetricDepth(rgb.float().mean(1, keepdim=True) + 1, torch.zeros(1, 3, 3).to(rgb))


@pytest.mark.parametrize("mode", ["sharpdepth", "aligned", "metric"])
@pytest.mark.parametrize("schedule", ["parallel", "batched", "sequential"])
def test_no_value_is_looked_at_between_upload_and_download(model, mode, schedule):
    # On "meta" tensors have no values: whatever looks at one raises, as does a copy to the host.
    pipe = SharpDepthPipeline(
        model.to("meta"), FakeMetricModel(), engine=EngineOptions(schedule=schedule)
    )
    image = torch.zeros(60, 80, 3, dtype=torch.uint8, device="meta")
    noise = [torch.zeros(1, 4, 8, 10, device="meta")] * 2
    with NoLookAtValues():
        out = pipe(image, mode=mode, processing_resolution=0, noise=noise)
    assert out.depth.device.type == "meta"
    assert out.depth.shape == (60, 80)


def test_a_look_at_a_value_would_be_noticed():
    with pytest.raises(AssertionError, match="_local_scalar_dense waits"), NoLookAtValues():
        torch.ones(1).item()
    with pytest.raises(AssertionError, match=r"\[2\] copied cpu -> meta"), NoLookAtValues():
        torch.ones(2).to("meta")


class Recording:
    """Stands for a CUDA graph: works on inputs of its own, and answers in the same tensors."""

    made = 0

    def __init__(self, function, inputs):
        type(self).made += 1
        self.function, self.inputs = function, tuple(i.clone() for i in inputs)

    def __call__(self, *inputs):
        for kept, given in zip(self.inputs, inputs, strict=True):
            kept.copy_(given)
        return self.function(*self.inputs)


def test_calls_are_recorded_once_for_each_size_and_the_oldest_is_dropped():
    Recording.made = 0
    calls = ReplayedCalls(Recording, capacity=2)

    def double(x):
        return (2 * x,)

    for value in (1.0, 2.0):
        assert calls("double", double, torch.full((2,), value))[0].tolist() == [2 * value] * 2
    assert Recording.made == 1
    calls("double", double, torch.zeros(3))
    calls("double", double, torch.zeros(2))
    assert Recording.made == 2
    calls("other", double, torch.zeros(2))  # drops the one of three, the least recently used
    calls("double", double, torch.zeros(2))
    assert Recording.made == 3
    calls("double", double, torch.zeros(3))
    assert Recording.made == 4


def test_a_frame_of_recorded_passes_is_the_frame(run, golden, monkeypatch):
    from sharpdepth_ros.pipeline import engine

    original = engine.Engine.__init__

    def with_recordings(self, *args):
        original(self, *args)
        self._calls = ReplayedCalls(Recording)

    monkeypatch.setattr(engine.Engine, "__init__", with_recordings)
    for schedule in ("parallel", "batched"):
        out = run(engine=EngineOptions(schedule=schedule))
        error = np.abs(out.affine_depth - golden["affine_depth_full"]).max()
        assert error < TOLERANCE["fp32"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "fast"}, "schedule 'fast' is not one of auto"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_a_bad_option_is_named_with_its_value(options, message):
    with pytest.raises(ValueError, match=message):
        EngineOptions(**options)


def test_everything_is_off_in_the_released_arrangement():
    off = dataclasses.asdict(EngineOptions.released())
    assert off.pop("schedule") == "sequential"
    assert off.pop("backend") == "torch"
    assert not any(off.values())
