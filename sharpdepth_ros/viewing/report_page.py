# SPDX-License-Identifier: Apache-2.0
"""The HTML of a report: one file without any other, light and dark, for a phone and a desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sharpdepth_ros.viewing.latencies import (
    PERCENTILES,
    StageTimes,
    latency_svg,
    line_class,
    percentile_rows,
)
from sharpdepth_ros.viewing.report_pictures import FramePictures, Picture

MOST_PROBLEMS = 40

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1c2024; --soft: #5b646d; --line: #dfe3e7; --panel: #f5f6f8;
  --alarm: #9a3412; --alarm-panel: #fdf3ec;
  --c0: #00798c; --c1: #d1495b; --c2: #b7791f; --c3: #5f4b8b; --c4: #4d7c0f; --c5: #7f5539;
  --c6: #2f6fa8; --c7: #a21caf;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16191d; --ink: #e4e7ea; --soft: #9aa4ae; --line: #31373e; --panel: #1e2227;
    --alarm: #fdba74; --alarm-panel: #2b211a;
    --c0: #4bc0d0; --c1: #f08391; --c2: #edae49; --c3: #b3a1e0; --c4: #a3c76d; --c5: #d0a384;
    --c6: #7fb5e6; --c7: #e29be8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem;
  background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.8rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: 0.3rem 0; }
.soft { color: var(--soft); }
.figures {
  display: grid; gap: 1px; margin: 1.5rem 0 0; background: var(--line);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden;
  grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr));
}
.figures div { background: var(--page); padding: 0.7rem 0.9rem; }
.figures dt { color: var(--soft); font-size: 0.85rem; }
.figures dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.problems {
  background: var(--alarm-panel); color: var(--alarm); border-radius: 8px; margin: 0;
  padding: 0.8rem 1rem 0.8rem 2.2rem; overflow-wrap: anywhere;
}
.frame { border-top: 1px solid var(--line); padding: 1.2rem 0 0.4rem; }
.maps, .views { display: grid; gap: 0.8rem; }
.maps, .turned { margin: 0.8rem 0; }
.maps { grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); }
.views { grid-template-columns: repeat(3, 1fr); gap: 0.4rem; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 4px; background: var(--panel); }
figcaption { color: var(--soft); font-size: 0.85rem; padding-top: 0.25rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.35rem 0.6rem 0.35rem 0; }
th { text-align: left; font-weight: 500; }
thead th { color: var(--soft); font-size: 0.85rem; }
.number { text-align: right; }
td.value { overflow-wrap: anywhere; }
.facts th { width: 34%; color: var(--soft); vertical-align: top; }
.key { display: inline-block; width: 0.8rem; height: 0.8rem; border-radius: 2px;
  margin-right: 0.5rem; vertical-align: -0.05rem; }
.plot { width: 100%; max-width: 54rem; height: auto; display: block; margin-bottom: 1rem; }
.plot text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.plot .grid { stroke: var(--line); }
.plot polyline { fill: none; stroke: currentColor; stroke-width: 1.6; }
.plot circle { fill: currentColor; }
.stage-0 { color: var(--c0); } .stage-1 { color: var(--c1); } .stage-2 { color: var(--c2); }
.stage-3 { color: var(--c3); } .stage-4 { color: var(--c4); } .stage-5 { color: var(--c5); }
.stage-6 { color: var(--c6); } .stage-7 { color: var(--c7); } .stage-total { color: var(--ink); }
.key { background: currentColor; }
@media (max-width: 34rem) { .plot text { font-size: 22px; } th, td { padding-right: 0.3rem; } }
"""


def render_page(
    title: str,
    figures: Mapping[str, str],
    problems: Sequence[str],
    frames: Sequence[FramePictures],
    times: StageTimes,
    settings: Mapping[str, str],
    machine: Mapping[str, str],
    written: str,
) -> str:
    """The whole page.

    Args:
        title: of the run.
        figures: name -> value, the few numbers at the top.
        problems: each in a sentence.
        frames: with their pictures.
        times: of all frames.
        settings: name -> value.
        machine: name -> value.
        written: when, for people.
    """
    body = [
        "<header>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">SharpDepth, report of a run, written {escape(written)}</p>',
        _figures(figures),
        "</header><main>",
    ]
    if problems:
        body.append("<h2>Problems</h2>")
        shown = list(problems[:MOST_PROBLEMS])
        if len(problems) > MOST_PROBLEMS:
            shown.append(f"and {len(problems) - MOST_PROBLEMS} more")
        body.append(_list("problems", shown))
    body.append("<h2>Frames</h2>")
    body += [_frame(frame) for frame in frames]
    if table := _times(times):
        body.append("<h2>Times</h2>" + table)
    body.append("<h2>Settings</h2>" + _facts(settings))
    body.append("<h2>Machine that wrote this report</h2>" + _facts(machine))
    body.append("</main>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: SharpDepth report</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _figures(figures: Mapping[str, str]) -> str:
    cells = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in figures.items())
    return f'<dl class="figures">{"".join(cells)}</dl>'


def _list(css: str, lines: Sequence[str]) -> str:
    return f'<ul class="{css}">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _frame(frame: FramePictures) -> str:
    parts = [
        f'<section class="frame"><h3>{escape(frame.name)}</h3>',
        f'<p class="soft">{escape(frame.facts)}</p>',
        f'<div class="maps">{"".join(_figure(p) for p in frame.maps)}</div>',
    ]
    for label, row in frame.clouds.items():
        views = "".join(_image(picture) for picture in row)
        parts.append(
            f'<figure class="turned"><div class="views">{views}</div>'
            f"<figcaption>cloud, {escape(label)}: {', '.join(p.caption for p in row)}"
            "</figcaption></figure>"
        )
    if not frame.clouds:
        parts.append('<p class="soft">No cloud: the camera is not known.</p>')
    return "".join([*parts, "</section>"])


def _figure(picture: Picture) -> str:
    return f"<figure>{_image(picture)}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def _image(picture: Picture) -> str:
    return (
        f'<img src="{picture.source}" alt="{escape(picture.alt)}" width="{picture.width}" '
        f'height="{picture.height}" loading="lazy">'
    )


def _times(times: StageTimes) -> str:
    rows = percentile_rows(times)
    if not rows:
        return ""
    heads = ["median", *(f"{p} %" for p in PERCENTILES[1:]), "largest"]
    table = ['<table><thead><tr><th scope="col">milliseconds</th>']
    table += [f'<th scope="col" class="number">{head}</th>' for head in heads]
    table.append("</tr></thead><tbody>")
    for i, (name, values) in enumerate(rows):
        key = f'<span class="key {line_class(i, name)}"></span>'
        cells = "".join(f'<td class="number">{value:.1f}</td>' for value in values)
        table.append(f'<tr><th scope="row">{key}{escape(name)}</th>{cells}</tr>')
    return latency_svg(times) + "".join([*table, "</tbody></table>"])


def _facts(facts: Mapping[str, str]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(name)}</th><td class="value">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'
