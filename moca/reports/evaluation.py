"""A self-contained page about one evaluation: figures with intervals, controls, how clips are spread, and the clips.

The page has no script and needs no other file; templates/evaluation.html lays it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moca.core.changing import flattened
from moca.core.files import write_text_whole
from moca.evaluation.robustness import robustness_of
from moca.evaluation.tables import column_of, rows_of, shown
from moca.metrics.robustness import COLUMNS as ROBUST
from moca.reports.histogram import draw_histogram
from moca.reports.templating import render
from moca.version import __version__

if TYPE_CHECKING:
    from moca.evaluation import EvaluationResult


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

    label: the result's, as in its table. pictures: JPEG by index in `result.clips`, in the order to show; see
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
    return render(
        "evaluation.html",
        title=label,
        facts=_facts(result),
        notes=notes,
        result=result,
        columns={metric: column_of(result, metric) for metric in result.metrics},
        rows=[
            ("own sound" if control == "none" else control, measured)
            for _, control, measured in rows_of({label: result})
        ],
        robust=ROBUST,
        robustness=robustness_of(result),
        shown=shown,
        nan=math.nan,
        histogram=draw_histogram([clip.metrics[metric] for clip in result.clips], title),
        figures=list(_figures(result, pictures, metric, title)),
        count=_count(len(pictures), len(result.clips), worst_first),
        settings=dict(flattened(result.settings)),
        versions={"moca-avs": result.version, **{name: v for name, v in result.packages.items() if v}},
        version=__version__,
    )


def _facts(result: EvaluationResult) -> dict[str, object]:
    """What was evaluated, for the head of the page."""
    data = {f"Data: {name}": value for name, value in result.data.items() if name != "fingerprint"}
    facts = {"Method": result.method, "Protocol": result.protocol["name"], **data}
    facts["Licence of the result"] = result.licence or "not said"
    if "labels" in result.protocol:
        facts["Labels"] = result.protocol["labels"]
    return facts


def _count(shown_clips: int, total: int, worst_first: bool) -> str:
    """How many of the clips are shown, and in which order."""
    order = "the worst first" if worst_first else "from the best to the worst"
    return f"{shown_clips} of {total}, {order}" if total > 1 else "1"


def _figures(
    result: EvaluationResult, pictures: Mapping[int, bytes], metric: str, title: str
) -> Iterator[dict[str, object]]:
    """The clips shown: their picture, name, and score by the metric of this title."""
    for index, picture in pictures.items():
        clip = result.clips[index]
        score = clip.metrics[metric]
        yield {
            "jpeg": picture,
            "name": " · ".join(part for part in (clip.name, clip.category) if part),
            "score_name": title,
            "score": "n/a" if math.isnan(score) else f"{score:.3f}",
        }
