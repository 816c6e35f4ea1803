# SPDX-License-Identifier: Apache-2.0
"""Comparison of two results: intervals, verdicts, pairing, files."""

import json

import cv2
import numpy as np
import pytest

from sharpdepth_ros.evaluation.compare import (
    bootstrap_interval,
    compare,
    compare_methods,
    comparison_table,
)
from sharpdepth_ros.evaluation.datasets import open_dataset
from sharpdepth_ros.evaluation.evaluate import evaluate
from sharpdepth_ros.evaluation.report import markdown_table
from sharpdepth_ros.evaluation.result import Result


def made_up(values: dict[str, list[float]], dataset: str = "folder") -> Result:
    """A result with AbsRel values by method."""
    rows = [
        {"sample": f"s{i}", "method": method, "abs_relative_difference": value}
        for method, numbers in values.items()
        for i, value in enumerate(numbers)
    ]
    return Result(dataset, dataset, {}, rows)


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide():
    differences = np.random.default_rng(0).normal(0.3, 2.0, 400)
    low, high = bootstrap_interval(differences)
    error = differences.std() / 20
    assert low == pytest.approx(differences.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(differences.mean() + 1.96 * error, abs=0.15 * error)


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        low, high = bootstrap_interval(rng.normal(1.0, 1.0, 60))
        hits += low <= 1.0 <= high
    assert 51 <= hits <= 60


def test_a_small_but_steady_gain_is_a_verdict_though_samples_differ_widely():
    """Paired: the spread of the samples is far larger than the gain."""
    base = np.random.default_rng(2).uniform(0.05, 0.9, 50)
    a, b = made_up({"m": base.tolist()}), made_up({"m": (base - 0.01).tolist()})
    (difference,) = compare_methods(a, "m", b, "m").differences
    assert difference.verdict == "B"  # AbsRel: lower is better
    assert difference.difference == pytest.approx(-0.01)
    assert difference.b_better == 1
    (reverse,) = compare_methods(b, "m", a, "m").differences
    assert reverse.verdict == "A" and reverse.b_better == 0


def test_no_verdict_where_the_interval_holds_zero():
    rng = np.random.default_rng(3)
    a, b = rng.uniform(0, 1, (2, 40))
    (difference,) = compare_methods(
        made_up({"m": a.tolist()}), "m", made_up({"m": b.tolist()}), "m"
    ).differences
    assert difference.low < 0 < difference.high and difference.verdict == "-"


def test_a_handful_of_samples_gives_no_verdict():
    a, b = made_up({"m": [0.3, 0.4, 0.5, 0.6]}), made_up({"m": [0.1, 0.2, 0.3, 0.4]})
    assert compare_methods(a, "m", b, "m").differences[0].verdict == "-"


def test_only_samples_that_both_have_are_compared():
    a = made_up({"m": [0.1, 0.2, float("nan"), 0.4]})
    b = made_up({"m": [0.1, 0.1, 0.1]})
    comparison = compare_methods(a, "m", b, "m")
    assert comparison.differences[0].samples == 2
    assert comparison.per_sample["abs_relative_difference"] == {
        "s0": 0.0,
        "s1": pytest.approx(-0.1),
    }
    with pytest.raises(ValueError, match="share no sample"):
        compare_methods(made_up({"m": [float("nan")]}), "m", b, "m")


def test_two_methods_of_one_run_are_compared_and_written(dataset, tmp_path, make_predictor):
    run, out = tmp_path / "run", tmp_path / "compared"
    chosen = ["delta1_acc", "boundary_f1"]
    evaluate(dataset, make_predictor(), run, metrics=chosen, pictures=0, progress=False)
    (comparison,) = compare(f"{run}:sharp", f"{run}:blurred", out)
    by_metric = {d.metric: d for d in comparison.differences}
    assert by_metric["boundary_f1"].verdict == "A"
    assert by_metric["boundary_f1"].samples == 6
    assert "| boundary F1 ↑ | 6 |" in (out / "compare.md").read_text()
    assert json.loads((out / "compare.json").read_text())[0]["a"] == f"{run}:sharp"
    assert (out / "differences_1.csv").read_text().startswith("sample,delta1_acc")
    assert cv2.imread(str(out / "differences_1.png")).std() > 10


def test_two_runs_are_compared_method_by_method(dataset, tmp_path, make_predictor):
    for name in ("one", "two"):
        evaluate(dataset, make_predictor(), tmp_path / name, pictures=0, progress=False)
    comparisons = compare(tmp_path / "one", tmp_path / "two")
    assert [c.name_a for c in comparisons] == [
        f"{tmp_path / 'one'}:{m}" for m in ("sharp", "blurred")
    ]
    assert all(d.difference == 0 and d.verdict == "-" for c in comparisons for d in c.differences)
    with pytest.raises(ValueError, match="no method 'sharpe'; it has sharp, blurred"):
        compare(f"{tmp_path / 'one'}:sharpe", tmp_path / "two")


def test_a_folder_without_a_result_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"result\.json is missing"):
        compare(tmp_path, tmp_path)


