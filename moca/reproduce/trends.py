"""Does what the paper concludes from a table hold here? Answered from the measured figures alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from scipy.stats import t as student

from moca.evaluation.datasets import DATASETS
from moca.evaluation.statistics import LEVEL
from moca.reproduce.figures import Interval, Measured, percentiles
from moca.reproduce.specs import Table, Trend

YES, NO, NOISE, UNKNOWN = "yes", "no", "within noise", "not measured"
Figures = Mapping[tuple[str, str], Measured]
"""By label of the row and name of the data set; what was not run is not in it."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much more one row has than another, in the first metric of a data set."""

    better: str
    """Label of the one."""
    worse: str
    """Label of the other."""
    mean: float
    """Over seeds."""
    seeds: Interval | None
    """95 % interval of the mean over seeds (Student's t of the differences seed by seed), None unless at least two
    seeds differ in anything."""
    clips: Interval | None
    """95 % bootstrap interval over the clips they share."""

    @property
    def verdict(self) -> str:
        """Yes or no where neither the seeds nor the clips could explain the difference."""
        known = [interval for interval in (self.seeds, self.clips) if interval is not None]
        if self.mean > 0 and all(low > 0 for low, _ in known):
            return YES
        if self.mean < 0 and all(high < 0 for _, high in known):
            return NO
        return NOISE


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A trend on one data set."""

    trend: Trend
    data: str
    """Name of the data set."""
    gains: tuple[Gain, ...]
    """Of the pairs that were measured."""
    missing: tuple[str, ...]
    """Labels of rows that were not."""

    @property
    def verdict(self) -> str:
        """No where one pair goes the other way, yes where all pairs go the paper's way, else within noise."""
        verdicts = {gain.verdict for gain in self.gains}
        if not verdicts:
            return UNKNOWN
        if NO in verdicts:
            return NO
        return YES if verdicts == {YES} else NOISE

    def told(self) -> str:
        """One line: the trend, whether it holds, and the difference of every pair."""
        data = DATASETS[self.data]
        line = f"{self.trend.words} ({data.title} {data.metrics[0][1]}): holds here: {self.verdict}"
        if self.gains:
            line += f" ({'; '.join(map(told_gain, self.gains))})"
        return line + (f"; not run: {', '.join(self.missing)}" if self.missing else "")


def findings(table: Table, figures: Figures) -> list[Finding]:
    """Every trend of a table on every data set of it that was measured at all."""
    measured = {data for _, data in figures}
    return [_find(trend, data, figures) for trend in table.trends for data in trend.data if data in measured]


def _find(trend: Trend, data: str, figures: Figures) -> Finding:
    labels = dict.fromkeys(label for pair in trend.pairs for label in pair)
    missing = tuple(label for label in labels if (label, data) not in figures)
    pairs = [pair for pair in trend.pairs if not set(pair) & set(missing)]
    metric = DATASETS[data].metrics[0][0]
    gains = tuple(
        compare(better, worse, figures[better, data], figures[worse, data], metric) for better, worse in pairs
    )
    return Finding(trend=trend, data=data, gains=gains, missing=missing)


def compare(better: str, worse: str, first: Measured, second: Measured, metric: str) -> Gain:
    """The gain of the first over the second in a metric; better, worse: their labels."""
    differences = _by_seed(first, second, metric)
    drawn = first.resampled(metric), second.resampled(metric)
    clips = None if any(values is None for values in drawn) else percentiles(np.subtract(*drawn))
    mean_gain = mean(differences)
    return Gain(better=better, worse=worse, mean=mean_gain, seeds=_student(first, second, differences), clips=clips)


def over_control(label: str, measured: Measured, control: str, metric: str) -> Gain:
    """The gain of a run over one of its own controls in a metric."""
    alone = Measured(seeds=measured.seeds, results=tuple(result.controls[control] for result in measured.results))
    return compare(label, control, measured, alone, metric)


def _by_seed(first: Measured, second: Measured, metric: str) -> list[float]:
    """Differences of the seeds that both have; a run without seeds is compared with each of the other's."""
    a, b = first.values(metric), second.values(metric)
    if first.deterministic or second.deterministic:
        return [x - y for x in a for y in b]
    of_first, of_second = dict(zip(first.seeds, a, strict=True)), dict(zip(second.seeds, b, strict=True))
    return [of_first[seed] - of_second[seed] for seed in first.seeds if seed in of_second]


def _student(first: Measured, second: Measured, differences: Sequence[float]) -> Interval | None:
    if len(differences) < 2 or any(map(math.isnan, differences)) or (first.deterministic and second.deterministic):
        return None
    count, middle = len(differences), mean(differences)
    half = float(student.ppf((1 + LEVEL) / 2, count - 1)) * stdev(differences) / math.sqrt(count)
    return middle - half, middle + half


def told_gain(gain: Gain) -> str:
    """Who over whom by how much, with the intervals that there are."""
    noise = {"seeds": gain.seeds, "clips": gain.clips}
    bounds = "; ".join(f"{name} {ends[0]:+.3f} to {ends[1]:+.3f}" for name, ends in noise.items() if ends)
    return f"{gain.better} over {gain.worse} {gain.mean:+.3f}" + (f" [{bounds}]" if bounds else "")
