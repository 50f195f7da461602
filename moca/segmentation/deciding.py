"""What a step comes to: the gates, then clusters or a level, or the proposals whose crops fit the sound.

Shapes: G patches per side, E joint-space width, N proposals, H x W the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from moca.core.step import Step, StepResult, empty_result, result_of
from moca.foundation.roles import Masks
from moca.segmentation.choosing import choose_by_crops
from moca.segmentation.coarse import coarse_mask, heat_map
from moca.segmentation.config import ProposalConfig, SegmentConfig
from moca.segmentation.gate import best_patches, support, why_outranked
from moca.segmentation.relative import Comparison


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the towers say of one step."""

    patches: np.ndarray
    """(G, G, E) float32, audio-enhanced features of unit length."""
    agreement: np.ndarray
    """(G, G) float32, how well each patch agrees with the sound: a probability, a cosine, or a relative score."""
    absolute: bool
    """Whether the agreement is a cosine as it is, which has no common scale."""
    presence: float | None = None
    """The frozen presence in [-1, 1], None where no gate needs it."""
    compared: Comparison | None = None
    """The patches, or the picture as a whole, beside a bank of other sounds; None where nothing needs it."""
    sound: np.ndarray | None = None
    """(E,) float32, the sound's embedding of unit length; None where no bank is compared with."""
    names: tuple[str, ...] = ()
    """What the bank's sounds are."""

    def best_region(self) -> Comparison:
        """The patches that agree best, as one region, or the whole picture, beside the bank."""
        return self.compared.pooled(best_patches(self.compared.scores))


def decide(step: Step, look: Look, config: SegmentConfig) -> StepResult:
    """The coarse result of a step: the gates, then the clusters or the level."""
    score = support(look.agreement)
    rank = look.best_region().rank(0) if look.compared is not None else float("nan")

    def empty(reason: str, threshold: float | None = None) -> StepResult:
        missed = threshold if look.absolute else None
        return replace(empty_result(step, reason, score=score), rank=rank, missed=missed)

    if score < config.gate:
        return empty(f"no region supports the sound: score {score:.2f}, below {config.gate:.2f}", config.gate)
    if reason := why_absent(look, config):
        return empty(reason)
    if rank < config.gate_rank:
        return empty(why_outranked(rank, config.gate_rank, look.best_region().better(0, look.names)))
    mask, segments = coarse_mask(look.patches, look.agreement, step.frame, config)
    if not mask.any():
        return empty(f"no region reaches the level {config.level:.2f}", config.level)
    heat = heat_map(look.agreement, step.frame.shape[:2], config)
    return result_of(step, mask=mask, heat=heat, score=score, segments=segments, rank=rank)


def why_absent(look: Look, config: SegmentConfig) -> str | None:
    """Why the gate of the frozen encoder closes, or None."""
    if look.presence is None or look.presence >= config.gate_frozen:
        return None
    return f"nothing in the picture goes with the sound: {look.presence:.2f}, below {config.gate_frozen:.2f}"


def decide_by_crops(
    step: Step, look: Look, proposed: Masks, found: Comparison, config: SegmentConfig, proposing: ProposalConfig
) -> StepResult:
    """The result of a step that the frozen encoder's gate lets through: the other gates, then proposals by their crops.

    proposed: of its frame, maybe none; then the coarse mask is the result, or, with `proposing.unmatched` "empty",
    nothing. found: what their crops say of the sound. The gates ask the best proposal.
    """
    if not len(proposed):
        if proposing.unmatched == "empty":
            return empty_result(step, "no proposal was found")
        return decide(step, look, config)
    best = int(found.scores.argmax())
    score, rank = float(found.scores[best]), found.rank(best)
    reason = None
    if score < config.gate:
        reason = f"no proposal supports the sound: score {score:.2f}, below {config.gate:.2f}"
    elif rank < config.gate_rank:
        reason = why_outranked(rank, config.gate_rank, found.better(best, look.names))
    if reason:
        return replace(empty_result(step, reason, score=score), rank=rank)
    mask, _ = coarse_mask(look.patches, look.agreement, step.frame, replace(config, refine=False))
    heat = heat_map(look.agreement, mask.shape, config)
    coarse = result_of(step, mask=mask, heat=heat, score=score)
    return choose_by_crops(coarse, proposed, found, proposing, rank=rank)
