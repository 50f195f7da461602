"""A table as it is shown: cells of text, the same for Markdown and LaTeX, and all digits for CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from moca.evaluation.datasets import DATASETS
from moca.evaluation.variants import FROZEN
from moca.reproduce.figures import Measured
from moca.reproduce.specs import Row, Table
from moca.reproduce.trends import Figures, findings, over_control, told_gain

DETERMINISTIC = "deterministic"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """head: titles of the columns. rows: lines of as many cells."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A table of the paper with what was measured in its place.

    labels: as shown, by a row's own label, where they differ. reasons: by label, why a row was not run. facts: what
    else a reader must know, a sentence each.
    """

    table: Table
    figures: Figures
    labels: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[str, ...]:
        """Data sets that something was measured on, in the table's order."""
        measured = {data for _, data in self.figures}
        return tuple(data for data in self.table.data if data in measured)

    def shown(self, row: Row) -> str:
        """A row's label as a reader sees it."""
        return self.labels.get(row.label, row.label)

    def measured(self, row: Row) -> list[tuple[str, Measured]]:
        """(data set, what was measured on it) of a row."""
        return [(data, self.figures[row.label, data]) for data in self.data if (row.label, data) in self.figures]


def main_sheet(filled: Filled) -> Sheet:
    """Measured figures, each with the paper's in a column of its own where the paper has any."""
    head, rows = ["", "seeds"], []
    for data in filled.data:
        for place, (_, title) in enumerate(DATASETS[data].metrics):
            named = f"{DATASETS[data].title} {title}"
            head += [named, f"paper {named}"] if _printed(filled.table, data, place) else [named]
    for row in filled.table.rows:
        cells = [filled.shown(row), _seeds(filled, row)]
        for data in filled.data:
            found = filled.figures.get((row.label, data))
            for place, (metric, _) in enumerate(DATASETS[data].metrics):
                cells.append("" if found is None else figure(found, metric))
                if _printed(filled.table, data, place):
                    printed = filled.table.paper.value(row.paper, data, place)
                    cells.append("" if printed is None else f"{printed:.{_digits(printed)}f}")
        rows.append(tuple(cells))
    return Sheet(head=tuple(head), rows=tuple(rows))


def control_sheet(filled: Filled) -> Sheet | None:
    """The same rows with the sound taken away, another clip's sound, and without adapters; None without controls."""
    head = ["", "control"]
    head += [f"{DATASETS[data].title} {title}" for data in filled.data for _, title in DATASETS[data].metrics]
    rows = []
    for row in filled.table.rows:
        measured = dict(filled.measured(row))
        for control in dict.fromkeys(name for found in measured.values() for name in found.controls):
            cells = [filled.shown(row), control]
            for data in filled.data:
                found = measured.get(data)
                there = found is not None and control in found.controls
                cells += [figure(found, name, control) if there else "" for name, _ in DATASETS[data].metrics]
            rows.append(tuple(cells))
    return Sheet(head=tuple(head), rows=tuple(rows)) if rows else None


def trend_lines(filled: Filled) -> list[str]:
    """One line per trend of the paper and data set that was measured."""
    return [finding.told() for finding in findings(filled.table, filled.figures)]


def adapter_lines(filled: Filled) -> list[str]:
    """One line per row with adapters and data set: does it beat the same model without them?"""
    lines = []
    for row in filled.table.rows:
        for data, found in filled.measured(row):
            if FROZEN in found.controls:
                gain = over_control(filled.shown(row), found, FROZEN, DATASETS[data].metrics[0][0])
                lines.append(
                    f"{DATASETS[data].title} {DATASETS[data].metrics[0][1]}: {gain.verdict}: {told_gain(gain)}"
                )
    return lines


def figure(found: Measured, metric: str, control: str | None = None) -> str:
    """Mean over the seeds, their standard deviation, and the interval over clips: 0.452 ± 0.002 [0.410, 0.490].

    Under a control no interval is shown. "n/a" for a metric that does not exist.
    """
    value, spread = found.mean(metric, control), found.spread(metric, control)
    if math.isnan(value):
        return "n/a"
    text = f"{value:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
    interval = None if control is not None else found.interval(metric)
    return text + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


RECORD_HEAD = (
    *("table", "row", "data", "metric", "control", "mean", "std", "low", "high", "seeds", "values", "paper"),
    "paper_source",
)


def records(filled: Filled) -> Iterator[dict[str, object]]:
    """One record per row, data set, metric and control, with all digits; None where there is nothing.

    low, high: 95 % bootstrap over clips of the mean over seeds. seeds, values: separated by blanks. What the paper
    prints stands in the lines without a control, also of rows that were not run.
    """
    for row in filled.table.rows:
        for data in filled.table.data:
            found = filled.figures.get((row.label, data))
            for place, (metric, _) in enumerate(DATASETS[data].metrics):
                printed = filled.table.paper.value(row.paper, data, place)
                for control in (None, *(found.controls if found else ())):
                    about = {"table": filled.table.name, "row": filled.shown(row), "data": data, "metric": metric}
                    about |= {"control": control or "none"} | _numbers(found, metric, control)
                    if control is None and printed is not None:
                        about |= {"paper": printed, "paper_source": filled.table.paper.source}
                    if found is not None or "paper" in about:
                        yield dict.fromkeys(RECORD_HEAD) | about


def _numbers(found: Measured | None, metric: str, control: str | None) -> dict[str, object]:
    if found is None:
        return {}
    low, high = (found.interval(metric) if control is None else None) or (None, None)
    value = found.mean(metric, control)
    return {
        "mean": None if math.isnan(value) else value,
        "std": found.spread(metric, control),
        "low": low,
        "high": high,
        "seeds": DETERMINISTIC if found.deterministic else " ".join(map(str, found.seeds)),
        "values": " ".join(repr(value) for value in found.values(metric, control)),
    }


def _seeds(filled: Filled, row: Row) -> str:
    measured = [found for _, found in filled.measured(row)]
    if not measured:
        return "" if row.run is None else "not run"
    return DETERMINISTIC if measured[0].deterministic else str(len(measured[0].seeds))


def _printed(table: Table, data: str, place: int) -> bool:
    """Whether the paper gives a data set's metric for any row."""
    return any(table.paper.value(row.paper, data, place) is not None for row in table.rows)


def _digits(value: float) -> int:
    """As many as the paper prints: two, or three where it gives percent with one."""
    return 2 if abs(value * 100 - round(value * 100)) < 1e-9 else 3
