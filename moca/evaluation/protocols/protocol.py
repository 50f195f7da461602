"""What is measured on a data set: a protocol turns a clip's results into sums, and the sums of clips into metrics.

A clip's sums are JSON values that do not depend on other clips, so they can be made anywhere, stored, merged and
drawn again: everything that follows, tables, intervals and comparisons, needs the sums alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from moca.core.step import StepResult
from moca.errors import InputError
from moca.evaluation.controls import Clip
from moca.metrics.column import Column

Sums = dict[str, Any]


class EvaluationProtocol(Protocol):
    """One way to measure.

    A metric more is its function in `moca.metrics` and its row: for S4 and MS3 see `moca.metrics.accumulators.MEANS`.
    """

    name: str
    """By which it is stored and restored."""
    main: str
    """The metric of a set of clips that a reader looks at first."""
    clip_main: str
    """The metric of a single clip, by which clips are sorted and methods compared."""

    @property
    def settings(self) -> dict[str, Any]:
        """JSON values that `moca.evaluation.protocols.known.restored` makes the protocol from."""
        ...

    @property
    def basis(self) -> dict[str, Any]:
        """JSON values that the sums depend on besides method and clip."""
        ...

    def score(self, clip: Clip, results: Sequence[StepResult]) -> Sums:
        """Sums of one clip from the method's results, one per step of the clip."""
        ...

    def metrics(self, sums: Sequence[Sums]) -> dict[str, float]:
        """Metrics of a set of clips, in the set's order; NaN where one does not exist."""
        ...

    def clip_metrics(self, sums: Sums) -> dict[str, float]:
        """Metrics of one clip alone."""
        ...

    def resampled(self, sums: Sequence[Sums], draws: np.ndarray) -> dict[str, np.ndarray]:
        """Metrics of many sets drawn from the clips.

        draws: (S, N) int, positions in sums. Returns (S,) per metric that has an interval: what `metrics` gives for
        `[sums[i] for i in draws[s]]`, NaN where it does not exist. Counts are left out.
        """
        ...

    @staticmethod
    def column(metric: str) -> Column:
        """A metric's words."""
        ...


def annotated(clip: Clip, results: Sequence[StepResult], method: str) -> list[tuple[np.ndarray, StepResult]]:
    """Ground truth and result of every annotated step; refuses results that do not belong to it."""
    truths = list(clip.truths())
    if len(results) != len(truths):
        raise InputError(
            f"a method must return one result per step, {method} returned {len(results)} for the "
            f"{len(truths)} of clip {clip.name}; mend the method."
        )
    pairs = [(truth, result) for truth, result in zip(truths, results, strict=True) if truth is not None]
    if not pairs:
        raise InputError(f"a clip needs at least 1 annotated frame, {clip.name} has 0; leave it out.")
    for truth, result in pairs:
        if result.mask.shape != truth.shape or result.heat.shape != truth.shape:
            raise InputError(
                f"masks and heat maps must have the ground truth's size, clip {clip.name} step "
                f"{result.index} has {truth.shape} and got {result.mask.shape} and {result.heat.shape}; "
                "give frames and masks of one size."
            )
    return pairs


def decided_heat(result: StepResult) -> np.ndarray:
    """A step's heat map; 0 everywhere where the method says why its mask is empty.

    Saying "nothing sounds" is one decision, and metrics of masks and of heat maps both see it.
    """
    return np.zeros_like(result.heat) if result.reason is not None else result.heat
