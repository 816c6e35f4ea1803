# SPDX-License-Identifier: Apache-2.0
"""The OpenVINO backend: the published numbers, a compiled network for each size, kept on disk."""

import contextlib
import os
import sys
import threading

import numpy as np
import pytest
import torch

openvino = pytest.importorskip("openvino", reason="needs OpenVINO (pip install .[openvino])")

from sharpdepth_ros import SharpDepthPipeline  # noqa: E402
from sharpdepth_ros.models.diffusion import load_depth_diffusion  # noqa: E402
from sharpdepth_ros.pipeline.engine import EngineOptions  # noqa: E402

OPENVINO = EngineOptions(backend="openvino")

TOLERANCE = {"fp32": 2e-5, "bf16": 0.12}
"""Largest error of the affine depth in [-1, 1] on the golden images: those of torch, see
test_engine.py."""


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A home of its own, so that it is known what is kept; one, because compiling takes time."""
    folder = tmp_path_factory.mktemp("openvino-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARPDEPTH_HOME", str(folder))
        yield folder


@pytest.fixture
def compiled(monkeypatch):
    """Counts the networks that are compiled rather than found on disk."""
    seen = []
    convert = openvino.convert_model

    def counted(*arguments, **options):
        seen.append(1)
        return convert(*arguments, **options)

    monkeypatch.setattr(openvino, "convert_model", counted)
    return seen


@pytest.fixture
def make(data, ramp_metric_model):
    def make(engine=OPENVINO, precision="fp32"):
        return SharpDepthPipeline.from_pretrained(
            data / "tiny_checkpoint",
            metric_model=ramp_metric_model,
            device="cpu",
            precision=precision,
            engine=engine,
        )

    return make


def picture(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_published_numbers(precision, data, given_metric_model):
    with np.load(data / "sharpdepth_tiny.npz") as arrays:
        golden = {k.removeprefix("0_"): arrays[k] for k in arrays.files if k.startswith("0_")}
    pipe = SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint",
        metric_model=given_metric_model(golden["metric_depth"]),
        device="cpu",
        precision=precision,
        engine=OPENVINO,
    )
    out = pipe(
        golden["image"].transpose(1, 2, 0),
        processing_resolution=int(golden["processing_resolution"]),
        noise=(golden["noise_generator"], golden["noise_gate"]),
        fallback=False,
    )
    error = np.abs(out.affine_depth - golden["affine_depth_full"]).max()
    assert error < TOLERANCE[precision]
    # The last layer is float32: far more levels than eight bits of mantissa have.
    assert len(np.unique(out.affine_depth)) > 0.9 * out.affine_depth.size


def test_each_size_is_compiled_once_and_found_again_by_another_process(make, home, compiled):
    pipe = make()
    for size in ((48, 64), (32, 40), (48, 64)):
        pipe(picture(*size), processing_resolution=0)
    assert len(compiled) == 6  # encoder, UNet and decoder of two sizes
    first = pipe(picture(48, 64), processing_resolution=0)
    # All that another process has is what is on the disk.
    again = make()(picture(48, 64), processing_resolution=0)
    assert len(compiled) == 6
    np.testing.assert_array_equal(first.affine_depth, again.affine_depth)
    assert (home / "openvino").stat().st_mode & 0o022 == 0


def test_what_is_broken_on_disk_is_compiled_again(make, home, compiled):
    make()(picture(48, 64), processing_resolution=0)
    before = len(compiled)
    for file in (home / "openvino").glob("*.blob"):
        file.write_bytes(file.read_bytes()[:100])
    wanted = make(EngineOptions())(picture(48, 64), processing_resolution=0)
    out = make()(picture(48, 64), processing_resolution=0)
    assert len(compiled) == before + 3
    assert np.abs(out.affine_depth - wanted.affine_depth).max() < TOLERANCE["fp32"]


@pytest.mark.parametrize(("steps", "tolerance"), [(1, TOLERANCE["fp32"]), (2, 1e-3)])
def test_batches_and_several_steps_are_those_of_torch(steps, tolerance, make):
    """DDIM's step from t = 999 enlarges rounding, by one over the signal's share of 0.068."""
    images = [picture(48, 64), 255 - picture(48, 64)]
    options = {"lotus_steps": steps, "processing_resolution": 0}
    both = (p.batch(images, **options) for p in (make(EngineOptions()), make()))
    for one, other in zip(*both, strict=True):
        assert np.abs(one.affine_depth - other.affine_depth).max() < tolerance


def test_the_models_that_were_given_stay_what_they_were(data, ramp_metric_model):
    model = load_depth_diffusion(data / "tiny_checkpoint", dtype=torch.bfloat16)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    pipe = SharpDepthPipeline(model, ramp_metric_model, engine=OPENVINO)
    pipe(picture(48, 64), processing_resolution=0)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_openvino_the_message_says_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r"pip install 'sharpdepth_ros\[openvino\]'"):
        make()
    make(EngineOptions(backend="auto"))  # does without


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend 'tensorrt' is not one of torch, openvino, auto"):
        EngineOptions(backend="tensorrt")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_no_thread_is_bound_to_a_core(make):
    """By default each process binds its threads to the first cores, as every other process does."""
    pipe, over, bound = make(), threading.Event(), set()

    def watch():
        while not over.is_set():
            for thread in os.listdir("/proc/self/task"):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    bound.add(frozenset(os.sched_getaffinity(int(thread))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        pipe(picture(96, 128), processing_resolution=0)
    over.set()
    watcher.join()
    assert bound == {frozenset(os.sched_getaffinity(0))}
