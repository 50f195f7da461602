"""The report's time line: audio level, mask area and gate score of every step, as inline SVG without scripts.

Three panels share one time axis. Steps with an empty mask are shaded across all panels; resting the pointer
on a step names its figures and, where the mask is empty, the reason. Long videos are drawn in at most
`MAX_COLUMNS` columns, each standing for several steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from moca.reports.captions import format_level, format_time
from moca.reports.templating import render

MAX_COLUMNS = 1200
"""Most columns of the chart; of a longer video each stands for several steps."""
_WIDTH, _LEFT, _RIGHT = 1080, 64, 14
_TOP, _PANEL, _GAP, _AXIS = 22, 78, 30, 30
_TIME_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)
"""Times between two marks of the axis; the first that gives at most twelve is taken."""
Span = tuple[float, float]
"""Where something begins and ends in the drawing, from left to right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """The figures of one step that are kept however long the video is."""

    index: int
    start_s: float
    end_s: float
    level_dbfs: float
    """RMS level of the step's audio; -inf without sound."""
    score: float
    """The gate's; NaN if not computed."""
    area: float
    """Share of the frame that the mask covers, in [0, 1]."""
    reason: str | None
    """Why the mask is empty, None when it is not."""


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One of the figures over time: its scale, and a value for each column of the chart."""

    name: str
    css: str
    """Class of its lines in the style sheet."""
    missing: str
    """Said beside the name where no column has a value."""
    low: float
    high: float
    ticks: tuple[float, ...]
    label: Callable[[float], str]
    """The words at a tick."""
    values: Sequence[float]
    """One for each column; drawn as a gap where it is not finite."""
    filled: bool
    """Whether the area under the line is tinted."""
    top: float
    """Where the panel begins in the drawing."""

    @property
    def heading(self) -> str:
        return self.name if any(math.isfinite(value) for value in self.values) else f"{self.name}: {self.missing}"

    def y(self, value: float) -> float:
        """Where a value lies in the drawing; one beyond the scale lies at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.top + _PANEL * (1.0 - share)

    def paths(self, spans: Sequence[Span]) -> Iterator[tuple[str, str]]:
        """A stepped line and the area under it for every unbroken run of finite values; spans: of the columns."""
        points: list[str] = []
        first = last = 0.0
        base = self.y(self.low)
        for value, (left, right) in [*zip(self.values, spans, strict=True), (math.nan, (0.0, 0.0))]:
            if math.isfinite(value):
                if not points:
                    first = left
                points.append(f"{left:.1f} {self.y(value):.1f} {right:.1f} {self.y(value):.1f}")
                last = right
            elif points:
                line = "M" + " L".join(points)
                yield line, f"{line} L{last:.1f} {base:.1f} {first:.1f} {base:.1f}Z"
                points = []


def draw_chart(rows: Sequence[StepRow], shown: Collection[int]) -> Markup:
    """SVG element for the rows (at least one); columns with a step in `shown` link to its `#step-<index>`."""
    columns = _columns(rows)
    start_s, end_s = rows[0].start_s, max(rows[-1].end_s, rows[0].start_s + 1e-3)

    def x(time_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (time_s - start_s) / (end_s - start_s)

    spans = [(x(column[0].start_s), x(column[-1].end_s)) for column in columns]
    panels = _panels(columns)
    bottom = _TOP + len(panels) * (_PANEL + _GAP) - _GAP
    links = [next((row.index for row in column if row.index in shown), None) for column in columns]
    texts = ["\n".join(_describe(column)) for column in columns]
    return render(
        "chart.svg",
        width=_WIDTH,
        height=bottom + _AXIS,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        bottom=bottom,
        description=(
            f"{len(rows)} steps from {format_time(start_s)} to {format_time(end_s)}; "
            f"{sum(row.reason is not None for row in rows)} of them have an empty mask."
        ),
        shades=_shades(columns, spans),
        panels=panels,
        spans=spans,
        times=[(x(time_s), format_time(time_s)) for time_s in _times(start_s, end_s)],
        tips=zip(spans, texts, links, strict=True),
    )


def _columns(rows: Sequence[StepRow]) -> list[Sequence[StepRow]]:
    size = -(-len(rows) // MAX_COLUMNS)
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _largest(values: Iterator[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _panels(columns: Sequence[Sequence[StepRow]]) -> list[_Panel]:
    """Loudest level, mean mask area and best gate score per column; scales follow the values."""
    areas = [100.0 * sum(row.area for row in column) / len(column) for column in columns]
    scores = [_largest(row.score for row in column) for column in columns]
    area_top = next(top for top in (1, 2, 5, 10, 20, 50, 100) if max(areas) <= top + 1e-9)
    score_top = max(0.1, math.ceil(10 * max((s for s in scores if s == s), default=0.1) - 1e-9) / 10)
    score_low = min(0.0, math.floor(10 * min((s for s in scores if s == s), default=0.0) + 1e-9) / 10)
    return [
        _Panel(
            name="Audio level (dBFS)",
            missing="no sound in any step",
            css="level",
            low=-80.0,
            high=0.0,
            ticks=(-60.0, -30.0, 0.0),
            label=lambda value: f"{value:.0f}".replace("-", "−"),
            values=[_largest(row.level_dbfs for row in column) for column in columns],
            filled=True,
            top=_TOP,
        ),
        _Panel(
            name="Mask area (% of the frame)",
            missing="not computed in any step",
            css="area",
            low=0.0,
            high=float(area_top),
            ticks=(0.0, area_top / 2, float(area_top)),
            label=lambda value: f"{value:g}",
            values=areas,
            filled=True,
            top=_TOP + _PANEL + _GAP,
        ),
        _Panel(
            name="Gate score",
            missing="not computed in any step",
            css="score",
            low=score_low,
            high=score_top,
            ticks=(score_low, 0.0, score_top) if score_low < 0 else (0.0, score_top / 2, score_top),
            label=lambda value: f"{value:.2f}".replace("-", "−"),
            values=scores,
            filled=False,
            top=_TOP + 2 * (_PANEL + _GAP),
        ),
    ]


def _describe(column: Sequence[StepRow]) -> Iterator[str]:
    first, last = column[0], column[-1]
    steps = f"Step {first.index}" if first is last else f"Steps {first.index} to {last.index}"
    yield f"{steps}, {format_time(first.start_s)} to {format_time(last.end_s)}"
    yield f"level: {format_level(_largest(row.level_dbfs for row in column))}"
    yield f"mask: {100 * sum(row.area for row in column) / len(column):.1f} % of the frame"
    score = _largest(row.score for row in column)
    yield f"gate score: {'not computed' if math.isnan(score) else f'{score:.3f}'}"
    reasons = dict.fromkeys(row.reason for row in column if row.reason is not None)
    for reason in list(reasons)[:3]:
        yield f"empty: {reason}"


def _shades(columns: Sequence[Sequence[StepRow]], spans: Sequence[Span]) -> Iterator[Span]:
    """Where each unbroken run of columns begins and ends in which every mask is empty."""
    run: Span | None = None
    for column, (left, right) in [*zip(columns, spans, strict=True), ((), (0.0, 0.0))]:
        if column and all(row.reason is not None for row in column):
            run = (run[0] if run else left, right)
        elif run:
            yield run
            run = None


def _times(start_s: float, end_s: float) -> list[float]:
    """Round times within the chart, at most a dozen apart by the same pace."""
    pace = next((pace for pace in _TIME_STEPS_S if (end_s - start_s) / pace <= 12), 86_400)
    return [number * pace for number in range(math.ceil(start_s / pace - 1e-9), math.floor(end_s / pace + 1e-9) + 1)]
