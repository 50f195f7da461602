"""What gates are set from: one score per pair and gate, and how well every patch agrees with the sound.

Shapes: B pairs, K gates, a G x G grid of patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from moca.core.step import Step
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support, why_silent


class PairScores(NamedTuple):
    """Of some pairs."""

    scores: np.ndarray
    """(B, K) float64, one per gate, in their order; higher where the sound goes with the frame."""
    agreement: np.ndarray
    """(B, G, G) float32, what the level and the heat map are compared with."""


class PairScorer(Protocol):
    """A model that says how well frames and sounds go together."""

    gates: tuple[str, ...]
    """Fields of `SegmentConfig` that its scores are compared with, one for each."""
    config: SegmentConfig
    """Its settings before calibration."""
    fingerprints: Mapping[str, str]
    """Of all that the scores depend on, by role."""
    batch_steps: int
    """Pairs scored at a time."""

    def score(self, steps: Sequence[Step]) -> PairScores:
        """Scores of pairs that all have sound: at most `batch_steps`."""
        ...


class Segmenting(Protocol):
    """What is needed of a `moca.Segmenter`."""

    pipeline: Any
    config: SegmentConfig
    batch_steps: int

    def features(self, steps: list[Step]) -> tuple[np.ndarray, np.ndarray]: ...
    def frozen_presence(self, steps: list[Step]) -> np.ndarray: ...


class SupportScorer:
    """Support by the best patches and, where adapters have a read-out, the frozen encoder's presence."""

    def __init__(self, segmenter: Segmenting) -> None:
        self.segmenter, self.config, self.batch_steps = segmenter, segmenter.config, segmenter.batch_steps
        self.gates = ("gate", "gate_frozen") if segmenter.pipeline.towers.readout is not None else ("gate",)
        roles = ("encoder", "adapters")
        self.fingerprints = {role: value for role, value in segmenter.pipeline.fingerprints.items() if role in roles}

    def score(self, steps: Sequence[Step]) -> PairScores:
        """See `PairScorer`."""
        agreement = self.segmenter.features(list(steps))[1]
        scores = [[support(patches) for patches in agreement]]
        if len(self.gates) > 1:
            scores.append(self.segmenter.frozen_presence(list(steps)))
        return PairScores(np.array(scores, float).T, agreement)


def scored(scorer: PairScorer, steps: Sequence[Step]) -> PairScores:
    """Scores of any pairs, in batches; a silent one has minus infinity, as no gate is asked of it, and no patches."""
    heard = [step for step in steps if why_silent(step, scorer.config.silence_dbfs) is None]
    size = scorer.batch_steps
    parts = [scorer.score(heard[first : first + size]) for first in range(0, len(heard), size)]
    scores = np.full((len(steps), len(scorer.gates)), -np.inf)
    if not parts:
        return PairScores(scores, np.zeros((0, 0, 0), np.float32))
    sounding = [why_silent(step, scorer.config.silence_dbfs) is None for step in steps]
    scores[sounding] = np.concatenate([part.scores for part in parts])
    return PairScores(scores, np.concatenate([part.agreement for part in parts]))
