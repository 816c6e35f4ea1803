# SPDX-License-Identifier: Apache-2.0
"""float16 that is too narrow for a network: noticed, said once, and the frame is not lost.

The overflow is real: weights that float16 holds are scaled until activations exceed 65504, where
float32 gives the answer to compare with.
"""

import numpy as np
import pytest
import torch

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.models.diffusion import load_depth_diffusion
from sharpdepth_ros.pipeline.fp16_overflow import OverflowWatch

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)

TOLERANCE = 0.02
"""Largest difference of the affine depth, about [-1, 1], from float32's. Measured with these
random weights: 0.009 with everything in fp16, 0.003 with the VAE in fp32."""

#: The layer whose output overflows, by the network that it is in. Each is followed by a
#: normalisation, so that the scale makes no difference where it can be computed.
LAYERS = {
    "the VAE's decoder": ("VAE", lambda m: m.vae.decoder.conv_in),
    "the VAE's encoder": ("VAE", lambda m: m.vae.encoder.conv_in),
    "the UNet": ("UNet", lambda m: m.unet.conv_in),
}


@pytest.fixture
def pipeline(data, ramp_metric_model):
    """Makes a pipeline of the tiny checkpoint; notices are collected in `notices`."""

    def make(dtype, layer=None, **options):
        model = load_depth_diffusion(data / "tiny_checkpoint", dtype=dtype)
        if layer is not None:
            convolution = layer(model)
            convolution.weight *= 60000 / float(convolution.weight.abs().max())
        pipe = SharpDepthPipeline(model, ramp_metric_model, **options)
        pipe.notices = []
        pipe.on_notice = pipe.notices.append
        return pipe

    return make


@pytest.mark.parametrize(("part", "layer"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("mode", ["sharpdepth", "aligned"])
def test_an_overflow_widens_the_network_and_the_frame_is_made_again(part, layer, mode, pipeline):
    wanted = pipeline(torch.float32, layer)(IMAGE, processing_resolution=0, mode=mode)
    pipe = pipeline(torch.float16, layer)
    model = pipe.sharpener
    out = pipe(IMAGE, processing_resolution=0, mode=mode)
    assert np.isfinite(out.affine_depth).all()
    assert np.abs(out.affine_depth - wanted.affine_depth).max() < TOLERANCE
    assert pipe.notices[-1].startswith(f"half precision (fp16) is too narrow for the {part}: ")
    assert "precision:=fp32" in pipe.notices[-1]
    # What was loaded is as it was: other pipelines may have it.
    assert (model.dtype, model.vae_dtype) == (torch.float16, torch.float16)
    assert pipe.sharpener.vae_dtype == torch.float32
    assert pipe.sharpener.dtype == (torch.float16 if part == "VAE" else torch.float32)


def test_the_reason_is_the_overflow(pipeline):
    """Without the watch these weights give a frame without a sharpened depth."""
    pipe = pipeline(torch.float16, LAYERS["the VAE's decoder"][1])
    pipe._watch = None
    out = pipe(IMAGE, processing_resolution=0)
    assert not np.isfinite(out.affine_depth).any()
    assert not out.aligned
    np.testing.assert_array_equal(out.depth, out.metric_depth)


def test_it_is_said_once_and_later_frames_are_wide_from_the_start(pipeline, monkeypatch):
    pipe = pipeline(torch.float16, LAYERS["the VAE's decoder"][1])
    first = pipe(IMAGE, processing_resolution=0)
    frames = []
    monkeypatch.setattr(pipe, "_frame", lambda *a, of=pipe._frame: frames.append(1) or of(*a))
    second = pipe(IMAGE, processing_resolution=0)
    np.testing.assert_array_equal(first.depth, second.depth)
    assert (len(pipe.notices), len(frames)) == (1, 1)


def test_half_precision_that_is_wide_enough_stays(pipeline):
    pipe = pipeline(torch.float16)
    wanted = pipeline(torch.float32)(IMAGE, processing_resolution=0)
    out = pipe(IMAGE, processing_resolution=0)
    assert np.abs(out.affine_depth - wanted.affine_depth).max() < TOLERANCE
    assert pipe.notices == []
    assert pipe.sharpener.vae_dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_wider_numbers_cannot_mend_is_left_to_the_fallback(dtype, pipeline):
    pipe = pipeline(dtype)
    pipe._decoder.vae.decoder.conv_in.weight.fill_(torch.nan)
    out = pipe(IMAGE, processing_resolution=0)
    assert not out.aligned and pipe.notices == []
    np.testing.assert_array_equal(out.depth, out.metric_depth)


def test_broken_weights_in_half_precision_do_not_go_on_for_ever(pipeline):
    pipe = pipeline(torch.float16)
    pipe.sharpener.vae.decoder.conv_in.weight.fill_(torch.nan)
    out = pipe(IMAGE, processing_resolution=0)
    assert len(pipe.notices) == 2  # the VAE, then all of it
    np.testing.assert_array_equal(out.depth, out.metric_depth)


def test_a_draft_that_overflowed_is_not_used_again(pipeline):
    layer = LAYERS["the VAE's decoder"][1]
    wanted, pipe = pipeline(torch.float32, layer), pipeline(torch.float16, layer)
    memories = [p.new_memory(every=5) for p in (wanted, pipe)]
    for _ in range(3):
        a, b = (
            p(IMAGE, processing_resolution=0, memory=memory)
            for p, memory in zip((wanted, pipe), memories, strict=True)
        )
        assert np.abs(a.affine_depth - b.affine_depth).max() < TOLERANCE


class Event:
    """A CUDA event that says it is reached when told."""

    reached = False

    def query(self):
        return self.reached


def test_on_a_gpu_frames_that_have_not_ended_are_not_waited_for():
    watch = OverflowWatch(torch.device("cpu"))
    event, flag = Event(), torch.tensor(False)
    watch._pending = [(flag, event), (torch.tensor(False), Event())]
    assert not watch.overflowed()
    event.reached = True
    assert watch.overflowed()
    assert not watch.overflowed()  # those behind it ran with the same networks
    watch.look_at(torch.ones(2), torch.zeros(2))
    assert not watch.overflowed()
    watch.look_at(torch.ones(2), torch.tensor([1.0, torch.inf]))
    assert watch.overflowed()
