"""From scores to gates, without labels: percentiles of matching pairs, and thresholds at a false-positive rate.

Shapes: N pairs of a frame and a sound, M matching ones, K kinds of score, each with a gate of its own. A pair passes
where every score is at least its gate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

GATE_PERCENTILE = 5.0  # frames that have a sound but are treated as if nothing in the picture made it
HEAT_PERCENTILES = (50.0, 99.5)


def joint_gates(supports: list[np.ndarray], *, stopped: float = GATE_PERCENTILE) -> list[float]:
    """One gate per kind of support, all at the same percentile, that together stop `stopped` percent of the frames.

    supports: arrays (N,), one number per frame each.
    """
    low, high = 0.0, stopped  # alone, or when all agree, a gate stops its percentile; several stop more
    for _ in range(30):
        middle = (low + high) / 2
        gates = [np.percentile(values, middle) for values in supports]
        shut = np.any([values < gate for values, gate in zip(supports, gates, strict=True)], axis=0).mean() * 100
        low, high = (low, middle) if shut > stopped else (middle, high)
    # Rounded down: rounded up, a gate could stop the very frame it was set on.
    return [math.floor(float(np.percentile(values, low)) * 1e4) / 1e4 for values in supports]


def heat_range(agreements: np.ndarray) -> tuple[float, float]:
    """Agreements that a heat map shows as 0 and as 1: the median and the 99.5th percentile of matching pairs'."""
    low, high = (float(value) for value in np.percentile(agreements, HEAT_PERCENTILES))
    return round(low, 4), round(max(high, low + 0.01), 4)


def joined(scores: np.ndarray, matching: np.ndarray) -> np.ndarray:
    """One number per pair, (N,): the pair passes gates at percentile p of the matching pairs where it is at least p.

    scores: (N, K); matching: (M, K), whose percentiles are meant. Of a single kind of score (K = 1) it is that score
    itself. Of several it is the lowest, over the kinds, of the percent of matching pairs that a score reaches: 0 to
    100, and -1 for one below all of them.
    """
    if scores.shape[1] == 1:
        return scores[:, 0]
    percent = np.linspace(0, 100, len(matching))
    reached = [
        np.interp(values, np.sort(kind), percent, left=-1) for values, kind in zip(scores.T, matching.T, strict=True)
    ]
    return np.min(reached, axis=0)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The ROC of a gate: what passes at every threshold of `joined` scores, T thresholds, ascending."""

    thresholds: np.ndarray
    """(T,) float64: every score that a pair has."""
    recall: np.ndarray
    """(T,) share of the matching pairs that pass."""
    classes: Mapping[str, np.ndarray]
    """(T,) false-positive rate by class of negatives."""
    rated: tuple[str, ...]
    """Classes whose mean is the false-positive rate; silence, which the level alone stops, is none of them."""
    areas: Mapping[str, float]
    """Area under the ROC by class: the chance that a matching pair scores above a negative one, ties counting half."""

    @property
    def false_positives(self) -> np.ndarray:
        """(T,) the false-positive rate: the mean over the rated classes, each counting as much, however large."""
        return np.mean([self.classes[name] for name in self.rated], axis=0)

    @property
    def area(self) -> float:
        """Mean area over the rated classes."""
        return float(np.mean([self.areas[name] for name in self.rated]))

    def at(self, rate: float) -> int | None:
        """The first threshold at which the false-positive rate is at most `rate`; None where it is at none."""
        reached = np.flatnonzero(self.false_positives <= rate)
        return int(reached[0]) if len(reached) else None

    def between(self, index: int) -> float:
        """A threshold between two scores that decides like the one of this index: rounding cannot change a side."""
        if index == 0:
            return float(self.thresholds[0])
        low, high = self.thresholds[index - 1], self.thresholds[index]
        return float(low + (high - low) / 2)


def roc(matching: np.ndarray, negatives: Mapping[str, np.ndarray], rated: Sequence[str]) -> Curve:
    """The curve of joined scores: matching (M,), and negatives by class, each (N,); minus infinity never passes."""
    every = np.concatenate([matching, *negatives.values()])
    thresholds = np.unique(every[np.isfinite(every)])
    return Curve(
        thresholds=thresholds,
        recall=_passing(matching, thresholds),
        classes={name: _passing(values, thresholds) for name, values in negatives.items()},
        rated=tuple(rated),
        areas={name: area_under(matching, values) for name, values in negatives.items()},
    )


def area_under(matching: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC: the chance that a matching pair scores above a negative one, ties counting half."""
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, matching, side="left")
    below_or_equal = np.searchsorted(ordered, matching, side="right")
    return float((below + below_or_equal).mean() / (2 * len(negative)))


def gates_at(threshold: float, matching: np.ndarray) -> tuple[float, ...]:
    """The gate of every kind of score, from a threshold of `joined` scores; matching: (M, K)."""
    if matching.shape[1] == 1:
        return (threshold,)
    return tuple(float(np.percentile(kind, min(100.0, max(0.0, threshold)))) for kind in matching.T)


def _passing(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return (len(values) - np.searchsorted(np.sort(values), thresholds, side="left")) / len(values)
