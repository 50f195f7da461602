"""The ROC of a gate as an SVG: what passes of sounds that belong, over what passes of those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from moca.core.spreading import spread_with_ends
from moca.reports.templating import render

_SIDE, _LEFT, _TOP, _BOTTOM, _RIGHT = 420, 64, 18, 52, 200
MAX_POINTS = 400
"""Most corners of a line; of a longer curve as many evenly spread ones are drawn."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One class of negatives."""

    name: str
    words: str
    """Said beside the line's colour."""
    path: str
    number: int
    """Which colour it has."""


def draw_roc(
    recall: np.ndarray, classes: Mapping[str, np.ndarray], areas: Mapping[str, float], chosen: tuple[float, float]
) -> Markup:
    """SVG of a line per class of negatives, and the chosen gate as a point.

    recall: (T,) share of matching pairs that pass, at descending strictness or ascending, in [0, 1]; classes: (T,)
    false-positive rate at the same thresholds; areas: under each line; chosen: false-positive rate and recall.
    """
    lines = [
        _Line(name=name, words=f"{name}: AUC {areas[name]:.3f}", path=_path(rates, recall), number=number)
        for number, (name, rates) in enumerate(classes.items())
    ]
    return render(
        "roc.svg",
        width=_LEFT + _SIDE + _RIGHT,
        height=_TOP + _SIDE + _BOTTOM,
        left=_LEFT,
        right=_LEFT + _SIDE,
        top=_TOP,
        base=_TOP + _SIDE,
        lines=lines,
        ticks=[(_x(share), _y(share), share) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)],
        chosen={"x": _x(chosen[0]), "y": _y(chosen[1]), "rate": chosen[0], "recall": chosen[1]},
    )


def _path(rates: Sequence[float], recall: Sequence[float]) -> str:
    """The corners of a line from the strictest gate (0, 0) to the most lenient (1, 1)."""
    strict_first = list(zip([*rates[::-1], 1.0], [*recall[::-1], 1.0], strict=True))
    kept = spread_with_ends(len(strict_first), MAX_POINTS)
    corners = [(0.0, 0.0), *(strict_first[index] for index in kept)]
    return "M" + " L".join(f"{_x(rate):.1f} {_y(share):.1f}" for rate, share in corners)


def _x(rate: float) -> float:
    return _LEFT + _SIDE * float(rate)


def _y(share: float) -> float:
    return _TOP + _SIDE * (1 - float(share))
