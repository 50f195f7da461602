"""What gates are set from: one score per pair and gate, and how well every patch agrees with the sound.

Shapes: B pairs, K gates, a G x G grid of patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from moca.core.step import Step
from moca.pipeline.bank import embed_sounds
from moca.pipeline.comparing import CropScorer
from moca.segmentation.config import OPEN, SegmentConfig
from moca.segmentation.crops import cut_regions
from moca.segmentation.gate import best_patches, support, why_silent
from moca.segmentation.relative import Comparison, SoundBank, compare
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
    """Its settings before calibration, with every other gate open."""
    fingerprints: Mapping[str, str]
    """Of all that the scores depend on, by role."""
    by_crops: bool
    """Whether the scores are those of proposals' crops."""
    levels: bool
    """Whether a level can be compared with the agreement, which relative scores cannot be."""

    def score(self, steps: Sequence[Step]) -> PairScores:
        """Scores of pairs that all have sound: those of one video, in which frames come again with other sounds."""
        ...


def scorer_for(segmenter: Segmenter, by: str = "rank") -> PairScorer:
    """The scorer that goes with a model: its read-out's support, or the bank's word where it has none or crops decide.

    by: see `BankScorer`.
    """
    if segmenter.pipeline.towers.readout is None or segmenter.by_crops:
        return BankScorer(segmenter, by)
    return SupportScorer(segmenter)


class SupportScorer:
    """Support by the best patches and, where adapters have a read-out, the frozen encoder's presence."""

    by_crops, levels = False, True

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.config = replace(segmenter.config, gate_rank=0.0)
        self.gates = ("gate", "gate_frozen") if segmenter.pipeline.towers.readout is not None else ("gate",)
        prints = segmenter.pipeline.fingerprints
        self.fingerprints = {role: prints[role] for role in ("encoder", "adapters") if role in prints}

    def score(self, steps: Sequence[Step]) -> PairScores:
        """See `PairScorer`."""
        _, agreement = _features(self.segmenter, steps)
        scores = [np.array([support(patches) for patches in agreement])]
        if len(self.gates) > 1:
            parts = [self.segmenter.frozen_presence(part) for part in _batches(steps, self.segmenter.batch_steps)]
            scores.append(np.concatenate(parts))
        return PairScores(np.stack(scores, axis=1).astype(float), agreement)


class BankScorer:
    """What a bank of other sounds says of a pair's own, for the frame's best proposal, or else its best patches.

    by: "rank", the own sound's rank among the bank; "score", the result's score; or "both", a gate each.
    """

    def __init__(self, segmenter: Segmenter, by: str = "rank") -> None:
        self.segmenter, self.by_crops, self.levels = segmenter, segmenter.by_crops, not segmenter.relative
        self.gates = {"rank": ("gate_rank",), "score": ("gate",), "both": ("gate_rank", "gate")}[by]
        self.config = replace(segmenter.config, gate=OPEN, gate_rank=0.0, gate_frozen=-1.0)
        roles = ("encoder", "adapters", *(("masks", "objects") if self.by_crops else ()))
        prints = segmenter.pipeline.fingerprints | {"bank": segmenter.bank.fingerprint}
        self.fingerprints = {role: prints[role] for role in (*roles, "bank") if role in prints}

    def score(self, steps: Sequence[Step]) -> PairScores:
        """See `PairScorer`."""
        patches, agreement = _features(self.segmenter, steps)
        sounds = embed_sounds(self.segmenter.pipeline.encoder, [step.audio for step in steps])
        found = {"gate_rank": np.full(len(steps), -np.inf), "gate": np.full(len(steps), -np.inf)}
        if not self.by_crops or self.segmenter.pipeline.proposer.config.unmatched == "coarse":
            best = [_best_patches(*pair, self.segmenter.bank) for pair in zip(patches, sounds, strict=True)]
            found["gate_rank"] = np.array([region.rank(0) for region in best])
            found["gate"] = np.array([support(each) for each in agreement], float)
        if self.by_crops:
            for index, every in self._crops(steps, sounds).items():
                chosen = int(every.scores.argmax())
                found["gate_rank"][index], found["gate"][index] = every.rank(chosen), every.scores[chosen]
        return PairScores(np.stack([found[gate] for gate in self.gates], axis=1), agreement)

    def _crops(self, steps: Sequence[Step], sounds: np.ndarray) -> dict[int, Comparison]:
        """By pair, the crops of its frame's proposals beside the bank, where there are some; a frame is cut up once."""
        pipeline, bank, found = self.segmenter.pipeline, self.segmenter.bank, {}
        scorer = CropScorer(pipeline.encoder, bank, batch=pipeline.proposer.config.crop_batch)
        rows: dict[int, list[int]] = {}
        for index, step in enumerate(steps):
            rows.setdefault(id(step.frame), []).append(index)
        frames = [steps[indices[0]].frame for indices in rows.values()]
        for frame, proposed, indices in zip(frames, pipeline.proposer.each(frames), rows.values(), strict=True):
            if len(proposed):
                crops = np.stack(list(cut_regions(frame, proposed.masks, pipeline.encoder.config.image_size)))
                cosines = scorer.cosines(crops, np.concatenate([bank.embeddings, sounds[indices]]))
                for place, index in enumerate(indices):
                    own = cosines[:, len(bank) + place]
                    found[index] = Comparison(own=own, others=cosines[:, : len(bank)])
        return found


def _best_patches(patches: np.ndarray, sound: np.ndarray, bank: SoundBank) -> Comparison:
    """The patches (G, G, E) of a frame that agree best with a sound (E,), as one region beside the bank."""
    every = compare(patches, sound, bank)
    return every.pooled(best_patches(every.scores))


def _features(segmenter: Segmenter, steps: Sequence[Step]) -> tuple[np.ndarray, np.ndarray]:
    """What `Segmenter.features` gives, in batches."""
    parts = [segmenter.features(part) for part in _batches(steps, segmenter.batch_steps)]
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def _batches(steps: Sequence[Step], size: int) -> list[list[Step]]:
    return [list(steps[first : first + size]) for first in range(0, len(steps), size)]


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