def test_the_table_marks_the_best_and_ends_in_the_published_figures():
    rows = [
        {"sample": "s", "method": method, "delta1_acc": delta}
        for method, delta in (("sharpdepth", 0.9), ("metric", 0.8))
    ]
    table = markdown_table(Result("kitti", "KITTI", {}, rows)).splitlines()
    assert table[0] == "| method | delta1 ↑ |"
    assert table[2:4] == ["| sharpdepth | **0.9** |", "| metric | 0.8 |"]
    assert table[4] == "| SharpDepth (published) | 0.97315 |"


def _measure(folder, out, predictor, **options):
    evaluate(open_dataset("folder", folder), predictor, out, pictures=0, progress=False, **options)
    return out


def test_samples_that_were_read_otherwise_are_no_pairs(folder, tmp_path, make_predictor):
    one = _measure(folder, tmp_path / "one", make_predictor())
    path = folder / "depth/frame_2.npy"
    np.save(path, np.load(path) * np.float32(1.1))
    two = _measure(folder, tmp_path / "two", make_predictor())
    comparison = compare(one, two)[0]
    assert "frame_2" not in comparison.per_sample["delta1_acc"]
    assert comparison.differences[0].samples == 5
    assert comparison.remarks == [
        "Left out, for A and B read other data: 1 samples, such as frame_2 (depth)."
    ]
    assert comparison.remarks[0] in comparison_table(comparison)
    for path in (folder / "depth").iterdir():
        np.save(path, np.load(path) * np.float32(1.1))
    three = _measure(folder, tmp_path / "three", make_predictor())
    with pytest.raises(ValueError, match=r"read other data \(6 samples, such as frame_0 \(depth"):
        compare(one, three)


def test_a_comparison_says_in_what_both_differ(folder, tmp_path, make_predictor):
    one = _measure(folder, tmp_path / "one", make_predictor())
    options = {"alignment": "median", "facts": {"preset": "fast"}}
    two = _measure(folder, tmp_path / "two", make_predictor(version=2), **options)
    (remarks, _) = (comparison.remarks for comparison in compare(one, two))
    assert remarks == [
        "Not the same measurement (A, then B): alignment was 'none' and is 'median'.",
        "Made otherwise (A, then B): preset was not recorded and is 'fast'; version was 1 and is "
        "2.",
    ]


def test_samples_of_one_result_alone_and_unknown_data_are_named():
    a, b = made_up({"m": [0.1, 0.2, 0.3]}), made_up({"m": [0.1, 0.2]})
    assert compare_methods(a, "m", b, "m").remarks == [
        "Left out: 1 samples that A alone has, 0 that B alone has.",
        "Not known: whether all samples are of the same data; it was not recorded.",
    ]
