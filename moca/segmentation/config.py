"""Settings of segmentation: how features become a mask, and where mask proposals come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from moca.core.settings import Settings, setting
from moca.errors import InputError

OVERLAPS = ("iou", "cover")
"""Rules that compare a proposal with the coarse mask."""
MATCH = {"iou": 0.5, "cover": 0.5, "agreement": 0.7}
"""What each rule's measure must be above where nothing else is said: the paper's for IoU, and what did best on
validation frames of Soundstage for the others. The rule "crops" has `ProposalConfig.delta` instead."""
CROPS = "crops"
"""The rule that looks at every proposal alone."""
OPEN = -100.0
"""The least a gate can be: it lets everything through, whatever the scores are counted in."""
UNCALIBRATED: dict[str, dict[str, Any]] = {
    "relative": {"gate": OPEN, "gate_rank": 0.0, "heat_low": 0.0, "heat_high": 4.0},
    "absolute": {"gate": OPEN, "gate_rank": 0.0, "heat_low": -1.0, "heat_high": 1.0},
}
"""By how scores are counted: settings of `SegmentConfig` for a model that was not calibrated. Gates are open; the heat
map shows every cosine, or what is ahead of the bank, up to four standard deviations (the best patches of frames whose
sound is seen lie there on Soundstage)."""
BOX_FIELDS = ("box_threshold", "box_limit", "box_nms_iou")
GRID_FIELDS = ("points_per_side", "pred_iou", "stability", "grid_nms_iou")


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(Settings):
    """How patch features become a mask."""

    clusters: int = setting(
        4, help="k of the cosine k-means.", least=1, most=64, hint="4 suits most frames", option=True
    )
    sounding: Literal["best", "ratio", "otsu", "level"] = setting(
        "otsu",
        help="What sounds: the cluster that agrees most with the sound (best), every one within a ratio of it (ratio), "
        "every one whose mean agreement is above the Otsu threshold of the frame's patches (otsu); or, without "
        "clusters, every pixel that agrees by at least a level (level).",
        option=True,
    )
    ratio: float = setting(
        0.75, help="Share of the best cluster's agreement that another one needs under ratio.", above=0, most=1
    )
    level: float = setting(
        0.5,
        help="Agreement from which a pixel sounds under level: a probability where the adapters have a read-out, else "
        "a cosine, which needs absolute scores.",
        least=-1,
        most=1,
        option=True,
    )
    scores: Literal["relative", "absolute"] = setting(
        "absolute",
        help="How agreement with the sound is counted where the adapters have no read-out: a cosine minus its mean "
        "over a bank of other sounds, in their standard deviations, which has no scale of its own (relative); or the "
        "cosine itself, as in the paper (absolute).",
        option=True,
    )
    refine: bool = setting(False, help="Snap masks to the picture's edges (GrabCut).", option=True)
    silence_dbfs: float = setting(
        -60.0, help="RMS level, in dB of full scale, below which a step is silent.", most=0, unit="dBFS", option=True
    )
    gate: float = setting(
        0.0,
        help="Smallest support at which a region is believed to make the sound, as the scores are counted: the best "
        "proposal's score under the rule crops, else the mean of the highest patches; calibrated per model, without "
        "labels.",
        least=OPEN,
        most=-OPEN,
        option=True,
    )
    gate_rank: float = setting(
        0.0,
        help="Smallest share of a bank of other sounds that must fit the best proposal (or the best patches, where "
        "there are none) less than the step's own sound does; 0 leaves it out. Set by calibration, without labels.",
        least=0,
        most=1,
        option=True,
    )
    gate_frozen: float = setting(
        -1.0,
        help="Smallest presence of the sound in the picture by the frozen encoder alone, which the adapters' read-out "
        "cannot change; -1 leaves it out.",
        least=-1,
        most=1,
    )
    mirror: bool = setting(False, help="Also look at the mirrored frame, for twice the time.", option=True)
    heat_low: float = setting(0.0, help="Agreement that the heat map shows as 0, as the scores are counted.")
    heat_high: float = setting(1.0, help="Agreement that the heat map shows as 1, as the scores are counted.")
    seed: int = setting(0, help="Seed of the k-means.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.heat_low < self.heat_high:
            raise InputError(f"heat_low must be below heat_high, got {self.heat_low} and {self.heat_high}; change one.")


def rescored(config: SegmentConfig, **changes: Any) -> SegmentConfig:
    """Settings with some changed. Where scores are counted in another way than before, what speaks of scores is that of
    a model that was not calibrated, unless it is among the changes; a level of cosines becomes clusters."""
    scores = changes.get("scores", config.scores)
    if scores == config.scores or scores not in UNCALIBRATED:
        return replace(config, **changes)
    clusters = {"sounding": "otsu"} if scores == "relative" and config.sounding == "level" else {}
    return replace(config, **{**UNCALIBRATED[scores], **clusters, **changes})


@dataclass(frozen=True, kw_only=True)
class ProposalConfig(Settings):
    """Where mask proposals come from (`kind` to `mask_nms_iou`), and how they are matched with the coarse mask (MPM:
    `rule` to `unmatched`).
    """

    kind: Literal["none", "boxes", "grid"] = setting(
        "none",
        help="Mask proposals: none, the coarse mask is the result; one mask for each box that an object detector finds "
        "without words (boxes, the paper); masks of whatever lies under a grid of points (grid).",
        shown="proposals",
        option=True,
    )
    box_threshold: float = setting(0.1, help="Smallest score of a box.", least=0, most=1)
    box_limit: int = setting(
        100,
        help="Most boxes of a frame, the best ones; each costs a byte for every pixel until the frame is done.",
        least=1,
        most=1000,
    )
    box_nms_iou: float = setting(
        0.7, help="Of two boxes whose IoU is above this, the detector keeps the better.", least=0, most=1
    )
    points_per_side: int = setting(32, help="Points of the grid along each side of the frame.", least=1, most=128)
    pred_iou: float = setting(
        0.88, help="Smallest IoU that the mask predictor expects a mask of the grid to have.", least=0, most=1
    )
    stability: float = setting(
        0.95, help="Smallest IoU of a mask of the grid with itself at a higher and a lower threshold.", least=0, most=1
    )
    grid_nms_iou: float = setting(
        0.7, help="Of two masks of the grid whose boxes' IoU is above this, the better is kept.", least=0, most=1
    )
    mask_nms_iou: float = setting(
        0.9, help="Of two proposals whose IoU is above this, the better is kept; 1 keeps all.", least=0, most=1
    )
    rule: Literal["iou", "cover", "agreement", "crops"] = setting(
        "iou",
        help="Which proposals match: those whose IoU with the whole coarse mask is high enough (iou, the paper; one "
        "object among several that sound cannot match), those that the coarse mask covers (cover), those whose "
        "mean heat is near that of the best one, which always matches (agreement), or those that, cut out and looked "
        "at alone, fit the sound nearly as well as the best one does (crops).",
        option=True,
    )
    delta: float = setting(
        0.5,
        help="How far below the best proposal of the frame another one may score under crops, in standard deviations "
        "of a bank of other sounds.",
        least=0,
        most=20,
        option=True,
    )
    crop_batch: int = setting(
        32, help="Crops that are looked at together under crops; it changes memory, not results.", least=1, most=4096
    )
    match: float = setting(
        0.5,
        help="What the rule's measure must be above; every rule but crops has a default of its own.",
        least=0,
        below=1,
        hint="the paper uses 0.5",
        option=True,
    )
    unmatched: Literal["coarse", "empty"] = setting(
        "coarse",
        help="Where no proposal matches: the coarse mask is the result (coarse), or nothing sounds (empty).",
        option=True,
    )

    def used(self) -> dict[str, Any]:
        """The fields that a result depends on, as JSON values: those of another kind or rule are left out."""
        if self.kind == "none":
            return {"kind": self.kind}
        other = (*(GRID_FIELDS if self.kind == "boxes" else BOX_FIELDS), "crop_batch")
        other += ("match",) if self.rule == CROPS else ("delta",)
        return {name: value for name, value in self.to_json().items() if name not in other}
