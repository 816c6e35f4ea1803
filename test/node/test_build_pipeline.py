# SPDX-License-Identifier: Apache-2.0
"""The node's parameters reach the pipeline, and its frames share one memory of the generator."""

import numpy as np

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.geometry.camera import CameraModel
from sharpdepth_ros.geometry.rectification import RectifiedImage
from sharpdepth_ros.node.frame_handler import build_pipeline
from sharpdepth_ros.pipeline.engine import EngineOptions
from sharpdepth_ros.pipeline.presets import PRESETS
from sharpdepth_ros.processing.frame_processor import FrameProcessor
from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, Parameters


def test_the_presets_to_choose_from_are_the_pipelines():
    assert SPECS["preset"].choices == tuple(PRESETS)
    assert DEFAULTS["preset"] == "accurate"


def test_what_needs_a_reload_is_what_the_pipeline_is_built_with(monkeypatch):
    given = {}
    monkeypatch.setattr(
        SharpDepthPipeline,
        "from_pretrained",
        classmethod(lambda cls, model, **options: given.update(options, model=model)),
    )
    build_pipeline(
        Parameters(model="m", metric_model="f_D", preset="fast", tiny_vae="tiny", cuda_graphs=True)
    )
    assert given == {
        "model": "m",
        "metric_model": "f_D",
        "generator": None,
        "device": "auto",
        "precision": "auto",
        "compile": False,
        "preset": "fast",
        "tiny_vae": "tiny",
        "engine": EngineOptions(cuda_graphs=True),
    }


def test_the_fit_of_the_parameters_is_the_calls_and_auto_leaves_it_to_the_model():
    calls = []
    values = [Parameters(fit="relative")]
    processor = FrameProcessor(
        lambda *_, **options: calls.append(options["fit"]), lambda: values[0]
    )
    camera = CameraModel(80, 60, 80, 80, 40, 30)
    image = RectifiedImage(np.zeros((60, 80, 3), np.uint8), camera)
    for values[0] in (Parameters(fit="relative"), Parameters(fit="least-squares"), Parameters()):
        processor._infer(image, values[0], "sharpdepth")
    assert calls == ["relative", "least-squares", None]


def test_the_generator_pass_serves_generator_every_frames_and_the_number_changes_live(
    data, monkeypatch
):
    pipe = SharpDepthPipeline.from_pretrained(
        data / "tiny_checkpoint", metric_model="demo", device="cpu", precision="fp32"
    )
    values = [Parameters(processing_resolution=64, generator_every=2)]
    processor = FrameProcessor(pipe, lambda: values[0])
    generated = []
    original = SharpDepthPipeline.__call__

    def watched(*args, **options):
        out = original(*args, **options)
        generated.append("generate" in out.timings)
        return out

    monkeypatch.setattr(SharpDepthPipeline, "__call__", watched)
    camera = CameraModel(80, 60, 80, 80, 40, 30)
    grey = RectifiedImage(np.full((60, 80, 3), 127, np.uint8), camera)

    def frame():
        processor._infer(grey, values[0], "sharpdepth")

    processor.warm_up(80, 60)
    for _ in range(3):
        frame()
    values[0] = Parameters(processing_resolution=64)  # 0: as the preset says, every frame
    for _ in range(2):
        frame()
    # The warm-up's grey picture is not the camera's, however alike they are.
    assert generated == [True, True, False, True, True, True]
