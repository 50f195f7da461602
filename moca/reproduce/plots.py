"""A table as a picture: what was measured with its spread, the controls, and the paper's numbers as marks."""

from __future__ import annotations

from pathlib import Path

from moca.core.files import written_whole
from moca.errors import InputError
from moca.evaluation.datasets import DATASETS
from moca.reproduce.sheets import Filled

MISSING = 'plots need matplotlib, which is not installed; run pip install "moca-avs[notebooks]".'


def draw_table(filled: Filled, target: Path) -> Path:
    """Write a PNG: one panel per data set and metric, one bar per measured row; returns target.

    Bars are means over seeds with their standard deviation, or the interval over clips where nothing is random; marks
    show the controls and the paper's numbers. Raises InputError, in one line, where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # without pyplot, whose backend is the caller's own affair
    except ImportError:
        raise InputError(MISSING) from None
    panels = [(data, position) for data in filled.data for position in range(len(DATASETS[data].metrics))]
    rows = [row for row in filled.table.rows if filled.measured(row)]
    size = (3.2 * len(panels) + 1.6, 1.6 + 0.45 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axis, (data, position) in zip(axes[0], panels, strict=True):
        _draw_panel(axis, filled, rows, data, position)
    axes[0][0].set_yticks(range(len(rows)), [filled.shown(row) for row in rows])
    axes[0][0].invert_yaxis()
    labelled = [pair for axis in axes[0] for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    handles = {label: handle for handle, label in labelled}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    figure.suptitle(filled.table.title, fontsize=10)
    with written_whole(target) as temporary:
        figure.savefig(temporary, dpi=110)
    return target


MARKS = {"muted": "x", "swapped": "s", "frozen encoder": "^"}


def _draw_panel(axis, filled: Filled, rows: list, data: str, position: int) -> None:
    metric, title = DATASETS[data].metrics[position]
    for line, row in enumerate(rows):
        measured = filled.figures.get((row.label, data))
        if measured is not None:
            value, spread, interval = measured.mean(metric), measured.spread(metric), measured.interval(metric)
            ends = None
            if spread is not None:
                ends = [[spread], [spread]]
            elif interval is not None:
                ends = [[max(0.0, value - interval[0])], [max(0.0, interval[1] - value)]]
            axis.barh(line, value, 0.6, xerr=ends, capsize=3, color="tab:blue", alpha=0.75, label="measured")
            for control in measured.controls:
                mark = MARKS.get(control, ".")
                axis.plot(measured.mean(metric, control), line, mark, color="tab:orange", markersize=5, label=control)
        if (printed := filled.table.paper.value(row.paper, data, position)) is not None:
            axis.plot(printed, line, "D", color="black", fillstyle="none", markersize=6, label="paper, on real data")
    axis.set_title(f"{DATASETS[data].title} {title}", fontsize=9)
    axis.set_xlim(0, 1)
    axis.grid(axis="x", alpha=0.3)
