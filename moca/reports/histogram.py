"""How the clips' scores are spread, as an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from moca.reports.templating import render

BINS = 20
"""Parts of [0, 1], a bar each."""
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


def draw_histogram(values: Sequence[float], title: str) -> Markup:
    """SVG of a bar per part of [0, 1], with the mean marked; a sentence where there is nothing to show."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return render("no_histogram.html", title=title)
    mean = sum(known) / len(known)
    room = (_WIDTH - _LEFT - _RIGHT) / BINS
    return render(
        "histogram.svg",
        title=title,
        label=f"{title} of {len(known)} clips, mean {mean:.3f}",
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        base=_HEIGHT - _BOTTOM,
        most=max(bin_counts(known)),
        bars=_bars(bin_counts(known), room),
        ticks=[(_LEFT + tick * room, tick / BINS) for tick in range(0, BINS + 1, BINS // 5)],
        mean=mean,
        mean_x=_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, mean)),
    )


def _bars(counts: Sequence[int], room: float) -> Iterator[dict[str, object]]:
    """Place, size and words of the bar of each part, `room` wide with its gap."""
    tallest = _HEIGHT - _BOTTOM - _TOP
    for number, count in enumerate(counts):
        low, high = number / BINS, (number + 1) / BINS
        yield {
            "x": _LEFT + number * room + 1,
            "width": room - 2,
            "height": tallest * count / max(counts),
            "tip": f"{low:.2f} to {high:.2f}: {count} {'clip' if count == 1 else 'clips'}",
        }
