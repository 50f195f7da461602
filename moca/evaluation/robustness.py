"""What a result says of clips in which nothing that is seen sounds: AVSBench-Robust's numbers, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moca.evaluation.protocols.resampling import times_drawn
from moca.evaluation.statistics import Interval, percentiles
from moca.metrics.robustness import resampled_robustness
from moca.metrics.robustness import robustness as measured_robustness

if TYPE_CHECKING:
    from moca.evaluation.protocols.protocol import Sums
    from moca.evaluation.result import EvaluationResult

SILENCING = ("muted", "swapped")
"""Controls in which nothing that is seen makes the sound."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """One kind of non-matching pairs."""

    clips: int
    """How many clips they are."""
    metrics: dict[str, float]
    """Those of `moca.metrics.robustness.COLUMNS`; without G-mIoU where the protocol has no mIoU of masks."""
    intervals: dict[str, Interval]
    """By metric its 95 % bootstrap interval over clips."""


def robustness_of(result: EvaluationResult) -> dict[str, Robustness]:
    """By name, what a result says of the controls in which nothing seen sounds, and of its false positives.

    Intervals are drawn as the result's own were. A control's clips are those with their own sound, and are drawn
    together with them; other clips are drawn by themselves. {} where neither was run.
    """
    own = _sums(result)
    samples, seed = result.bootstrap.get("samples", 0), result.bootstrap.get("seed", 0)
    found = {}
    for name, measured in {**result.controls, **result.false_positives}.items():
        paired = name in result.controls
        sums = _sums(measured)
        if sums is not None and (not paired or name in SILENCING):
            found[name] = Robustness(
                clips=len(sums),
                metrics=measured_robustness(sums, own),
                intervals=_intervals(sums, own, paired, samples, seed),
            )
    return found


def _sums(result: EvaluationResult) -> list[Sums] | None:
    """Sums of masks per clip; None where the protocol measures something else, or an earlier version did."""
    sums = [clip.sums for clip in result.clips]
    return sums if all("masked" in clip and "iou_plain" in clip for clip in sums) else None


def _intervals(
    sums: Sequence[Sums], own: Sequence[Sums] | None, paired: bool, samples: int, seed: int
) -> dict[str, Interval]:
    if not samples or len(sums) < 2:
        return {}
    generator = np.random.default_rng(seed)
    negative = _drawn(generator, samples, len(sums))
    matching = None if own is None else negative if paired else _drawn(generator, samples, len(own))
    values = resampled_robustness(sums, own, negative=negative, matching=matching)
    return {metric: percentiles(value) for metric, value in values.items()}


def _drawn(generator: np.random.Generator, samples: int, clips: int) -> np.ndarray:
    return times_drawn(generator.integers(clips, size=(samples, clips)), clips)
