# SPDX-License-Identifier: Apache-2.0
"""Where predictions come from: the pipeline's modes, and files of other programs."""

import cv2
import numpy as np
import OpenEXR
import pytest

from sharpdepth_ros import SharpDepthPipeline
from sharpdepth_ros.evaluation.datasets import MissingData
from sharpdepth_ros.evaluation.predictors import FilePredictor, PipelinePredictor


def write_exr(path, depth):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    channels = {"A": np.ones_like(depth), "Z": depth}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


WRITERS = {
    "npy": np.save,
    "png": lambda path, depth: cv2.imwrite(str(path), np.rint(depth * 1000).astype(np.uint16)),
    "exr": write_exr,
    "tif": lambda path, depth: cv2.imwrite(str(path), depth),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_predictions_are_read_from_files(dataset, tmp_path, suffix, boxes):
    WRITERS[suffix](tmp_path / f"frame_1.{suffix}", boxes(7))
    answer = FilePredictor(tmp_path, "other").predict(dataset[1], ["other"])
    assert list(answer) == ["other"]
    assert answer["other"].dtype == np.float32
    np.testing.assert_allclose(answer["other"], boxes(7), atol=5e-4)


def test_a_png_has_its_scale_and_zero_is_no_prediction(dataset, tmp_path):
    values = np.full((48, 64), 512, np.uint16)
    values[0, 0] = 0
    cv2.imwrite(str(tmp_path / "frame_0.png"), values)
    answer = FilePredictor(tmp_path, png_scale=256).predict(dataset[0], ["prediction"])
    assert np.isnan(answer["prediction"][0, 0]) and answer["prediction"][1, 1] == 2


def test_a_missing_prediction_is_named(dataset, tmp_path):
    with pytest.raises(MissingData, match=r"no prediction for frame_0: .*frame_0\.npy\|\.png"):
        FilePredictor(tmp_path).predict(dataset[0], ["prediction"])


def test_a_prediction_of_another_size_is_refused(dataset, tmp_path):
    np.save(tmp_path / "frame_0.npy", np.ones((24, 32), np.float32))
    with pytest.raises(ValueError, match=r"frame_0\.npy is \(24, 32\).*\(48, 64\)"):
        FilePredictor(tmp_path).predict(dataset[0], ["prediction"])


@pytest.fixture(scope="module")
def pipeline():
    return SharpDepthPipeline.from_pretrained("demo", metric_model="demo", device="cpu")


def test_the_pipeline_answers_in_its_modes(pipeline, dataset):
    predictor = PipelinePredictor(pipeline, processing_resolution=64)
    sample = dataset[0]
    together = predictor.predict(sample, ["metric", "aligned", "sharpdepth"])
    for mode in ("metric", "aligned", "sharpdepth"):
        assert together[mode].shape == (48, 64)
        alone = predictor.predict(sample, [mode])[mode]
        np.testing.assert_allclose(together[mode], alone, rtol=1e-5)


def test_the_data_sets_camera_reaches_the_metric_model(dataset, given_metric_model, data, boxes):
    metric = given_metric_model(boxes(0))
    pipe = SharpDepthPipeline.from_pretrained(data / "tiny_checkpoint", metric_model=metric)
    camera = np.array([[70.0, 0, 32], [0, 70, 24], [0, 0, 1]])
    sample = dataset[0]
    object.__setattr__(sample, "intrinsics", camera)
    predictor = PipelinePredictor(pipe, ["metric"], processing_resolution=0)
    predictor.predict(sample, ["metric"])
    assert metric.intrinsics[0, 0, 0] == 70
    without = PipelinePredictor(pipe, ["metric"], use_intrinsics=False, processing_resolution=0)
    without.predict(sample, ["metric"])
    assert metric.intrinsics is None


def test_an_unknown_mode_is_refused(pipeline):
    with pytest.raises(ValueError, match="modes sharp: known are sharpdepth, aligned, metric"):
        PipelinePredictor(pipeline, ["sharp"])
