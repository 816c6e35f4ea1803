# SPDX-License-Identifier: Apache-2.0
"""Runs an evaluation: predicts, aligns and measures every sample that is not done yet."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from sharpdepth_ros.evaluation.alignment import AlignmentMethod, align_prediction
from sharpdepth_ros.evaluation.datasets.base import DepthDataset
from sharpdepth_ros.evaluation.measure import check_metrics, default_metrics, measure
from sharpdepth_ros.evaluation.pictures import Gallery
from sharpdepth_ros.evaluation.predictors import Predictor
from sharpdepth_ros.evaluation.records import Records
from sharpdepth_ros.evaluation.report import write_report
from sharpdepth_ros.evaluation.result import Result
from sharpdepth_ros.pipeline.processes import Processes, this_process


def evaluate(
    dataset: DepthDataset,
    predictor: Predictor,
    output: str | Path,
    *,
    alignment: AlignmentMethod = "none",
    metrics: Sequence[str] | None = None,
    pictures: int = 4,
    processes: Processes | None = None,
    progress: bool = True,
) -> Result:
    """Measure a predictor on a data set, and write tables and pictures.

    Each sample's numbers go to disk as soon as they are there, so the same call continues a run
    that was stopped, and a larger limit or further modes extend it.

    Args:
        dataset: from `open_dataset`.
        predictor: a pipeline or files.
        output: folder for samples.csv, result.json, report.md and pictures.
        alignment: of predictions to the ground truth, before they are measured.
        metrics: names; None takes what fits the data set.
        pictures: how many worst and how many best samples to show per method; 0 for none.
        processes: who shares the work; None asks `accelerate launch`.
        progress: show a bar.

    Returns:
        The result, in every process.

    Raises:
        MissingData: a file is not there.
        ValueError: an argument is out of range, or the output folder holds another run.
    """
    output = Path(output)
    processes = this_process() if processes is None else processes
    metrics = default_metrics(dataset) if metrics is None else list(metrics)
    check_metrics(metrics)
    settings = {
        "dataset": dataset.key,
        "root": str(dataset.root),
        "crop": dataset.crop,
        "options": dataset.options,
        "alignment": alignment,
        **predictor.settings,
    }
    output.mkdir(parents=True, exist_ok=True)
    records = Records(output, metrics, settings)
    gallery = Gallery(output / "pictures", pictures, metrics)
    names = dataset.names
    done = defaultdict(set)
    for row in records.rows():
        done[row["sample"]].add(row["method"])
        gallery.note(row)
    processes.wait()  # all have read what was done before anyone adds to it

    pending = {i for i, name in enumerate(names) if set(predictor.methods) - done[name]}
    with tqdm(
        total=len(names),
        initial=len(names) - len(pending),
        unit="sample",
        desc=dataset.title,
        disable=not (progress and processes.is_main),
    ) as bar:
        for index in processes.share(range(len(names))):
            if index not in pending:
                continue
            sample = dataset[index]
            methods = [m for m in predictor.methods if m not in done[names[index]]]
            predictions = predictor.predict(sample, methods)
            for method in methods:
                depth = align_prediction(
                    predictions[method], sample.depth, sample.valid, alignment, predictor.space
                )
                row = {"sample": sample.name, "method": method}
                row |= measure(depth, sample, metrics)
                gallery.offer(row, sample, depth)
                records.append(processes.index, row)
            bar.update(min(processes.count, len(names) - bar.n))  # the others are about as far
    processes.wait()

    result = Result(dataset.key, dataset.title, settings, _ordered(records, names, predictor))
    if processes.is_main:
        for row in records.rows():  # what the other processes measured
            gallery.note(row)
        result.save(output)
        write_report(result, output, gallery)
    return result


def _ordered(records: Records, names: list[str], predictor: Predictor) -> list:
    """Rows of this run's samples, in the data set's order, the predictor's methods first."""
    order = {name: i for i, name in enumerate(names)}
    rows = {(r["method"], r["sample"]): r for r in records.rows() if r["sample"] in order}
    found = dict.fromkeys(method for method, _ in rows)
    methods = [*predictor.methods, *(m for m in found if m not in predictor.methods)]
    return sorted(rows.values(), key=lambda r: (order[r["sample"]], methods.index(r["method"])))
