# SPDX-License-Identifier: Apache-2.0
"""The released sizes fit a 6 GB GPU: computed from shapes, on tensors without memory."""

import sys
from pathlib import Path

import pytest
import torch

from sharpdepth_ros import SharpDepthPipeline

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from memory import GIB, LiveBytes, peak_of_passes, weight_bytes
from stacks import released


def test_weights_and_the_largest_pass_are_under_six_gigabytes_with_one_unet():
    stack = released(torch.device("meta"), torch.float16, torch.float16)
    pipe = SharpDepthPipeline(stack.sharpener, stack.metric_model)
    one_stack = weight_bytes(stack.sharpener, stack.metric_model)
    networks = (pipe.sharpener, pipe.generator, pipe._sharpener, pipe._generator)
    # Folding adds what it computed, and a second copy of nothing.
    assert weight_bytes(*networks, pipe.metric_model) < 1.01 * one_stack
    assert one_stack == pytest.approx(2 * (866e6 + 84e6 + 347e6), rel=0.02)
    peak = max(peak_of_passes(768, 576, torch.float16).values())
    assert one_stack + peak < 6e9
    assert peak > 2 * 256 * 768 * 576  # one feature map of the decoder's widest level


def test_live_bytes_counts_what_is_alive_at_once():
    with LiveBytes() as live:
        x = torch.empty(GIB, dtype=torch.uint8, device="meta")
        for _ in range(5):
            x = x + 1
    assert live.peak == 2 * GIB
    assert live.now == GIB
