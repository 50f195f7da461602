"""Results as tables: Markdown for readers, CSV for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from moca.evaluation.protocols.known import protocol_class
from moca.evaluation.robustness import robustness_of
from moca.metrics.column import Column
from moca.metrics.robustness import COLUMNS as ROBUST

if TYPE_CHECKING:
    from moca.evaluation.result import EvaluationResult
    from moca.evaluation.robustness import Robustness


def rows_of(results: Mapping[str, EvaluationResult]) -> Iterator[tuple[str, str, EvaluationResult]]:
    """(label, control, what was measured); "none" is the method as it is."""
    for label, result in results.items():
        for control, measured in {"none": result, **result.controls}.items():
            yield label, control, measured


def column_of(result: EvaluationResult, metric: str) -> Column:
    """A metric of a result in a reader's words."""
    return protocol_class(result.protocol["name"]).column(metric)


def shown(value: float, interval: tuple[float, float] | None = None) -> str:
    """A figure as a reader sees it, with its interval.

    >>> shown(0.5, (0.25, 0.75)), shown(12), shown(float("nan"))
    ('0.5000 [0.2500, 0.7500]', '12', 'n/a')
    """
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "n/a"
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def markdown_table(results: Mapping[str, EvaluationResult]) -> str:
    """One row per result and control, then per kind of false positives, what columns mean, and what is missing."""
    rows = list(rows_of(results))
    metrics = list(dict.fromkeys(metric for _, _, measured in rows for metric in measured.metrics))
    columns = {metric: column_of(rows[0][2], metric) for metric in metrics}
    header = ["method", "control", *(column.title for column in columns.values())]
    lines = ["# Results", "", _row(header), _row(["---", "---", *("---:" for _ in metrics)])]
    for label, control, measured in rows:
        cells = [shown(measured.metrics.get(name, math.nan), measured.intervals.get(name)) for name in metrics]
        lines.append(_row([label, control, *cells]))
    lines += ["", *(f"- {column.title}: {column.meaning}." for column in columns.values())]
    lines += _false_positives(results)
    if any(measured.intervals for _, _, measured in rows):
        samples = max(result.bootstrap.get("samples", 0) for result in results.values())
        lines += ["", f"In brackets: 95 % bootstrap intervals, clips resampled {samples:,} times."]
    if uncontrolled := [label for label, result in results.items() if not result.controls]:
        lines += ["", f"No control was run for: {', '.join(uncontrolled)}."]
    return "\n".join(lines) + "\n"


def csv_table(results: Mapping[str, EvaluationResult]) -> str:
    """The same rows with all digits, each metric followed by the ends of its interval; false positives at the end.

    G-mIoU stands in the rows whose sound nothing that is seen makes.
    """
    rows = [(label, control, _figures(result)) for label, control, result in rows_of(results)]
    at = {(label, control): number for number, (label, control, _) in enumerate(rows)}
    for label, result in results.items():
        for name, measured in result.false_positives.items():
            at[label, name] = len(rows)
            rows.append((label, f"false positives: {name}", _figures(measured)))
        for name, found in robustness_of(result).items():
            values, bounds = rows[at[label, name]][2]
            values |= {metric: value for metric, value in found.metrics.items() if metric == "g_miou"}
            bounds |= {metric: ends for metric, ends in found.intervals.items() if metric == "g_miou"}
    metrics = list(dict.fromkeys(metric for _, _, (values, _) in rows for metric in values))
    bounded = {metric for _, _, (_, bounds) in rows for metric in bounds}
    ends = {metric: (f"{metric}_low", f"{metric}_high") if metric in bounded else () for metric in metrics}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "control", *(name for metric in metrics for name in (metric, *ends[metric]))])
    for label, control, (values, bounds) in rows:
        cells: list[float | None] = []
        for metric in metrics:
            value = values.get(metric, math.nan)
            cells.append(None if math.isnan(value) else value)
            if ends[metric]:
                cells += bounds.get(metric, (None, None))
        writer.writerow([label, control, *cells])
    return text.getvalue()


def _figures(measured: EvaluationResult) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Copies of the metrics and their intervals."""
    return dict(measured.metrics), dict(measured.intervals)


def _false_positives(results: Mapping[str, EvaluationResult]) -> list[str]:
    rows = [
        _row([label, name, str(found.clips), *(_cell(found, metric) for metric in ROBUST)])
        for label, result in results.items()
        for name, found in robustness_of(result).items()
    ]
    if not rows:
        return []
    titles = [column.title for column in ROBUST.values()]
    header = [
        _row(["method", "nothing seen sounds", "clips", *titles]),
        _row(["---", "---", "---:", *("---:" for _ in titles)]),
    ]
    words = [f"- {column.title}: {column.meaning}." for column in ROBUST.values()]
    return ["", "## False positives", "", *header, *rows, "", *words]


def _cell(found: Robustness, metric: str) -> str:
    return shown(found.metrics.get(metric, math.nan), found.intervals.get(metric))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
