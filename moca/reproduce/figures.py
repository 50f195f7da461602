"""What was measured: one run on one data set, over its seeds and its clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev

import numpy as np

from moca.evaluation import EvaluationResult
from moca.evaluation.statistics import LEVEL, SAMPLES

Interval = tuple[float, float]
PERCENTILES = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run on one data set."""

    seeds: tuple[int, ...]
    """Of the trainings, () where nothing is random."""
    results: tuple[EvaluationResult, ...]
    """One for each seed, or the one there is; all of the same clips."""

    @property
    def deterministic(self) -> bool:
        """Nothing in the run is random, so it was run once."""
        return not self.seeds

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the controls that every seed has."""
        return tuple(
            name for name in self.results[0].controls if all(name in result.controls for result in self.results)
        )

    def values(self, metric: str, control: str | None = None) -> tuple[float, ...]:
        """A metric of every seed, NaN where it does not exist; control: under which, None for the run itself."""
        shown = [result if control is None else result.controls[control] for result in self.results]
        return tuple(result.metrics[metric] for result in shown)

    def mean(self, metric: str, control: str | None = None) -> float:
        """Mean over the seeds."""
        return mean(self.values(metric, control))

    def spread(self, metric: str, control: str | None = None) -> float | None:
        """Standard deviation over the seeds (of a sample); None for fewer than two."""
        values = self.values(metric, control)
        return stdev(values) if len(values) > 1 else None

    def resampled(self, metric: str) -> np.ndarray | None:
        """(S,) the mean over the seeds for S sets of clips drawn with replacement, NaN where it does not exist.

        Runs on the same clips are measured on the same draws, so that their difference can be taken draw by draw.
        None for fewer than two clips.
        """
        by_seed = [samples.get(metric) for samples in self._samples]
        return None if not by_seed or any(values is None for values in by_seed) else np.mean(by_seed, axis=0)

    def interval(self, metric: str) -> Interval | None:
        """95 % bootstrap interval, over clips, of the mean over the seeds; None for fewer than two clips."""
        return percentiles(self.resampled(metric))

    @cached_property
    def _samples(self) -> list[Mapping[str, np.ndarray]]:
        return [_resampled(result) for result in self.results]


def _resampled(result: EvaluationResult) -> Mapping[str, np.ndarray]:
    """Metrics of many draws of the clips; the draws are a function of the number of clips alone."""
    count = len(result.clips)
    if count < 2:
        return {}
    draws = np.random.default_rng(0).integers(count, size=(SAMPLES, count))
    return result.measured_by.resampled([clip.sums for clip in result.clips], draws)


def percentiles(values: np.ndarray | Sequence[float] | None) -> Interval | None:
    """The middle 95 % of values, leaving out NaN; None where there is none."""
    known = np.array([] if values is None else values, float)
    known = known[~np.isnan(known)]
    if not known.size:
        return None
    low, high = np.percentile(known, PERCENTILES)
    return float(low), float(high)
