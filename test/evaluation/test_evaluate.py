# SPDX-License-Identifier: Apache-2.0
"""A run: its numbers and files, stopping and going on, sharing the work."""

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sharpdepth_ros.evaluation import metrics
from sharpdepth_ros.evaluation.datasets import open_dataset
from sharpdepth_ros.evaluation.evaluate import evaluate
from sharpdepth_ros.evaluation.measure import remark_on
from sharpdepth_ros.evaluation.predictors import FilePredictor
from sharpdepth_ros.evaluation.records import read_rows
from sharpdepth_ros.evaluation.result import Result
from sharpdepth_ros.pipeline.distributed import Processes


def run(*arguments, **options) -> Result:
    """Evaluate without bar and pictures."""
    return evaluate(*arguments, **({"pictures": 0, "progress": False} | options))


NAMES = [f"frame_{i}" for i in range(6)]


def test_every_number_is_that_of_its_metric(dataset, tmp_path, make_predictor, boxes):
    result = run(dataset, make_predictor(), tmp_path / "out")
    assert result.methods == ["sharp", "blurred"]
    target = boxes(3)
    predicted = target * np.float32(1.12)
    for name in (*metrics.ACCURACY, *metrics.SHARPNESS):
        function = metrics.METRICS[name].function
        assert result.values("sharp", name)["frame_3"] == function(predicted, target, None), name
    assert result.mean("sharp", "abs_relative_difference") == pytest.approx(0.105, rel=1e-5)


def test_a_run_leaves_table_numbers_plot_and_pages(dataset, tmp_path, make_predictor):
    out = tmp_path / "out"
    result = run(dataset, make_predictor(), out, pictures=2)
    assert Result.load(out) == result
    rows = read_rows(out / "samples.csv")
    assert [(r["sample"], r["method"]) for r in rows[:3]] == [
        ("frame_0", "sharp"),
        ("frame_0", "blurred"),
        ("frame_1", "sharp"),
    ]
    document = json.loads((out / "result.json").read_text())
    assert document["methods"]["sharp"]["delta1_acc"]["samples"] == 6
    report = (out / "report.md").read_text()
    assert "| sharp |" in report and "accuracy_sharpness.png" in report
    for picture in ("accuracy_sharpness.png", "samples_sharp.png", "samples_blurred.png"):
        image = cv2.imread(str(out / picture))
        assert image.shape[0] > 200 and image.std() > 10
    # Two worst and two best of each method are kept, the others' pictures are gone.
    assert len(list((out / "pictures").glob("sharp_*.png"))) == 4


def test_a_stopped_run_continues_where_it_was(dataset, tmp_path, make_predictor):
    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="power"):
        run(dataset, make_predictor(fail_at="frame_3"), out, pictures=1)
    predictor = make_predictor()
    result = run(dataset, predictor, out, pictures=1)
    assert [name for name, _ in predictor.asked] == NAMES[3:]
    whole = run(dataset, make_predictor(), tmp_path / "whole", pictures=1)
    assert result.rows == whole.rows
    names = {p.name for p in (out / "pictures").iterdir()}
    assert names == {p.name for p in (tmp_path / "whole" / "pictures").iterdir()}


def test_a_row_that_was_half_written_is_measured_again(dataset, tmp_path, make_predictor):
    out = tmp_path / "out"
    whole = run(dataset, make_predictor(), out)
    part = out / "parts" / "0.csv"
    part.write_bytes(part.read_bytes()[:-25])
    predictor = make_predictor()
    result = run(dataset, predictor, out)
    assert predictor.asked == [("frame_5", ("blurred",))]
    assert result.rows == whole.rows


def test_a_larger_limit_adds_samples(folder, tmp_path, make_predictor):
    out = tmp_path / "out"
    few = open_dataset("folder", folder, limit=2)
    assert len(run(few, make_predictor(), out).rows) == 4
    predictor = make_predictor()
    more = run(open_dataset("folder", folder), predictor, out)
    assert [name for name, _ in predictor.asked] == NAMES[2:]
    assert len(more.rows) == 12
    again = run(few, make_predictor(), out)
    assert len(again.rows) == 4


def test_a_run_with_other_settings_is_refused_with_the_difference(
    dataset, tmp_path, make_predictor
):
    out = tmp_path / "out"
    run(dataset, make_predictor(), out)
    with pytest.raises(ValueError, match="version was 1 and is 2"):
        run(dataset, make_predictor(version=2), out)
    with pytest.raises(ValueError, match="alignment was 'none' and is 'median'"):
        run(dataset, make_predictor(), out, alignment="median")


def test_the_alignment_is_applied_before_measuring(dataset, tmp_path, make_predictor):
    result = run(dataset, make_predictor(), tmp_path / "out", alignment="median")
    assert result.mean("sharp", "abs_relative_difference") < 1e-6


