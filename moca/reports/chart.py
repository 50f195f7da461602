"""The report's time line: audio level, mask area and gate score of every step, as inline SVG without scripts.

Three panels share one time axis. Steps with an empty mask are shaded across all panels; resting the pointer
on a step names its figures and, where the mask is empty, the reason. Long videos are drawn in at most
`MAX_COLUMNS` columns, each standing for several steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from html import escape as _escape

from moca.reports.captions import format_level, format_time

MAX_COLUMNS = 1200
_WIDTH, _LEFT, _RIGHT = 1080, 64, 14
_TOP, _PANEL, _GAP, _AXIS = 22, 78, 30, 30
_TIME_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """The figures of one step that are kept however long the video is.

    area: share of the frame in [0, 1]; score: NaN if not computed; level_dbfs: -inf without sound; reason:
    why the mask is empty, None when it is not.
    """

    index: int
    start_s: float
    end_s: float
    level_dbfs: float
    score: float
    area: float
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class _Panel:
    name: str
    css: str
    low: float
    high: float
    ticks: tuple[float, ...]
    label: Callable[[float], str]
    values: Sequence[float]
    filled: bool


def draw_chart(rows: Sequence[StepRow], shown: Collection[int]) -> str:
    """SVG element for the rows (at least one); columns with a step in `shown` link to its `#step-<index>`."""
    columns = _columns(rows)
    start_s, end_s = rows[0].start_s, max(rows[-1].end_s, rows[0].start_s + 1e-3)

    def x(time_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (time_s - start_s) / (end_s - start_s)

    panels = _panels(columns)
    height = _TOP + len(panels) * (_PANEL + _GAP) - _GAP + _AXIS
    spans = [(x(column[0].start_s), x(column[-1].end_s)) for column in columns]
    description = (
        f"{len(rows)} steps from {format_time(start_s)} to {format_time(end_s)}; "
        f"{sum(row.reason is not None for row in rows)} of them have an empty mask."
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="group" aria-labelledby="chart-t chart-d">',
        '<title id="chart-t">Audio level, mask area and gate score over time</title>',
        f'<desc id="chart-d">{escape(description)}</desc>',
        '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="7" height="7" class="hatch-fill"/>'
        '<rect width="2" height="7" class="hatch-line"/></pattern></defs>',
        *_shading(columns, spans, height),
    ]
    for number, panel in enumerate(panels):
        parts += _draw_panel(panel, spans, _TOP + number * (_PANEL + _GAP))
    parts += _time_axis(start_s, end_s, x, height - _AXIS)
    parts += _tooltips(columns, spans, height, shown)
    return "\n".join([*parts, "</svg>"])


def escape(value: object) -> str:
    """Text for HTML, in elements and quoted attributes; characters HTML forbids are replaced."""
    text = "".join(c if c >= " " or c in "\n\t" else "�" for c in str(value))
    return _escape(text.encode("utf-8", "replace").decode("utf-8"))


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
            css="level",
            low=-80.0,
            high=0.0,
            ticks=(-60.0, -30.0, 0.0),
            label=lambda value: f"{value:.0f}".replace("-", "−"),
            values=[_largest(row.level_dbfs for row in column) for column in columns],
            filled=True,
        ),
        _Panel(
            name="Mask area (% of the frame)",
            css="area",
            low=0.0,
            high=float(area_top),
            ticks=(0.0, area_top / 2, float(area_top)),
            label=lambda value: f"{value:g}",
            values=areas,
            filled=True,
        ),
        _Panel(
            name="Gate score",
            css="score",
            low=score_low,
            high=score_top,
            ticks=(score_low, 0.0, score_top) if score_low < 0 else (0.0, score_top / 2, score_top),
            label=lambda value: f"{value:.2f}".replace("-", "−"),
            values=scores,
            filled=False,
        ),
    ]


def _draw_panel(panel: _Panel, spans: Sequence[tuple[float, float]], top: float) -> list[str]:
    def y(value: float) -> float:
        share = (min(max(value, panel.low), panel.high) - panel.low) / (panel.high - panel.low)
        return top + _PANEL * (1.0 - share)

    known = any(math.isfinite(value) for value in panel.values)
    note = "" if known else (": no sound in any step" if panel.css == "level" else ": not computed in any step")
    parts = [f'<text x="{_LEFT}" y="{top - 7}" class="name">{escape(panel.name + note)}</text>']
    for tick in panel.ticks:
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" class="tick end">{panel.label(tick)}</text>')
    for line, area in _paths(panel.values, spans, y, y(panel.low)):
        if panel.filled:
            parts.append(f'<path class="{panel.css} fill" d="{area}"/>')
        parts.append(f'<path class="{panel.css} line" d="{line}"/>')
    return parts


def _paths(
    values: Sequence[float], spans: Sequence[tuple[float, float]], y: Callable[[float], float], base: float
) -> Iterator[tuple[str, str]]:
    """A stepped line and the area under it for every unbroken run of finite values."""
    points: list[str] = []
    first = last = 0.0
    for value, (left, right) in [*zip(values, spans, strict=True), (math.nan, (0.0, 0.0))]:
        if math.isfinite(value):
            if not points:
                first = left
            points.append(f"{left:.1f} {y(value):.1f} {right:.1f} {y(value):.1f}")
            last = right
        elif points:
            line = "M" + " L".join(points)
            yield line, f"{line} L{last:.1f} {base:.1f} {first:.1f} {base:.1f}Z"
            points = []


def _shading(
    columns: Sequence[Sequence[StepRow]], spans: Sequence[tuple[float, float]], height: float
) -> Iterator[str]:
    """One hatched rectangle per unbroken run of columns in which every mask is empty."""
    run: tuple[float, float] | None = None
    for column, (left, right) in [*zip(columns, spans, strict=True), ((), (0.0, 0.0))]:
        if column and all(row.reason is not None for row in column):
            run = (run[0] if run else left, right)
        elif run:
            yield (
                f'<rect class="empty" x="{run[0]:.1f}" y="{_TOP}" width="{run[1] - run[0]:.1f}" '
                f'height="{height - _AXIS - _TOP}"/>'
            )
            run = None


def _tooltips(
    columns: Sequence[Sequence[StepRow]],
    spans: Sequence[tuple[float, float]],
    height: float,
    shown: Collection[int],
) -> Iterator[str]:
    for column, (left, right) in zip(columns, spans, strict=True):
        text = escape("\n".join(_describe(column)))
        box = (
            f'<rect class="hit" x="{left:.1f}" y="{_TOP}" width="{max(right - left, 0.1):.1f}" '
            f'height="{height - _AXIS - _TOP}"><title>{text}</title></rect>'
        )
        target = next((row.index for row in column if row.index in shown), None)
        # The links are a convenience for the pointer; the gallery itself is in reading order.
        yield (box if target is None else f'<a href="#step-{target}" tabindex="-1" aria-hidden="true">{box}</a>')


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


def _time_axis(start_s: float, end_s: float, x: Callable[[float], float], top: float) -> Iterator[str]:
    pace = next((pace for pace in _TIME_STEPS_S if (end_s - start_s) / pace <= 12), 86_400)
    for number in range(math.ceil(start_s / pace - 1e-9), math.floor(end_s / pace + 1e-9) + 1):
        at = x(number * pace)
        yield f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + 5}"/>'
        yield f'<text x="{at:.1f}" y="{top + 20}" class="tick middle">{format_time(number * pace)}</text>'
