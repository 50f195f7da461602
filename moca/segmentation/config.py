"""Settings of segmentation: how features become a mask, and where mask proposals come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from moca.core.settings import Settings, setting
from moca.errors import InputError

OVERLAPS = ("iou", "cover")
"""Rules that compare a proposal with the coarse mask."""
MATCH = {"iou": 0.5, "cover": 0.5, "agreement": 0.7}
"""What each rule's measure must be above where nothing else is said: the paper's for IoU, and what did best on
validation frames of Soundstage for the others."""
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
        "a cosine.",
        least=-1,
        most=1,
        option=True,
    )
    refine: bool = setting(False, help="Snap masks to the picture's edges (GrabCut).", option=True)
    silence_dbfs: float = setting(
        -60.0, help="RMS level, in dB of full scale, below which a step is silent.", most=0, unit="dBFS", option=True
    )
    gate: float = setting(
        0.0,
        help="Smallest support (mean of the highest cosines) at which a region is believed to make the sound; "
        "calibrated per model, without labels.",
        least=-1,
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
    heat_low: float = setting(0.0, help="Cosine that the heat map shows as 0.")
    heat_high: float = setting(1.0, help="Cosine that the heat map shows as 1.")
    seed: int = setting(0, help="Seed of the k-means.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.heat_low < self.heat_high:
            raise InputError(f"heat_low must be below heat_high, got {self.heat_low} and {self.heat_high}; change one.")


@dataclass(frozen=True, kw_only=True)
class ProposalConfig(Settings):
    """Where mask proposals come from (`kind` to `mask_nms_iou`), and how they are matched with the coarse mask (MPM:
    `rule`, `match`, `unmatched`).
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
    rule: Literal["iou", "cover", "agreement"] = setting(
        "iou",
        help="Which proposals match: those whose IoU with the whole coarse mask is high enough (iou, the paper; one "
        "object among several that sound cannot match), those that the coarse mask covers (cover), or those whose "
        "mean heat is near that of the best one, which always matches (agreement).",
        option=True,
    )
    match: float = setting(
        0.5,
        help="What the rule's measure must be above; every rule has a default of its own.",
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
        """The fields that a result depends on, as JSON values: those of another kind are left out."""
        if self.kind == "none":
            return {"kind": self.kind}
        other = GRID_FIELDS if self.kind == "boxes" else BOX_FIELDS
        return {name: value for name, value in self.to_json().items() if name not in other}
