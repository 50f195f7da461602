"""How the clips' scores are spread, as an SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from moca.reports.chart import escape

BINS = 20
_WIDTH, _HEIGHT = 900, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 26, 40


def bin_counts(values: Sequence[float], bins: int = BINS) -> list[int]:
    """How many values lie in each of `bins` equal parts of [0, 1]; 1 belongs to the last, NaN to none.

    >>> bin_counts([0.0, 0.1, 0.5, 1.0, float("nan")], bins=2)
    [2, 2]
    """
    counts = [0] * bins
    for value in values:
        if not math.isnan(value):
            counts[min(bins - 1, max(0, int(value * bins)))] += 1
    return counts


def draw_histogram(values: Sequence[float], title: str) -> str:
    """SVG of a bar per part of [0, 1], with the mean marked; a sentence where there is nothing to show."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return f'<p class="note">{escape(title)} exists for none of the clips.</p>'
    counts = bin_counts(known)
    top, base = max(counts), _HEIGHT - _BOTTOM
    room, tall = (_WIDTH - _LEFT - _RIGHT) / BINS, base - _TOP
    mean = sum(known) / len(known)
    at = _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, mean))
    label = escape(f"{title} of {len(known)} clips, mean {mean:.3f}")
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">',
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>',
        f'<text x="{_LEFT - 8}" y="{_TOP + 4}" class="end">{top}</text>',
        f'<text x="{_LEFT - 8}" y="{base + 4}" class="end">0</text>',
    ]
    for number, count in enumerate(counts):
        height = tall * count / top
        low, high = number / BINS, (number + 1) / BINS
        tip = escape(f"{low:.2f} to {high:.2f}: {count} {'clip' if count == 1 else 'clips'}")
        place = f'x="{_LEFT + number * room + 1:.1f}" y="{base - height:.1f}"'
        size = f'width="{room - 2:.1f}" height="{height:.1f}"'
        parts.append(f'<rect class="bin" {place} {size}><title>{tip}</title></rect>')
    for tick in range(0, BINS + 1, BINS // 5):
        x = _LEFT + tick * room
        parts.append(f'<text x="{x:.1f}" y="{base + 18}" class="middle">{tick / BINS:.1f}</text>')
    parts.append(f'<line class="mean" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{base}"/>')
    parts.append(f'<text x="{at:.1f}" y="{_TOP - 10}" class="middle">mean {mean:.3f}</text>')
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" class="name middle">{escape(title)}</text>')
    return "\n".join([*parts, "</svg>"])
