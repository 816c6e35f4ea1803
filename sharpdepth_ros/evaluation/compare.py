# SPDX-License-Identifier: Apache-2.0
"""Compares two results sample by sample: paired differences with bootstrap confidence intervals."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from sharpdepth_ros.evaluation.metrics import METRICS
from sharpdepth_ros.evaluation.plots import plot_differences
from sharpdepth_ros.evaluation.records import other_parts, write_rows
from sharpdepth_ros.evaluation.result import Result
from sharpdepth_ros.io.atomic_files import write_text
from sharpdepth_ros.pipeline.provenance import changes

RESAMPLES = 10_000
CONFIDENCE = 0.95

MEASUREMENT = ("dataset", "crop", "options", "alignment")
"""Settings of what is measured, and how; all others are of what makes the depth."""

LEAST_SAMPLES = 5
"""For a verdict: the bootstrap of fewer knows too little of how they spread."""


@dataclass(frozen=True)
class Difference:
    """One metric of A and B on the samples where both have it.

    Attributes:
        metric: its name.
        samples: how many both have.
        mean_a: mean of A on them.
        mean_b: mean of B.
        difference: mean of B - A.
        low: of the confidence interval of that mean.
        high: of it.
        b_better: share of samples on which B is better, ties half.
        verdict: "B", "A", or "-" where the interval holds 0 or there are fewer than 5 samples.
    """

    metric: str
    samples: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    b_better: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two methods on the samples they share.

    Attributes:
        name_a: folder and method of A.
        name_b: folder and method of B.
        differences: one per metric.
        per_sample: B - A by metric, then by sample.
        remarks: in what A and B differ, and what was left out for it.
    """

    name_a: str
    name_b: str
    differences: list[Difference]
    per_sample: dict[str, dict[str, float]]
    remarks: list[str] = field(default_factory=list)


def compare(
    a: str | Path, b: str | Path, output: str | Path | None = None, seed: int = 0
) -> list[Comparison]:
    """Compare two results.

    Args:
        a: output folder of an evaluation, or FOLDER:METHOD. Without a method all methods that
            both have are compared, each with itself.
        b: the same.
        output: folder for compare.md, compare.json, differences_*.csv and differences_*.png;
            None writes nothing.
        seed: of the bootstrap.

    Raises:
        FileNotFoundError: a folder holds no result.
        ValueError: there is no method, sample or metric that both have.
    """
    (result_a, methods_a), (result_b, methods_b) = _open(a), _open(b)
    if len(methods_a) == len(methods_b) == 1:
        pairs = [(methods_a[0], methods_b[0])]
    else:
        pairs = [(m, m) for m in methods_a if m in methods_b]
    if not pairs:
        raise ValueError(
            f"{a} has {', '.join(methods_a)} and {b} has {', '.join(methods_b)}; name what to "
            "compare as FOLDER:METHOD"
        )
    comparisons = [
        compare_methods(result_a, method_a, result_b, method_b, (str(a), str(b)), seed)
        for method_a, method_b in pairs
    ]
    if output is not None:
        _write(comparisons, Path(output))
    return comparisons


def compare_methods(
    result_a: Result,
    method_a: str,
    result_b: Result,
    method_b: str,
    names: tuple[str, str] = ("A", "B"),
    seed: int = 0,
) -> Comparison:
    """Compare one method of each result, on the samples they share and that are of the same data.

    Raises:
        ValueError: there is no such sample with a metric.
    """
    metrics = [m for m in result_a.metrics if m in result_b.metrics]
    others = _of_other_data(result_a.texts(method_a, "data"), result_b.texts(method_b, "data"))
    differences, per_sample = [], {}
    for metric in metrics:
        in_a, in_b = result_a.values(method_a, metric), result_b.values(method_b, metric)
        shared = [
            s for s in in_a if s in in_b and s not in others and not math.isnan(in_a[s] - in_b[s])
        ]
        if not shared:
            continue
        values_a, values_b = (np.array([v[s] for s in shared]) for v in (in_a, in_b))
        differences.append(_difference(metric, values_a, values_b, seed))
        per_sample[metric] = dict(zip(shared, (values_b - values_a).tolist(), strict=True))
    if not differences:
        read = f" and read other data ({_first_of(others)})" if others else ""
        raise ValueError(
            f"{names[0]} and {names[1]} share no sample with a metric{read}; were they made on the "
            f"same data set? ({result_a.title}, {result_b.title})"
        )
    labels = (f"{name.rpartition(':')[0] or name}:{method}" for name, method in zip(
        names, (method_a, method_b), strict=True
    ))  # fmt: skip
    remarks = _remarks(result_a, method_a, result_b, method_b, others)
    return Comparison(*labels, differences, per_sample, remarks)


