"""Two results on the same clips: which is better, by how much, and could it be chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from moca.errors import InputError
from moca.evaluation.result import ClipScore, EvaluationResult
from moca.evaluation.statistics import PERMUTATIONS, SAMPLES, Paired, paired
from moca.evaluation.tables import column_of


@dataclass(frozen=True, kw_only=True)
class Comparison(Paired):
    """a against b in one metric, clip by clip; see `Paired`."""

    metric: str
    """Its name."""
    title: str
    """Its name as tables show it."""
    left_out: int
    """Clips for which it does not exist."""

    def lines(self, a: str = "A", b: str = "B") -> list[str]:
        """The comparison in words; a, b: what the two are called."""
        ends = f", 95 % interval [{self.interval[0]:+.4f}, {self.interval[1]:+.4f}]" if self.interval else ""
        way = "all sign patterns" if self.exact else "random sign patterns"
        counted = f"{self.clips} clips" if self.clips != 1 else "1 clip"
        without = f"; {self.left_out} without it left out" if self.left_out else ""
        return [
            f"{self.title} ({self.metric}), mean over {counted}{without}",
            f"A: {self.mean_a:.4f}  {a}",
            f"B: {self.mean_b:.4f}  {b}",
            f"A - B: {self.difference:+.4f}{ends}",
            f"p = {self.p:.2g} (paired, {way})",
            f"A is better in {self.wins}, as good in {self.ties}, worse in {self.losses}",
        ]


def compare(
    a: EvaluationResult,
    b: EvaluationResult,
    *,
    metric: str | None = None,
    samples: int = SAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Pair the clips of two results and compare a metric of single clips, by default the protocol's `clip_main`.

    The order of the clips does not matter. Raises InputError, in one line, for results of different protocols or
    clips (by name, category and ground truth), clips that cannot be told apart, and a metric that clips do not have
    or of which neither end is better.
    """
    if a.protocol["name"] != b.protocol["name"]:
        raise InputError(
            f"two results must be of one protocol, got {a.protocol['name']} and {b.protocol['name']}; "
            "compare results of the same data."
        )
    metric = metric or a.measured_by.clip_main
    _check_metric(a, b, metric)
    values = _metric_by_clip(a, metric), _metric_by_clip(b, metric)
    _check_same(*values)
    pairs = [(values[0][key], values[1][key]) for key in values[0]]
    known = [pair for pair in pairs if not any(map(math.isnan, pair))]
    if not known:
        raise InputError(f"{metric} exists in none of the {len(pairs)} clips; compare another metric.")
    column = column_of(a, metric)
    differences = paired(
        *zip(*known, strict=True),
        lower_is_better=column.better == "lower",
        samples=samples,
        permutations=permutations,
        seed=seed,
    )
    return Comparison(**vars(differences), metric=metric, title=column.title, left_out=len(pairs) - len(known))


def _check_metric(a: EvaluationResult, b: EvaluationResult, metric: str) -> None:
    """InputError unless clips of both results have a metric of which one end is better."""
    offered = [{name: column_of(result, name) for name in result.clips[0].metrics} for result in (a, b)]
    both = [name for name, column in offered[0].items() if column.better and name in offered[1]]
    if metric in both:
        return
    lacking = [end for end, names in zip("AB", offered, strict=True) if metric not in names]
    got = f"{metric!r}, which {lacking[0]} lacks" if len(lacking) == 1 else repr(metric)
    names = ", ".join(f"{name} ({offered[0][name].title})" for name in both)
    raise InputError(f"metric must be one that clips of both results have, {names}, got {got}; choose one of these.")


def _metric_by_clip(result: EvaluationResult, metric: str) -> dict[tuple[str, str, str], float]:
    values = {_key(clip): clip.metrics[metric] for clip in result.clips}
    if len(values) < len(result.clips):
        raise InputError(
            f"clips must have distinct names to be paired, {len(result.clips) - len(values)} of {result.method}'s "
            "are there twice; evaluate each once."
        )
    return values


def _key(clip: ClipScore) -> tuple[str, str, str]:
    return clip.category, clip.name, clip.truth


def _check_same(a: dict[tuple[str, str, str], float], b: dict[tuple[str, str, str], float]) -> None:
    if a.keys() == b.keys():
        return
    if {key[:2] for key in a} == {key[:2] for key in b}:
        changed = sorted(key[1] for key in a.keys() - b.keys())
        raise InputError(
            f"two results must be of the same clips, {len(changed)} of {len(a)} have another ground truth "
            f"(first: {changed[0]}); evaluate both on one data set."
        )
    first = sorted(a.keys() ^ b.keys())[0][1]
    raise InputError(
        f"two results must be of the same clips, got {len(a)} and {len(b)} with {len(a.keys() & b.keys())} in common "
        f"(not in both: {first}); evaluate both on one data set."
    )
