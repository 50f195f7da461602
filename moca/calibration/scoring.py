"""What gates are set from: one score per pair and gate, and how well every patch agrees with the sound.

Shapes: B pairs, K gates, a G x G grid of patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from moca.core.step import Step
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support, why_silent
from moca.segmenter import Segmenter


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

    def score(self, steps: Sequence[Step]) -> PairScores:
        """Scores of pairs that all have sound: those of one video, in which frames come again with other sounds."""
        ...


class SupportScorer:
    """Support by the best patches and, where adapters have a read-out, the frozen encoder's presence."""

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter, self.config = segmenter, segmenter.config
        self.gates = ("gate", "gate_frozen") if segmenter.pipeline.towers.readout is not None else ("gate",)
        prints = segmenter.pipeline.fingerprints
        self.fingerprints = {role: prints[role] for role in ("encoder", "adapters") if role in prints}

    def score(self, steps: Sequence[Step]) -> PairScores:
        """See `PairScorer`."""
        size = self.segmenter.batch_steps
        parts = [self._score(list(steps[first : first + size])) for first in range(0, len(steps), size)]
        return PairScores(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _score(self, steps: list[Step]) -> PairScores:
        agreement = self.segmenter.features(steps)[1]
        scores = [np.array([support(patches) for patches in agreement])]
        if len(self.gates) > 1:
            scores.append(self.segmenter.frozen_presence(steps))
        return PairScores(np.stack(scores, axis=1).astype(float), agreement)


def scored(scorer: PairScorer, kinds: Mapping[str, Sequence[Step]]) -> dict[str, PairScores]:
    """Scores of all pairs of one video, by kind; a silent pair has minus infinity, no gate is asked, and no patches."""
    silence = scorer.config.silence_dbfs
    sounding = {kind: [why_silent(step, silence) is None for step in steps] for kind, steps in kinds.items()}
    heard = [
        step for kind, steps in kinds.items() for step, sounds in zip(steps, sounding[kind], strict=True) if sounds
    ]
    found, first, parts = scorer.score(heard) if heard else None, 0, {}
    for kind, sounds in sounding.items():
        count, scores = sum(sounds), np.full((len(sounds), len(scorer.gates)), -np.inf)
        patches = np.zeros((0, 0, 0), np.float32)
        if count:
            scores[sounds] = found.scores[first : first + count]
            patches = found.agreement[first : first + count]
        parts[kind], first = PairScores(scores, patches), first + count
    return parts
