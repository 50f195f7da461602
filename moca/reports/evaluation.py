"""A self-contained page about one evaluation: figures with intervals, controls, how clips are spread, and the clips.

No script, no external resource; every text from outside passes through `escape`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moca.core.files import write_text_whole
from moca.core.settings import flattened
from moca.evaluation.tables import column_of, rows_of, shown
from moca.reports.chart import escape
from moca.reports.gallery import data_url
from moca.reports.histogram import draw_histogram
from moca.reports.style import STYLE
from moca.version import __version__

if TYPE_CHECKING:
    from moca.evaluation import ClipScore, EvaluationResult

OWN_STYLE = """
.scores th, .scores td { width:auto; padding-right:18px; white-space:nowrap; }
.scores td { text-align:right; } .scores small { display:block; color:var(--soft); }
.chart .bin { fill:var(--level); } .chart .mean { stroke:var(--area); stroke-width:2; stroke-dasharray:4 3; }
.clips { display:grid; grid-template-columns:repeat(auto-fill, minmax(320px, 1fr)); gap:20px; }
.clips figure { margin:0; } .clips img { display:block; width:100%; height:auto; border-radius:8px; }
.clips figcaption { display:flex; gap:10px; overflow-wrap:anywhere; } .clips b { color:var(--ink); }
"""


def write_evaluation_report(
    path: str | Path,
    label: str,
    result: EvaluationResult,
    *,
    pictures: Mapping[int, bytes] | None = None,
    worst_first: bool = False,
    notes: Sequence[str] = (),
) -> None:
    """Write the page, completely or not at all.

    label: the result's, as in its table. pictures: JPEG by place in `result.clips`, in the order to show; see
    `moca.reports.clips`. worst_first: what is said of that order. notes: warnings, shown before everything else.
    """
    write_text_whole(Path(path), render_evaluation(label, result, pictures or {}, worst_first, notes))


def render_evaluation(
    label: str,
    result: EvaluationResult,
    pictures: Mapping[int, bytes],
    worst_first: bool = False,
    notes: Sequence[str] = (),
) -> str:
    """The complete HTML document."""
    metric = result.measured_by.clip_main
    title = column_of(result, metric).title
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(label)} · MoCA-AVS</title>",
        f"<style>{STYLE}{OWN_STYLE}</style></head><body>",
        *_header(label, result),
        "<main>",
        *(
            '<p class="banner warning" role="note"><span class="sign" aria-hidden="true">!</span>'
            f"<span>{escape(note)}</span></p>"
            for note in notes
        ),
        *_scores(label, result),
        *_false_positives(result),
        '<section class="card"><h2>Clips by score</h2><div class="scroll">',
        draw_histogram([clip.metrics[metric] for clip in result.clips], title),
        "</div></section>",
        *_gallery(result, pictures, metric, title, worst_first),
        *_table("Settings", dict(flattened(result.settings))),
        *_table("Versions", {"moca-avs": result.version, **{k: v for k, v in result.packages.items() if v}}),
        "</main>",
        f"<footer>Made by MoCA-AVS {escape(__version__)}. The page is complete in itself; results.json beside it holds "
        "the scores of every clip.</footer>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _header(label: str, result: EvaluationResult) -> Iterator[str]:
    data = {f"Data: {name}": value for name, value in result.data.items() if name != "fingerprint"}
    facts = {"Method": result.method, "Protocol": result.protocol["name"], **data}
    facts["Licence of the result"] = result.licence or "not said"
    if "labels" in result.protocol:
        facts["Labels"] = result.protocol["labels"]
    yield '<header><p class="kicker">Evaluation</p>'
    yield f'<h1>{escape(label)}</h1><dl class="facts">'
    for name, value in facts.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
    yield "</dl></header>"


def _scores(label: str, result: EvaluationResult) -> Iterator[str]:
    columns = {metric: column_of(result, metric) for metric in result.metrics}
    yield '<section class="card"><h2>Scores</h2>'
    if result.intervals:
        samples = result.bootstrap.get("samples", 0)
        yield f'<p class="note">Below each figure: 95 % bootstrap interval, clips resampled {samples:,} times.</p>'
    yield '<div class="scroll" tabindex="0" role="region" aria-label="Scores"><table class="scores"><tr><th></th>'
    yield "".join(
        f'<th scope="col" title="{escape(column.meaning)}">{escape(column.title)}</th>' for column in columns.values()
    )
    yield "</tr>"
    for _, control, measured in rows_of({label: result}):
        name = "own sound" if control == "none" else control
        cells = (_cell(measured, metric) for metric in columns)
        yield f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'
    yield "</table></div>"
    if not result.controls:
        yield '<p class="note">No control was run.</p>'
    yield "</section>"


def _false_positives(result: EvaluationResult) -> Iterator[str]:
    if not result.false_positives:
        return
    yield '<section class="card"><h2>False positives</h2>'
    yield '<p class="note">Mean masked share of the frame where nothing that is seen sounds; 0 is right.</p>'
    yield '<table class="scores"><tr><th></th><th scope="col">mean masked area</th><th scope="col">clips</th></tr>'
    for name, measured in result.false_positives.items():
        cells = _cell(measured, "mask_area") + _cell(measured, "videos")
        yield f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    yield "</table></section>"


def _cell(measured: EvaluationResult, metric: str) -> str:
    interval = measured.intervals.get(metric)
    ends = f"<small>{interval[0]:.3f} to {interval[1]:.3f}</small>" if interval else ""
    return f"<td>{shown(measured.metrics.get(metric, math.nan))}{ends}</td>"


def _gallery(
    result: EvaluationResult, pictures: Mapping[int, bytes], metric: str, title: str, worst_first: bool
) -> Iterator[str]:
    if not pictures:
        return
    total = len(result.clips)
    every = "the worst first" if worst_first else "from the best to the worst"
    count = f"{len(pictures)} of {total}, {every}" if total > 1 else "1"
    yield f'<section class="card"><h2>Clips <span class="count">{count}</span></h2>'
    yield (
        '<p class="note">Columns are annotated frames. From top to bottom: ground truth outlined, the mask, '
        'the heat map <i class="ramp"></i> 0 to 1.</p><div class="clips">'
    )
    for place, picture in pictures.items():
        yield _figure(result.clips[place], picture, metric, title)
    yield "</div></section>"


def _figure(clip: ClipScore, picture: bytes, metric: str, title: str) -> str:
    score = clip.metrics[metric]
    figure = "n/a" if math.isnan(score) else f"{score:.3f}"
    name = " · ".join(part for part in (clip.name, clip.category) if part)
    alternative = escape(f"{name}: {title} {figure}")
    return (
        f'<figure><img src="{data_url(picture)}" alt="{alternative}" loading="lazy">'
        f"<figcaption><b>{figure}</b><span>{escape(name)}</span></figcaption></figure>"
    )


def _table(title: str, values: Mapping[str, object]) -> Iterator[str]:
    if values:
        yield f'<details class="card"><summary>{title} <span class="count">{len(values)}</span></summary><table>'
        for name, value in values.items():
            yield f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        yield "</table></details>"
