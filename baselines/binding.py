"""What the methods that bind regions to sounds share: how regions are cut out, and which of them agree.

Absolute, as in the paper: those whose cosine reaches a threshold. Relative: those near the frame's best, by cosines
minus their mean over a bank of other sounds, in their standard deviations; see `moca.segmentation.relative`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from moca.baselines.filtering import SoundFilter, cut_masks, nothing_agrees
from moca.baselines.loading import Card
from moca.baselines.training_free import Regions, TrainingFreeConfig
from moca.core.settings import setting
from moca.foundation.imagebind.model import ImageBind
from moca.pipeline.bank import sound_bank
from moca.segmentation.choosing import near_the_best, shares_of_best
from moca.segmentation.crops import cut_regions
from moca.segmentation.relative import SoundBank

Crop = Literal["box", "masked", "surround"]
RELATIVE = {"scores": "relative"}
"""Settings where an encoder's cosines are not known: no threshold on them can be."""


@dataclass(frozen=True, kw_only=True)
class BindingConfig(TrainingFreeConfig):
    """Which regions agree with the sound."""

    bind_threshold: float = setting(
        0.7,
        help="Smallest cosine of a region's crop with the sound under absolute scores; the paper's tau_BIND.",
        least=-1,
        most=1,
        hint="the paper uses 0.7",
    )
    scores: Literal["relative", "absolute"] = setting(
        "absolute",
        help="Which regions agree: those whose cosine reaches bind_threshold (absolute, the paper), or those near the "
        "frame's best, each cosine less its mean over a bank of other sounds (relative).",
    )
    delta: float = setting(
        0.5,
        help="How far below the best region of the frame another one may score under relative scores, in standard "
        "deviations of the bank.",
        least=0,
        most=20,
    )


def bank_of(encoder: ImageBind, config: BindingConfig, card: Card) -> SoundBank | None:
    """The synthesised bank of an encoder, None where scores are absolute.

    card: of the method's parts; the bank's fingerprint joins theirs.
    """
    if config.scores == "absolute":
        return None
    bank = sound_bank(encoder, card.fingerprints.get("encoder"))
    card.fingerprints["bank"] = bank.fingerprint
    return bank


def cut_out(picture: np.ndarray, masks: np.ndarray, crop: Crop, margin: float, size: int) -> list[np.ndarray]:
    """Crops of regions, RGB uint8.

    picture: (S, S, 3) uint8; masks: (N, S, S) bool, none of them empty. crop: "box" is what lies in the mask's box,
    "masked" paints over what is not in the mask, margin widening both boxes; "surround" leaves the mask in its blurred
    and pale surroundings, as `moca.segmentation.crops` has it, with a side of `size` pixels.
    """
    if crop == "surround":
        return list(cut_regions(picture, masks, size))
    return cut_masks(picture, masks, crop=crop, margin=margin)


def bound(
    sounds: SoundFilter, crops: list[np.ndarray], masks: np.ndarray, sound: Tensor, config: BindingConfig
) -> Regions:
    """The regions that agree with a sound, or why none does.

    crops: at least one, of masks (N, S, S) bool. Scores are cosines, or shares of the best relative score.
    """
    if config.scores == "relative":
        scores = sounds.compare(crops, sound).scores
        chosen = near_the_best(scores, config.delta)
        return Regions(masks=masks[chosen], scores=shares_of_best(scores)[chosen], score=float(scores.max()))
    cosines = sounds.cosines(crops, sound)
    best, agreeing = float(cosines.max()), cosines >= config.bind_threshold
    if agreeing.any():
        return Regions(masks=masks[agreeing], scores=cosines[agreeing], score=best)
    return Regions.none(nothing_agrees(best, config.bind_threshold), best, missed=config.bind_threshold)
