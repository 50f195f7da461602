"""Which of a frame's proposals sound, by what an encoder says of their crops: those near the best one.

The other way to choose, by a coarse mask, is in `mpm`. Shapes: N proposals, H x W the frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from moca.core.step import Proposals, Segment, StepResult
from moca.foundation.roles import Masks
from moca.segmentation.config import ProposalConfig
from moca.segmentation.mpm import HIGHEST_OUTSIDE
from moca.segmentation.relative import Comparison


def near_the_best(scores: np.ndarray, delta: float) -> np.ndarray:
    """Indices of scores (N,) that are at most delta below the highest, ascending; the highest is always among them."""
    return np.flatnonzero(scores >= scores.max(initial=-np.inf) - delta)


def choose_by_crops(
    result: StepResult, proposed: Masks, found: Comparison, config: ProposalConfig, *, rank: float
) -> StepResult:
    """A step with a coarse mask -> the same step with the proposals whose crops fit the sound nearly best.

    proposed: at least one proposal of its frame. found: what their crops say of the sound, with as many regions. Mask:
    the union of the chosen; segments: each of them; heat: see `crop_heat`; score: the best proposal's. rank: of the
    sound, for that proposal.
    """
    scores = found.scores
    chosen, best = near_the_best(scores, config.delta), float(scores.max())
    shares = shares_of_best(scores)
    segments = [Segment(mask=proposed.masks[n], score=float(shares[n])) for n in chosen]
    return replace(
        result,
        mask=np.logical_or.reduce(proposed.masks[chosen]),
        heat=crop_heat(result.heat, proposed.masks, shares, chosen),
        segments=tuple(sorted(segments, key=lambda segment: -segment.score)),
        score=best,
        rank=rank,
        reason=None,
        coarse=result.mask,
        proposals=Proposals(
            masks=proposed.masks, scores=proposed.scores, measured=scores, matched=tuple(int(n) for n in chosen)
        ),
    )


def shares_of_best(scores: np.ndarray) -> np.ndarray:
    """Scores (N,) over the highest of them, in [0, 1]; where none is above 0, 1 for the highest and 0 for the rest."""
    best = scores.max(initial=-np.inf)
    return np.clip(scores / best, 0, 1) if best > 0 else (scores >= best).astype(np.float64)


def crop_heat(heat: np.ndarray, masks: np.ndarray, shares: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """A heat map (H, W) float32 in [0, 1]: at least 0.5 in the chosen proposals, below it everywhere else.

    heat: (H, W) float32 in [0, 1], of the patches; masks: (N, H, W) bool; shares: (N,) in [0, 1], of the best score;
    chosen: indices. A pixel has the highest share of the proposals that cover it: in the upper half of the scale where
    a chosen one does, in the second quarter where others do; where none does, it keeps its order in the lowest quarter.
    So the threshold 0.5 gives exactly the union, and higher ones the better ones of the chosen.
    """
    raised = 0.25 + (HIGHEST_OUTSIDE - 0.25) * shares
    raised[chosen] = (1 + shares[chosen]) / 2
    shown = (heat / 4).astype(np.float32)
    for mask, level in zip(masks, raised, strict=True):
        np.maximum(shown, np.float32(level), out=shown, where=mask)
    return shown