def test_processes_share_the_samples_and_the_result_is_the_same(dataset, tmp_path, make_predictor):
    predictors = [make_predictor(), make_predictor()]
    for index in (1, 0):  # the main one last, as after a barrier
        processes = Processes(index, 2)
        result = run(dataset, predictors[index], tmp_path / "out", processes=processes)
    asked = [{name for name, _ in predictor.asked} for predictor in predictors]
    assert asked[1] == {"frame_1", "frame_3", "frame_5"}
    whole = run(dataset, make_predictor(), tmp_path / "whole")
    assert result.rows == whole.rows


def test_launched_processes_share_the_samples(folder, dataset, tmp_path, make_predictor):
    """As torchrun and `accelerate launch` start them: by the environment."""
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from conftest import SyntheticPredictor\n"
        "from sharpdepth_ros.evaluation.datasets import open_dataset\n"
        "from sharpdepth_ros.evaluation.evaluate import evaluate\n"
        f"dataset = open_dataset('folder', {str(folder)!r})\n"
        "result = evaluate(dataset, SyntheticPredictor(), sys.argv[1], pictures=1)\n"
        "assert len(result.rows) == 12\n"
    )
    out = tmp_path / "out"
    common = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(out)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    parts = {path.name: len(read_rows(path)) for path in (out / "parts").iterdir()}
    assert parts == {"0.csv": 6, "1.csv": 6}
    whole = run(dataset, make_predictor(), tmp_path / "whole", pictures=1)
    assert Result.load(out).rows == whole.rows
    names = {path.name for path in (out / "pictures").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole" / "pictures").iterdir()}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_sparse_ground_truth_gets_no_sharpness_and_no_plot(folder, tmp_path, make_predictor):
    dataset = open_dataset("folder", folder, dense=False)
    out = tmp_path / "out"
    result = run(dataset, make_predictor(), out)
    assert result.metrics == list(metrics.ACCURACY)
    assert not (out / "accuracy_sharpness.png").exists()
    assert "accuracy_sharpness" not in (out / "report.md").read_text()


def test_only_the_metrics_asked_for_are_measured(dataset, tmp_path, make_predictor):
    result = run(dataset, make_predictor(), tmp_path / "out", metrics=["boundary_f1"])
    assert result.metrics == ["boundary_f1"]
    with pytest.raises(ValueError, match=r"metrics d1 are not known; known: delta1_acc"):
        run(dataset, make_predictor(), tmp_path / "two", metrics=["d1"])


def test_a_sample_without_a_valid_pixel_is_left_out_of_the_means_and_said(
    folder, tmp_path, make_predictor
):
    np.save(folder / "depth" / "frame_2.npy", np.zeros((48, 64), np.float32))
    out = tmp_path / "out"
    result = run(open_dataset("folder", folder), make_predictor(), out)
    assert np.isnan(result.values("sharp", "delta1_acc")["frame_2"])
    assert result.summary()["sharp"]["delta1_acc"]["samples"] == 5
    assert "delta1 ↑ on 5" in (out / "report.md").read_text()
    assert json.loads((out / "result.json").read_text())  # valid JSON, without nan


def _corrected(folder, part):
    """Change one thing that sample frame_2 is read from."""
    if part == "ground truth":
        np.save(folder / "depth/frame_2.npy", np.load(folder / "depth/frame_2.npy") * 1.1)
    elif part == "image":
        cv2.imwrite(str(folder / "rgb/frame_2.png"), np.zeros((48, 64, 3), np.uint8))
    elif part == "camera":
        (folder / "intrinsics").mkdir()
        np.savetxt(folder / "intrinsics/frame_2.txt", [[50, 0, 32], [0, 50, 24], [0, 0, 1]])
    else:
        (folder / "valid").mkdir()
        cv2.imwrite(str(folder / "valid/frame_2.png"), np.eye(48, 64, dtype=np.uint8))


@pytest.mark.parametrize("part", ["ground truth", "image", "camera", "mask"])
def test_a_sample_that_was_corrected_is_measured_again_and_alone(
    folder, tmp_path, make_predictor, part
):
    out = tmp_path / "out"
    run(open_dataset("folder", folder), make_predictor(), out, pictures=1)
    _corrected(folder, part)
    predictor, said = make_predictor(), []
    options = {"pictures": 1, "tell": said.append}
    result = run(open_dataset("folder", folder), predictor, out, **options)
    assert predictor.asked == [("frame_2", ("sharp", "blurred"))]
    assert said == [f"measured again, for {part} changed on the disk (2 times): frame_2"]
    fresh = run(open_dataset("folder", folder), make_predictor(), tmp_path / "fresh", pictures=1)
    assert result.rows == fresh.rows
    predictor = make_predictor()
    assert run(open_dataset("folder", folder), predictor, out, **options).rows == fresh.rows
    assert predictor.asked == []


def test_rows_of_another_method_and_of_other_data_are_not_shown_beside_new_ones(
    folder, tmp_path, make_predictor
):
    out = tmp_path / "out"
    run(open_dataset("folder", folder), make_predictor(), out)
    _corrected(folder, "ground truth")
    predictor, said = make_predictor(), []
    predictor.methods = ("sharp",)
    result = run(open_dataset("folder", folder), predictor, out, tell=said.append)
    assert "frame_2" in result.values("sharp", "delta1_acc")
    assert "frame_2" not in result.values("blurred", "delta1_acc")
    assert said[-1] == "blurred is left out where its data changed: frame_2"


def test_predictions_that_were_replaced_are_measured_again(dataset, folder, tmp_path, boxes):
    files = tmp_path / "files"
    files.mkdir()
    for factor in (1.5, 1.01):
        for i in range(6):
            np.save(files / f"frame_{i}.npy", boxes(i) * np.float32(factor))
        result = run(dataset, FilePredictor(files, "mine"), tmp_path / "out")
        assert result.mean("mine", "abs_relative_difference") == pytest.approx(factor - 1, rel=1e-3)


def test_other_facts_are_refused_with_the_difference(dataset, tmp_path, make_predictor):
    out = tmp_path / "out"
    run(dataset, make_predictor(), out, facts={"model_weights": "aa"})
    with pytest.raises(ValueError, match="model_weights was 'aa' and is 'bb'"):
        run(dataset, make_predictor(), out, facts={"model_weights": "bb"})


class _Constant:
    methods, space, settings = ("flat",), "depth", {}

    def predict(self, sample, methods):
        return {"flat": np.full(sample.depth.shape, self.value, np.float32)}


@pytest.mark.parametrize(
    ("truth", "answer", "reason"),
    [
        (lambda d: d * 0, 3, "the ground truth is empty"),
        (lambda d: d, 3, "the prediction is constant (6 times): frame_0: 3 m everywhere"),
        (lambda d: d, np.nan, "the prediction is empty"),
    ],
)
def test_numbers_that_mean_little_are_named(folder, tmp_path, truth, answer, reason):
    for path in (folder / "depth").iterdir():
        np.save(path, truth(np.load(path)).astype(np.float32))
    predictor, said = _Constant(), []
    predictor.value = answer
    out = tmp_path / "out"
    for _ in range(2):  # also where nothing is measured again
        result = run(open_dataset("folder", folder), predictor, out, tell=said.append)
        assert result.says_nothing()
    assert len(said) == 2 and said[0] == said[1]
    assert reason in said[0] and "(6 times)" in said[0]
    assert reason in (out / "report.md").read_text()


@pytest.mark.parametrize(("truth", "answer"), [(6000, 6), (6, 6000)])
def test_millimetres_on_one_side_are_named(folder, tmp_path, truth, answer):
    files = tmp_path / "files"
    files.mkdir()
    for path in (folder / "depth").iterdir():
        metres = np.load(path)
        np.save(files / path.name, metres * np.float32(answer / 6))
        np.save(path, metres * np.float32(truth / 6))
    said = []
    run(open_dataset("folder", folder), FilePredictor(files), tmp_path / "out", tell=said.append)
    (line,) = said
    assert f"both in metres (6 times): frame_0: their medians are {answer} and {truth}" in line


def test_ground_truth_that_no_pixel_of_counts_is_named_with_its_range(folder, tmp_path, boxes):
    sample = open_dataset("folder", folder, max_depth=0.5)[0]
    said = remark_on(sample.depth, sample)
    near, far = boxes(0).min(), boxes(0).max()
    assert said.startswith("no pixel of the ground truth counts: ")
    assert f"it is from {near:.4g} to {far:.4g} m" in said


def test_a_sample_that_cannot_be_read_is_named_left_out_and_measured_once_it_can(
    folder, tmp_path, make_predictor
):
    path = sorted((folder / "depth").iterdir())[2]
    whole, out, said = path.read_bytes(), tmp_path / "out", []
    path.write_bytes(whole[:100])
    for _ in range(2):
        result = run(open_dataset("folder", folder), make_predictor(), out, tell=said.append)
        broken = [row for row in result.rows if row["sample"] == path.stem]
        assert all(math.isnan(row["abs_relative_difference"]) for row in broken)
        assert len(result.rows) == 6 * len(result.methods) and not result.says_nothing()
    assert said and all("the sample cannot be read" in line and path.stem in line for line in said)
    assert "the sample cannot be read" in (out / "report.md").read_text()
    path.write_bytes(whole)
    result = run(open_dataset("folder", folder), make_predictor(), out)
    assert not any(math.isnan(row["abs_relative_difference"]) for row in result.rows)
    assert result.remarks() == []


def test_sound_numbers_get_no_remark(dataset, tmp_path, make_predictor):
    said = []
    result = run(dataset, make_predictor(), tmp_path / "out", tell=said.append)
    assert said == [] and not result.says_nothing()
