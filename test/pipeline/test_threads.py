# SPDX-License-Identifier: Apache-2.0
"""Threads that share one pipeline: each gets the answer that it would get alone, bit for bit."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.pipeline.engine import EngineOptions

SIZES = [(32, 48), (48, 32), (32, 48)]


@pytest.fixture(scope="module", params=["torch", "openvino"])
def pipe(request, data, ramp_metric_model):
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="needs OpenVINO (pip install .[openvino])")
    return SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint",
        metric_model=ramp_metric_model,
        device="cpu",
        precision="fp32",
        engine=EngineOptions(backend=request.param),
    )


@pytest.fixture
def impatient_threads():
    """Threads take turns after a microsecond, so that what can come between them does."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def scene(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def maps_of(out):
    return [out.depth, out.metric_depth, out.affine_depth, out.discrepancy]


def at_once(tasks):
    """The answers of functions that begin together, each in a thread of its own."""
    start = threading.Barrier(len(tasks))

    def run(task):
        start.wait(60)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def test_images_sizes_and_seeds_of_several_threads_do_not_mix(pipe, impatient_threads):
    def camera(number):
        """The answers to one camera's images, each with a seed of its own."""
        size = SIZES[number]

        def frames():
            return [
                pipe(scene(*size, seed), processing_resolution=0, seed=100 * number + seed)
                for seed in range(8)
            ]

        return frames

    cameras = [camera(number) for number in range(len(SIZES))]
    alone = [task() for task in cameras]
    for own, together in zip(alone, at_once(cameras), strict=True):
        for a, b in zip(own, together, strict=True):
            for expected, found in zip(maps_of(a), maps_of(b), strict=True):
                np.testing.assert_array_equal(expected, found)
            assert (a.scale, a.shift) == (b.scale, b.shift)
            assert a.timings.keys() == b.timings.keys()


def test_each_thread_keeps_the_generator_pass_of_its_own_camera(pipe, impatient_threads):
    def camera(number):
        def frames():
            memory = pipe.new_memory(every=3)
            image = scene(*SIZES[number], seed=number)
            return [
                pipe(image, processing_resolution=0, seed=number, memory=memory).depth
                for _ in range(4)
            ]

        return frames

    cameras = [camera(number) for number in range(len(SIZES))]
    alone = [task() for task in cameras]
    for own, together in zip(alone, at_once(cameras), strict=True):
        np.testing.assert_array_equal(own, together)
