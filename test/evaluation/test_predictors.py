# SPDX-License-Identifier: Apache-2.0
"""Where predictions come from: the pipeline's modes, and files of other programs."""

from dataclasses import replace

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


@pytest.mark.parametrize("file", ["a/rgb_0001", "a/pred_rgb_0001", "a/pred_0001"])
def test_predictions_may_be_named_as_the_published_scripts_name_them(
    dataset, tmp_path, boxes, file
):
    sample = replace(dataset[0], name="a/rgb_0001")
    (tmp_path / "a").mkdir()
    np.save(tmp_path / f"{file}.npy", boxes(3))
    answer = FilePredictor(tmp_path, "m").predict(sample, ["m"])
    assert np.array_equal(answer["m"], boxes(3))


def test_folders_may_be_left_out_only_where_file_names_are_unique(dataset, tmp_path, boxes):
    """KITTI's drives all have a frame 0000000006."""
    sample = replace(dataset[0], name="drive_1/0006")
    np.save(tmp_path / "0006.npy", boxes(3))
    unique = FilePredictor(tmp_path, "m", names=["drive_1/0006", "drive_2/0007"])
    assert np.array_equal(unique.predict(sample, ["m"])["m"], boxes(3))
    shared = FilePredictor(tmp_path, "m", names=["drive_1/0006", "drive_2/0006"])
    with pytest.raises(MissingData, match="no prediction for drive_1/0006"):
        shared.predict(sample, ["m"])


def test_a_missing_prediction_is_named(dataset, tmp_path):
    with pytest.raises(MissingData, match=r"no prediction for frame_0: .*frame_0\.npy\|\.png"):
        FilePredictor(tmp_path).predict(dataset[0], ["prediction"])


def test_a_method_that_cannot_name_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"method 'a/b': take letters"):
        FilePredictor(tmp_path, "a/b")


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
    sample = replace(dataset[0], intrinsics=camera)
    predictor = PipelinePredictor(pipe, ["metric"], processing_resolution=0)
    predictor.predict(sample, ["metric"])
    assert metric.intrinsics[0, 0, 0] == 70
    without = PipelinePredictor(pipe, ["metric"], use_intrinsics=False, processing_resolution=0)
    without.predict(sample, ["metric"])
    assert metric.intrinsics is None


def test_an_unknown_mode_is_refused(pipeline):
    with pytest.raises(ValueError, match="modes sharp: known are sharpdepth, aligned, metric"):
        PipelinePredictor(pipeline, ["sharp"])
