"""The last step of a method with mask proposals: the proposals that the coarse mask matches become the result.

Shapes: N proposals, H x W the frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moca.foundation.roles import Masks
from moca.proposals import OVERLAPS, ProposalConfig, agreements, overlaps
from moca.results import Proposals, Segment, StepResult

HEAT_STEP = 0.01  # wider than the distance of two of the official thresholds (1/254): one lies between
MEASURES = {"iou": "IoU", "cover": "covered share", "agreement": "agreement"}


def match_step(result: StepResult, found: Masks, agreement: np.ndarray, config: ProposalConfig) -> StepResult:
    """A step with a coarse mask -> the same step with the proposals that match it.

    result: with the coarse mask, which has pixels. found: proposals of its frame. agreement: (H, W) float, how well
    each pixel agrees with the sound. Mask: the union of the proposals that match; segments: each of them, its score
    the mean agreement in it; heat: see `matched_heat`. Where none matches, the coarse mask with its heat, or, with
    `config.unmatched` "empty", nothing and a reason. The gate's score stays.
    """
    if config.rule in OVERLAPS:
        measured = overlaps(result.mask, found.masks, rule=config.rule)
    else:
        measured = agreements(result.heat, found.masks)
    matched = np.flatnonzero(measured > config.match)
    proposals = Proposals(
        masks=found.masks, scores=found.scores, overlaps=measured, matched=tuple(int(at) for at in matched)
    )
    compared = replace(result, coarse=result.mask, proposals=proposals)
    if not matched.size:
        return compared if config.unmatched == "coarse" else _emptied(compared, proposals, config)
    chosen = [found.masks[at] for at in matched]
    segments = [Segment(mask=mask, score=float(np.clip(agreement[mask].mean(), 0, 1))) for mask in chosen]
    return replace(
        compared,
        mask=np.logical_or.reduce(chosen),
        heat=matched_heat(result.heat, chosen),
        segments=tuple(sorted(segments, key=lambda segment: -segment.score)),
    )


def matched_heat(heat: np.ndarray, matched: list[np.ndarray]) -> np.ndarray:
    """A heat map that says what the matched proposals say, so that a threshold on it finds their masks.

    heat: (H, W) float32 in [0, 1], of the coarse mask; matched: at least one (H, W) bool, none empty. A pixel of a
    proposal takes the proposal's mean heat, the highest where several overlap: an object sounds as a whole. Any other
    pixel keeps its heat as long as that is below every proposal's, and else gets what is just below. So the threshold
    at the lowest proposal's heat gives exactly their union, higher ones give the proposals that agree better with the
    sound, and how sure the method is of this frame compared with others stays as it was.
    """
    raised = np.zeros_like(heat)
    for mask in matched:
        np.maximum(raised, max(HEAT_STEP, float(heat[mask].mean())), out=raised, where=mask)
    inside = raised > 0
    ceiling = max(0.0, float(raised[inside].min()) - HEAT_STEP)
    return np.where(inside, np.minimum(raised, 1), np.minimum(heat, np.float32(ceiling))).astype(np.float32)


def _emptied(result: StepResult, proposals: Proposals, config: ProposalConfig) -> StepResult:
    reason = "no proposal matches the coarse mask: "
    if len(proposals):
        best = float(proposals.overlaps.max())
        reason += f"highest {MEASURES[config.rule]} {best:.2f}, not above {config.match:.2f}"
    else:
        reason += "none was found"
    return replace(result, mask=np.zeros_like(result.mask), heat=np.zeros_like(result.heat), segments=(), reason=reason)
