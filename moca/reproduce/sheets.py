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
    """Cells of text."""

    head: tuple[str, ...]
    """Titles of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Lines of as many cells."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A table of the paper with what was measured in its position.

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
        for position, (_, title) in enumerate(DATASETS[data].metrics):
            named = f"{DATASETS[data].title} {title}"
            head += [named, f"paper {named}"] if _printed(filled.table, data, position) else [named]
    for row in filled.table.rows:
        cells = [filled.shown(row), _seeds(filled, row)]
        for data in filled.data:
            measured = filled.figures.get((row.label, data))
            for position, (metric, _) in enumerate(DATASETS[data].metrics):
                cells.append("" if measured is None else figure(measured, metric))
                if _printed(filled.table, data, position):
                    printed = filled.table.paper.value(row.paper, data, position)
                    cells.append("" if printed is None else f"{printed:.{_digits(printed)}f}")
        rows.append(tuple(cells))
    return Sheet(head=tuple(head), rows=tuple(rows))


def control_sheet(filled: Filled) -> Sheet | None:
    """The same rows with the sound taken away, another clip's sound, and without adapters; None without controls."""
    head = ["", "control"]
    head += [f"{DATASETS[data].title} {title}" for data in filled.data for _, title in DATASETS[data].metrics]
    rows = []
    for row in filled.table.rows:
        by_data = dict(filled.measured(row))
        for control in dict.fromkeys(name for measured in by_data.values() for name in measured.controls):
            cells = [filled.shown(row), control]
            for data in filled.data:
                measured = by_data.get(data)
                there = measured is not None and control in measured.controls
                cells += [figure(measured, name, control) if there else "" for name, _ in DATASETS[data].metrics]
            rows.append(tuple(cells))
    return Sheet(head=tuple(head), rows=tuple(rows)) if rows else None


def trend_lines(filled: Filled) -> list[str]:
    """One line per trend of the paper and data set that was measured."""
    return [finding.told() for finding in findings(filled.table, filled.figures)]


def adapter_lines(filled: Filled) -> list[str]:
    """One line per row with adapters and data set: does it beat the same model without them?"""
    lines = []
    for row in filled.table.rows:
        for data, measured in filled.measured(row):
            if FROZEN in measured.controls:
                gain = over_control(filled.shown(row), measured, FROZEN, DATASETS[data].metrics[0][0])
                lines.append(
                    f"{DATASETS[data].title} {DATASETS[data].metrics[0][1]}: {gain.verdict}: {told_gain(gain)}"
                )
    return lines


def figure(measured: Measured, metric: str, control: str | None = None) -> str:
    """Mean over the seeds, their standard deviation, and the interval over clips: 0.452 ± 0.002 [0.410, 0.490].

    Under a control no interval is shown. "n/a" for a metric that does not exist.
    """
    value, spread = measured.mean(metric, control), measured.spread(metric, control)
    if math.isnan(value):
        return "n/a"
    text = f"{value:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
    interval = None if control is not None else measured.interval(metric)
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
            measured = filled.figures.get((row.label, data))
            for position, (metric, _) in enumerate(DATASETS[data].metrics):
                printed = filled.table.paper.value(row.paper, data, position)
                for control in (None, *(measured.controls if measured else ())):
                    about = {"table": filled.table.name, "row": filled.shown(row), "data": data, "metric": metric}
                    about |= {"control": control or "none"} | _numbers(measured, metric, control)
                    if control is None and printed is not None:
                        about |= {"paper": printed, "paper_source": filled.table.paper.source}
                    if measured is not None or "paper" in about:
                        yield dict.fromkeys(RECORD_HEAD) | about


def _numbers(measured: Measured | None, metric: str, control: str | None) -> dict[str, object]:
    if measured is None:
        return {}
    low, high = (measured.interval(metric) if control is None else None) or (None, None)
    value = measured.mean(metric, control)
    return {
        "mean": None if math.isnan(value) else value,
        "std": measured.spread(metric, control),
        "low": low,
        "high": high,
        "seeds": DETERMINISTIC if measured.deterministic else " ".join(map(str, measured.seeds)),
        "values": " ".join(repr(value) for value in measured.values(metric, control)),
    }


def _seeds(filled: Filled, row: Row) -> str:
    of_row = [measured for _, measured in filled.measured(row)]
    if not of_row:
        return "" if row.run is None else "not run"
    return DETERMINISTIC if of_row[0].deterministic else str(len(of_row[0].seeds))


def _printed(table: Table, data: str, position: int) -> bool:
    """Whether the paper gives a data set's metric for any row."""
    return any(table.paper.value(row.paper, data, position) is not None for row in table.rows)


def _digits(value: float) -> int:
    """As many as the paper prints: two, or three where it gives percent with one."""
    return 2 if abs(value * 100 - round(value * 100)) < 1e-9 else 3
