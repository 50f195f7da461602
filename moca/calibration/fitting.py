"""From scores of pairs to settings: gates, level and heat range at a false-positive rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from moca.calibration.collecting import Collected
from moca.calibration.gates import Curve, gates_at, heat_range, joined, roc
from moca.calibration.pairs import AUDIBLE, MATCHING, MEANINGS
from moca.calibration.scoring import PairScorer
from moca.core.settings import rule_of
from moca.errors import InputError
from moca.pipeline.calibration_file import Part, Row
from moca.segmentation.config import SegmentConfig

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""False-positive rates of the table, beside the one that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A part of a calibration and the curve it is a point of."""

    part: Part
    curve: Curve
    at: int
    """Index of the chosen threshold in the curve."""


def fit(name: str, scorer: PairScorer, collected: Collected, rate: float) -> Fitted:
    """Settings of one model at a false-positive rate.

    name: of the scorer in `collect`. Gates: the lowest that let pass at most `rate` of the audible negatives, the mean
    over their classes; several gates are percentiles of the matching pairs' scores, all the same percentile. Level: the
    lowest agreement that at most `rate` of the negatives' patches reach; it stays where scores are relative, which have
    none. Heat: see `heat_range`, of matching pairs.
    Raises InputError where more than `rate` of the negatives score as high as a score can be.
    """
    matching = collected.of(name, MATCHING)
    negatives = {kind: found for kind in MEANINGS if (found := collected.of(name, kind)) is not None}
    rated = [kind for kind in AUDIBLE if kind in negatives]
    one_number = {kind: joined(found.scores, matching.scores) for kind, found in negatives.items()}
    curve = roc(joined(matching.scores, matching.scores), one_number, rated)
    at = curve.at(rate)
    if at is None:
        raise InputError(
            f"false_positive_rate must be above {curve.false_positives[-1]:.3f} for {name}, got {rate:g}: as many of "
            "the sounds that do not belong score as high as the best that does; choose a higher rate, or another model."
        )
    chosen = _row(curve, at, rate, scorer, matching.scores)
    low, high = heat_range(matching.agreement)
    settings = replace(scorer.config, **chosen.gates, heat_low=low, heat_high=high)
    if scorer.levels:
        settings = replace(settings, level=level_at(rate, {kind: negatives[kind].agreement for kind in rated}))
    reached = [(other, index) for other in sorted({*RATES, rate}) if (index := curve.at(other)) is not None]
    part = Part(
        settings=settings,
        fingerprints=dict(scorer.fingerprints),
        by_crops=scorer.by_crops,
        pairs={MATCHING: len(matching.scores), **{kind: len(found.scores) for kind, found in negatives.items()}},
        area=curve.area,
        areas=dict(curve.areas),
        chosen=chosen,
        table=tuple(_row(curve, index, other, scorer, matching.scores) for other, index in reached),
    )
    return Fitted(part=part, curve=curve, at=at)


def level_at(rate: float, agreements: Mapping[str, np.ndarray]) -> float:
    """The lowest agreement that at most `rate` of the patches reach, the mean over classes; rounded up to 4 decimals.

    agreements: by class of negatives, (N, G, G). Within what a level may be.
    """
    rule = rule_of(SegmentConfig, "level")
    ordered = [np.sort(patches, axis=None) for patches in agreements.values()]
    low, high = min(values[0] for values in ordered) - 1e-3, max(values[-1] for values in ordered) + 1e-3
    for _ in range(40):
        middle = (low + high) / 2
        reached = np.mean([(len(values) - np.searchsorted(values, middle)) / len(values) for values in ordered])
        low, high = (low, middle) if reached <= rate else (middle, high)
    return float(np.clip(np.ceil(high * 1e4 - 1e-6) / 1e4, rule.least, rule.most))


def _row(curve: Curve, index: int, rate: float, scorer: PairScorer, matching: np.ndarray) -> Row:
    gates = gates_at(curve.between(index), matching)
    return Row(
        rate=rate,
        false_positives=float(curve.false_positives[index]),
        recall=float(curve.recall[index]),
        gates=dict(zip(scorer.gates, gates, strict=True)),
        classes={kind: float(passing[index]) for kind, passing in curve.classes.items()},
    )
