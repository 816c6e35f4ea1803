# SPDX-License-Identifier: Apache-2.0
"""Runs an evaluation: predicts, aligns and measures every sample that is not done yet."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from sharpdepth_ros.evaluation.alignment import AlignmentMethod, align_prediction
from sharpdepth_ros.evaluation.datasets.base import DepthDataset, MissingData
from sharpdepth_ros.evaluation.measure import check_metrics, default_metrics, measure, remark_on
from sharpdepth_ros.evaluation.pictures import Gallery
from sharpdepth_ros.evaluation.predictors import Predictor
from sharpdepth_ros.evaluation.records import Records, Row, fingerprint, other_parts
from sharpdepth_ros.evaluation.report import write_report
from sharpdepth_ros.evaluation.result import Result
from sharpdepth_ros.pipeline.distributed import Processes, this_process
from sharpdepth_ros.recordings.run_problems import BAD_INPUT, Problems


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
    facts: Mapping[str, object] | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> Result:
    """Measure a predictor on a data set, and write tables and pictures.

    Each sample's numbers go to disk as soon as they are there, so the same call continues a run
    that was stopped, and a larger limit or further modes extend it. Every sample is read again, and
    measured again where its image, ground truth, camera or prediction file is not what it was.

    Args:
        dataset: from `open_dataset`.
        predictor: a pipeline or files.
        output: folder for samples.csv, result.json, report.md and pictures.
        alignment: of predictions to the ground truth, before they are measured.
        metrics: names; None takes what fits the data set.
        pictures: how many worst and how many best samples to show per method; 0 for none.
        processes: who shares the work; None asks `accelerate launch`.
        progress: show a bar.
        facts: what else decides the numbers; JSON values.
        tell: gets what was measured again and why, and (in the main process) which numbers mean
            little.

    Returns:
        The result, in every process.

    Raises:
        MissingData: a file is not there. One that is there and cannot be read is left out.
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
        **(facts or {}),
        **predictor.settings,
    }
    output.mkdir(parents=True, exist_ok=True)
    records = Records(output, metrics, settings)
    gallery = Gallery(output / "pictures", pictures, metrics)
    names = dataset.names
    done = {(row["sample"], row["method"]): row for row in records.rows()}
    processes.wait()  # all have read what was done before anyone adds to it

    again = Problems()
    prediction_of = getattr(predictor, "fingerprint", lambda sample: "")
    with tqdm(
        total=len(names),
        unit="sample",
        desc=dataset.title,
        disable=not (progress and processes.is_main),
    ) as bar:
        for index in processes.share(range(len(names))):
            try:
                sample = dataset[index]
            except MissingData:
                raise
            except BAD_INPUT as error:
                for method in predictor.methods:
                    row = _unreadable(names[index], method, metrics, error)
                    known = done.get((names[index], method))
                    if known is None or known["data"] != row["data"]:
                        records.append(processes.index, row)
                bar.update(min(processes.count, len(names) - bar.n))
                continue
            made_of = {
                "data": fingerprint(
                    rgb=sample.rgb,
                    depth=sample.depth,
                    valid=sample.valid,
                    intrinsics=sample.intrinsics,
                    edges=sample.edges,
                ),
                "prediction": prediction_of(sample),
            }
            methods = []
            for method in predictor.methods:
                row = done.get((sample.name, method))
                if row is not None and not (differs := _other(row, made_of)):
                    gallery.note(row)
                    continue
                methods.append(method)
                if row is not None:
                    again.add(f"measured again, for {differs} changed on the disk", sample.name)
            predictions = predictor.predict(sample, methods) if methods else {}
            for method in methods:
                depth = align_prediction(
                    predictions[method], sample.depth, sample.valid, alignment, predictor.space
                )
                row = {"sample": sample.name, "method": method, **made_of}
                row |= {"remark": remark_on(depth, sample)} | measure(depth, sample, metrics)
                gallery.offer(row, sample, depth)
                records.append(processes.index, row)
            bar.update(min(processes.count, len(names) - bar.n))  # the others are about as far
    for line in again.lines():
        tell(line)
    processes.wait()

    rows, stale = _ordered(records, names, predictor)
    result = Result(dataset.key, dataset.title, settings, rows)
    if processes.is_main:
        for row in records.rows():  # what the other processes measured
            gallery.note(row)
        result.save(output)
        write_report(result, output, gallery)
        for line in [*stale.lines(), *result.remarks()]:
            tell(line)
    return result


def _unreadable(sample: str, method: str, metrics: Sequence[str], error: Exception) -> Row:
    """The row of a sample that cannot be read: in no mean, and measured as soon as it can be."""
    row = {"sample": sample, "method": method, "data": "unreadable=1", "prediction": ""}
    row["remark"] = f"the sample cannot be read: {' '.join(str(error).split())}"
    return row | dict.fromkeys(metrics, math.nan)


def _other(row: Row, made_of: Mapping[str, str]) -> str:
    """What a row was measured of that is no longer so; empty if it is."""
    names = {"depth": "ground truth", "rgb": "image", "valid": "mask", "intrinsics": "camera"}
    parts = [names.get(part, part) for part in other_parts(str(row["data"]), made_of["data"])]
    return ", ".join(parts + ["prediction"] * (row["prediction"] != made_of["prediction"]))


def _ordered(
    records: Records, names: list[str], predictor: Predictor
) -> tuple[list[Row], Problems]:
    """Rows of this run's samples, in the data set's order, the predictor's methods first; and what
    was left out: rows that other methods have of data that are no longer there."""
    order = {name: i for i, name in enumerate(names)}
    rows = [row for row in records.rows() if row["sample"] in order]
    data = {row["sample"]: row["data"] for row in rows if row["method"] in predictor.methods}
    stale = Problems()
    for row in rows:
        if row["data"] != data.get(row["sample"], row["data"]):
            stale.add(f"{row['method']} is left out where its data changed", str(row["sample"]))
    rows = [row for row in rows if row["data"] == data.get(row["sample"], row["data"])]
    found = dict.fromkeys(row["method"] for row in rows)
    methods = [*predictor.methods, *(m for m in found if m not in predictor.methods)]
    rows.sort(key=lambda row: (order[row["sample"]], methods.index(row["method"])))
    return rows, stale
