"""MPM, mask proposal matching: of a frame's proposals, those that match the coarse mask become the result.

Where proposals come from is in `proposals`; PMA, the training loss that matches pixels, is elsewhere.

Shapes: N proposals, H x W the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moca.core.maps import window_of
from moca.core.step import Proposals, Segment, StepResult
from moca.errors import InputError
from moca.foundation.roles import Masks
from moca.segmentation.config import OVERLAPS, ProposalConfig

HIGHEST_OUTSIDE = 0.49  # farther below 0.5 than two of the official thresholds are apart (1/254): one lies between
MEASURES = {"iou": "IoU", "cover": "covered share", "agreement": "agreement", "crops": "the crop's score"}


def match_step(result: StepResult, proposed: Masks, agreement: np.ndarray, config: ProposalConfig) -> StepResult:
    """A step with a coarse mask -> the same step with the proposals that match it.

    result: with the coarse mask, which has pixels. proposed: proposals of its frame. agreement: (H, W) float, how well
    each pixel agrees with the sound. Mask: the union of the proposals that match; segments: each of them, its score
    the mean agreement in it; heat: see `matched_heat`. Where none matches, the coarse mask, its heat at least 0.5 where
    the mask is and below elsewhere; or, with `config.unmatched` "empty", nothing and a reason. The gate's score stays.
    """
    if config.rule in OVERLAPS:
        measured = overlaps(result.mask, proposed.masks, rule=config.rule)
    else:
        measured = agreements(result.heat, proposed.masks)
    matched = np.flatnonzero(measured > config.match)
    proposals = Proposals(
        masks=proposed.masks, scores=proposed.scores, measured=measured, matched=tuple(int(index) for index in matched)
    )
    compared = replace(result, coarse=result.mask, proposals=proposals)
    if not matched.size and config.unmatched == "empty":
        return _emptied(compared, proposals, config)
    if not matched.size:
        return replace(compared, heat=_halves(result.heat, result.mask, (1 + result.heat) / 2))
    chosen = [proposed.masks[index] for index in matched]
    segments = [Segment(mask=mask, score=float(np.clip(agreement[mask].mean(), 0, 1))) for mask in chosen]
    return replace(
        compared,
        mask=np.logical_or.reduce(chosen),
        heat=matched_heat(result.heat, chosen),
        segments=tuple(sorted(segments, key=lambda segment: -segment.score)),
    )


def matched_heat(heat: np.ndarray, matched: Sequence[np.ndarray]) -> np.ndarray:
    """A heat map that says what the matched proposals say: at least 0.5 in them, below it everywhere else.

    heat: (H, W) float32 in [0, 1], of the coarse mask; matched: at least one (H, W) bool, none empty. A proposal's mean
    heat fills the upper half of the scale, the highest where several overlap: an object sounds as a whole. All else
    keeps its order in the lower half. So the threshold 0.5 gives exactly the union on every frame, which a threshold
    for all frames, as the official F has it, needs; higher ones give the proposals that agree better with the sound.
    """
    raised = np.zeros_like(heat)
    for mask in matched:
        np.maximum(raised, (1 + float(heat[mask].mean())) / 2, out=raised, where=mask)
    return _halves(heat, raised > 0, raised)


def _halves(heat: np.ndarray, inside: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """`upper` inside, and outside the heat in the lower half of the scale."""
    return np.where(inside, np.minimum(upper, 1), np.minimum(heat / 2, HIGHEST_OUTSIDE)).astype(np.float32)


def _emptied(result: StepResult, proposals: Proposals, config: ProposalConfig) -> StepResult:
    reason = "no proposal matches the coarse mask: "
    if len(proposals):
        best = float(proposals.measured.max())
        reason += f"highest {MEASURES[config.rule]} {best:.2f}, not above {config.match:.2f}"
    else:
        reason += "none was found"
    return replace(result, mask=np.zeros_like(result.mask), heat=np.zeros_like(result.heat), segments=(), reason=reason)


def overlaps(coarse: np.ndarray, masks: np.ndarray, *, rule: str = "iou") -> np.ndarray:
    """How well each proposal fits the coarse mask, (N,) float64: best 1, worst 0.

    coarse: (H, W) bool; masks: (N, H, W) bool. rule "iou": |coarse & mask| / |coarse | mask|; "cover":
    |coarse & mask| / |mask|. An empty mask has 0, and everything has 0 where the coarse mask is empty.
    """
    if rule not in OVERLAPS:
        raise InputError(f"rule must be one of {', '.join(OVERLAPS)}, got {rule!r}.")
    if coarse.dtype != bool or masks.dtype != bool or coarse.ndim != 2 or masks.shape[1:] != coarse.shape:
        raise InputError(
            f"the coarse mask must be (H, W) and proposals (N, H, W), both bool, got {coarse.shape} {coarse.dtype} and "
            f"{masks.shape} {masks.dtype}; resize and threshold them first."
        )
    if not coarse.any() or not len(masks):
        return np.zeros(len(masks))
    top, left, bottom, right = window_of(coarse)
    region = coarse[top:bottom, left:right]
    shared = np.array([np.count_nonzero(mask[top:bottom, left:right] & region) for mask in masks])
    whole = np.array([np.count_nonzero(mask) for mask in masks])
    if rule == "iou":
        whole = whole + np.count_nonzero(coarse) - shared
    return shared / np.maximum(whole, 1)


def agreements(heat: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """How well each proposal agrees with the sound: its mean heat over that of the best one, (N,) float64 in [0, 1].

    heat: (H, W) in [0, 1]; masks: (N, H, W) bool, none empty. Everything has 0 where no proposal has any heat.
    """
    means = np.array([heat[mask].mean(dtype=np.float64) for mask in masks])
    best = means.max(initial=0)
    return means / best if best > 0 else means


def match_proposals(coarse: np.ndarray, masks: np.ndarray, *, rule: str = "iou", threshold: float = 0.5) -> np.ndarray:
    """Indices of the proposals that match the coarse mask, ascending: those above the threshold, never those at it.

    coarse: (H, W) bool; masks: (N, H, W) bool; rule: see `overlaps`; threshold: in [0, 1). Nothing matches an empty
    coarse mask. Source: the paper's mask proposal matching: proposals whose IoU with the coarse mask exceeds 0.5;
    "cover" is this project's.
    """
    return np.flatnonzero(overlaps(coarse, masks, rule=rule) > threshold)
