# SPDX-License-Identifier: Apache-2.0
"""Threads that share one pipeline: each gets the answer that it would get alone, bit for bit."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.pipeline.engine import EngineOptions

SIZES = {"torch": [(32, 48), (48, 32), (32, 48)], "openvino": [(32, 48)] * 3}
"""Of each thread's images: OpenVINO compiles for each size, which takes time."""


@pytest.fixture
def load(data, ramp_metric_model):
    def load_pipeline(backend):
        return SharpDepthPipeline.from_pretrained(
            data / "tiny_checkpoint",
            metric_model=ramp_metric_model,
            device="cpu",
            precision="fp32",
            engine=EngineOptions(backend=backend),
        )

    return load_pipeline


def scene(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def maps_of(out):
    return [out.depth, out.metric_depth, out.affine_depth, out.discrepancy]


def at_once(tasks):
    """The answers of functions that begin together, each in a thread of its own.

    Threads take turns after a microsecond, so that what can come between them does.
    """
    start = threading.Barrier(len(tasks))
    interval = sys.getswitchinterval()

    def run(task):
        start.wait(60)
        return task()

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            return list(pool.map(run, tasks))
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("backend", SIZES)
def test_images_sizes_and_seeds_of_several_threads_do_not_mix(backend, load):
    if backend == "openvino" and find_spec("openvino") is None:
        pytest.skip("needs OpenVINO (pip install .[openvino])")
    pipe = load(backend)

    def camera(number, size):
        """The answers to one camera's images, each with a seed of its own."""

        def frames():
            return [
                pipe(scene(*size, seed), processing_resolution=0, seed=100 * number + seed)
                for seed in range(8)
            ]

        return frames

    cameras = [camera(*of) for of in enumerate(SIZES[backend])]
    alone = [task() for task in cameras]
    for own, together in zip(alone, at_once(cameras), strict=True):
        for a, b in zip(own, together, strict=True):
            for expected, found in zip(maps_of(a), maps_of(b), strict=True):
                np.testing.assert_array_equal(expected, found)
            assert (a.scale, a.shift) == (b.scale, b.shift)
            assert a.timings.keys() == b.timings.keys()


def test_each_thread_keeps_the_generator_pass_of_its_own_camera(load):
    pipe = load("torch")

    def camera(number, size):
        def frames():
            memory = pipe.new_memory(every=3)
            image = scene(*size, seed=number)
            return [
                pipe(image, processing_resolution=0, seed=number, memory=memory).depth
                for _ in range(4)
            ]

        return frames

    cameras = [camera(*of) for of in enumerate(SIZES["torch"])]
    alone = [task() for task in cameras]
    for own, together in zip(alone, at_once(cameras), strict=True):
        np.testing.assert_array_equal(own, together)