def bootstrap_interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of paired differences [N]."""
    rng = np.random.default_rng(seed)
    count = len(differences)
    means = np.empty(RESAMPLES)
    rows = max(1, 2_000_000 // count)  # bounds the memory of one block
    for start in range(0, RESAMPLES, rows):
        block = means[start : start + rows]
        block[:] = differences[rng.integers(0, count, (len(block), count))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def comparison_table(comparison: Comparison) -> str:
    """A comparison as a Markdown table."""
    lines = [
        f"A is {comparison.name_a}, B is {comparison.name_b}. The interval is a paired bootstrap "
        f"at {CONFIDENCE:.0%}, {RESAMPLES} resamples; a verdict needs it to leave out 0.\n",
        "| metric | samples | A | B | B - A | interval | B better on | verdict |",
        "|" + " --- |" * 8,
    ]
    for d in comparison.differences:
        info = METRICS[d.metric]
        title = f"{info.title} {'↑' if info.higher_is_better else '↓'}"
        lines.append(
            f"| {title} | {d.samples} | {d.mean_a:.4g} | {d.mean_b:.4g} | {d.difference:+.4g} | "
            f"{d.low:+.4g} to {d.high:+.4g} | {d.b_better:.0%} | {d.verdict} |"
        )
    if comparison.remarks:
        lines += ["", *(f"- {remark}" for remark in comparison.remarks)]
    return "\n".join(lines) + "\n"


def _of_other_data(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, list[str]]:
    """The samples that A and B both have and read otherwise, with what is other."""
    both = [sample for sample in a if a[sample] and b.get(sample)]
    found = {sample: other_parts(a[sample], b[sample]) for sample in both}
    return {sample: parts for sample, parts in found.items() if parts}


def _first_of(others: Mapping[str, list[str]]) -> str:
    sample, parts = next(iter(others.items()))
    return f"{len(others)} samples, such as {sample} ({', '.join(parts)})"


def _remarks(
    result_a: Result, method_a: str, result_b: Result, method_b: str, others: Mapping
) -> list[str]:
    """In what A and B differ beside their numbers, and what the comparison is worth for it."""
    a, b = result_a.texts(method_a, "data"), result_b.texts(method_b, "data")
    lines = []
    found = changes(result_a.settings, result_b.settings)
    if measured := [found[name] for name in MEASUREMENT if name in found]:
        lines.append(f"Not the same measurement (A, then B): {'; '.join(measured)}.")
    if others:
        lines.append(f"Left out, for A and B read other data: {_first_of(others)}.")
    alone = [len(one.keys() - other.keys()) for one, other in ((a, b), (b, a))]
    if any(alone):
        lines.append(f"Left out: {alone[0]} samples that A alone has, {alone[1]} that B alone has.")
    if not all(a.values()) or not all(b.values()):
        lines.append("Not known: whether all samples are of the same data; it was not recorded.")
    if (result_a, method_a) == (result_b, method_b):
        lines.append("A and B are the same result.")
    for label, result, method in (("A", result_a, method_a), ("B", result_b, method_b)):
        little = sum(bool(text) for text in result.texts(method, "remark").values())
        if little:
            lines.append(
                f"{little} samples of {label} have numbers that mean little; see its report."
            )
    if made := [text for name, text in found.items() if name not in (*MEASUREMENT, "root")]:
        lines.append(f"Made otherwise (A, then B): {'; '.join(made)}.")
    return lines


def _difference(metric: str, a: np.ndarray, b: np.ndarray, seed: int) -> Difference:
    low, high = bootstrap_interval(b - a, seed)
    gain = b - a if METRICS[metric].higher_is_better else a - b
    verdict = "-"
    if len(a) >= LEAST_SAMPLES and (low > 0 or high < 0):
        verdict = "B" if gain.mean() > 0 else "A"
    return Difference(
        metric,
        len(a),
        float(a.mean()),
        float(b.mean()),
        float((b - a).mean()),
        low,
        high,
        float((gain > 0).mean() + 0.5 * (gain == 0).mean()),
        verdict,
    )


def _open(given: str | Path) -> tuple[Result, list[str]]:
    """A result and the methods meant: FOLDER, or FOLDER:METHOD."""
    folder, colon, method = str(given).rpartition(":")
    if not colon or Path(given).is_dir():
        folder, method = str(given), ""
    result = Result.load(Path(folder))
    if method and method not in result.methods:
        raise ValueError(f"{folder} has no method {method!r}; it has {', '.join(result.methods)}")
    return result, [method] if method else result.methods


def _write(comparisons: list[Comparison], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for i, comparison in enumerate(comparisons, start=1):
        table, picture = f"differences_{i}.csv", f"differences_{i}.png"
        samples = dict.fromkeys(s for values in comparison.per_sample.values() for s in values)
        rows = [
            {"sample": s} | {m: v.get(s, math.nan) for m, v in comparison.per_sample.items()}
            for s in samples
        ]
        write_rows(folder / table, rows, ["sample", *comparison.per_sample])
        plot_differences(comparison.differences, comparison.per_sample, folder / picture)
        parts += [comparison_table(comparison), f"![Differences by sample]({picture})\n"]
    write_text(folder / "compare.md", "\n".join(["# Comparison\n", *parts]))
    document = [
        {
            "a": c.name_a,
            "b": c.name_b,
            "confidence": CONFIDENCE,
            "differences": [asdict(d) for d in c.differences],
            "remarks": c.remarks,
        }
        for c in comparisons
    ]
    write_text(folder / "compare.json", json.dumps(document, indent=2) + "\n")
