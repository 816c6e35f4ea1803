# SPDX-License-Identifier: Apache-2.0
"""What people read of a result: a Markdown table beside published figures, plot and pages."""

import math
from pathlib import Path

from sharpdepth_ros.evaluation.metrics import METRICS
from sharpdepth_ros.evaluation.pictures import Gallery
from sharpdepth_ros.evaluation.plots import plot_accuracy_sharpness, plot_page
from sharpdepth_ros.evaluation.published_results import PUBLISHED
from sharpdepth_ros.evaluation.result import Result
from sharpdepth_ros.io.atomic_files import write_text

REPORT, PLOT = "report.md", "accuracy_sharpness.png"


def write_report(result: Result, folder: Path, gallery: Gallery) -> None:
    """Write report.md, and where there is something to show the plot and pages of samples."""
    parts = [markdown_table(result), _remarks(result)]
    if plot_accuracy_sharpness([result], folder / PLOT):
        parts.append(f"![Accuracy against sharpness]({PLOT})\n")
    for method in result.methods if gallery.count else ():
        page = f"samples_{method}.png"
        if plot_page(result, method, gallery, folder / page):
            parts.append(f"![Worst and best samples of {method}]({page})\n")
    gallery.prune(result.methods)
    write_text(folder / REPORT, "\n".join([f"# {result.title}\n", *parts]))


def markdown_table(result: Result) -> str:
    """Methods by metrics, the best of each in bold, published figures below."""
    metrics = result.metrics
    head = ["method", *(_title(m) for m in metrics)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    best = {m: _best([result.mean(method, m) for method in result.methods], m) for m in metrics}
    for method in result.methods:
        cells = []
        for metric in metrics:
            mean = result.mean(method, metric)
            cells.append(f"**{_number(mean)}**" if mean == best[metric] else _number(mean))
        lines.append("| " + " | ".join([method, *cells]) + " |")
    for method, published in PUBLISHED.get(result.dataset, {}).items():
        cells = [_number(published[m]) if m in published else "" for m in metrics]
        lines.append("| " + " | ".join([f"{method} (published)", *cells]) + " |")
    return "\n".join(lines) + "\n"


def _remarks(result: Result) -> str:
    """How many samples, and where a metric was not defined on all of them."""
    lines = [f"Settings: {', '.join(f'{k} {v}' for k, v in result.settings.items())}."]
    for method, metrics in result.summary().items():
        total = len(result.values(method, result.metrics[0]))
        partial = [
            f"{_title(m)} on {s['samples']}" for m, s in metrics.items() if s["samples"] < total
        ]
        lines.append(
            f"{method}: means over {total} samples"
            + (f" ({', '.join(partial)}: not defined on the others)." if partial else ".")
        )
    lines += [f"Numbers that mean little: {line}." for line in result.remarks()]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _title(metric: str) -> str:
    info = METRICS[metric]
    return f"{info.title} {'↑' if info.higher_is_better else '↓'}"


def _best(means: list[float], metric: str) -> float:
    """The best of several; nan where none is better than another."""
    defined = {mean for mean in means if not math.isnan(mean)}
    if len(defined) < 2:
        return math.nan
    return max(defined) if METRICS[metric].higher_is_better else min(defined)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.5g}"
