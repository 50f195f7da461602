"""Settings of segmentation: how features become a mask, and where mask proposals come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from moca.errors import InputError

CLUSTER_RULES = ("best", "ratio", "otsu")
SOUNDING_RULES = (*CLUSTER_RULES, "level")
KINDS = ("none", "boxes", "grid")
OVERLAPS = ("iou", "cover")
RULES = (*OVERLAPS, "agreement")
MATCH = {"iou": 0.5, "cover": 0.5, "agreement": 0.7}
"""What each rule's measure must be above where nothing else is said: the paper's for IoU, and what did best on
validation frames of Soundstage for the others."""
UNMATCHED = ("coarse", "empty")
BOX_FIELDS = ("box_threshold", "box_limit", "box_nms_iou")
GRID_FIELDS = ("points_per_side", "pred_iou", "stability", "grid_nms_iou")


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How patch features become a mask."""

    clusters: int = 4
    """k of the cosine k-means; the paper does not give it."""
    sounding: str = "otsu"
    """Which clusters sound: "best" the one that agrees most with the audio, "ratio" every one within `ratio` of
    it, "otsu" every one whose mean agreement is above the Otsu threshold of the frame's patches; or, without clusters,
    "level": every pixel that agrees by at least `level`."""
    ratio: float = 0.75
    """Share of the best cluster's agreement that another one needs under the rule "ratio"."""
    level: float = 0.5
    """Agreement from which a pixel sounds under the rule "level": a probability where the adapters have a read-out,
    else a cosine."""
    refine: bool = False
    """Snap the mask to the frame's edges (GrabCut)."""
    silence_dbfs: float = -60.0
    """A step whose RMS level is below this is silent."""
    gate: float = 0.0
    """Smallest support (mean of the highest cosines) at which a region is believed to make the sound; calibrated
    per model, without labels."""
    gate_frozen: float = -1.0
    """Smallest presence of the sound in the picture by the frozen encoder alone, which the adapters' read-out cannot
    change; -1 leaves it out."""
    mirror: bool = False
    """Average the features of the frame and of its mirror image, for twice the time."""
    heat_low: float = 0.0
    """Cosine that the heat map shows as 0."""
    heat_high: float = 1.0
    """Cosine that the heat map shows as 1."""
    seed: int = 0
    """Seed of the k-means."""

    def __post_init__(self) -> None:
        if not 1 <= self.clusters <= 64:
            raise InputError(f"clusters must be between 1 and 64, got {self.clusters}; 4 suits most frames.")
        if self.sounding not in SOUNDING_RULES:
            raise InputError(f"sounding must be one of {', '.join(SOUNDING_RULES)}, got {self.sounding!r}.")
        if not 0 < self.ratio <= 1:
            raise InputError(f"ratio must be above 0 and at most 1, got {self.ratio}.")
        if not -1 <= self.level <= 1:
            raise InputError(f"level must be between -1 and 1, got {self.level}.")
        if not self.silence_dbfs <= 0:
            raise InputError(f"silence_dbfs must be at most 0 (full scale), got {self.silence_dbfs}.")
        for name in ("gate", "gate_frozen"):
            if not -1 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name} must be between -1 and 1, got {value}.")
        if not self.heat_low < self.heat_high:
            raise InputError(f"heat_low must be below heat_high, got {self.heat_low} and {self.heat_high}.")


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """Where mask proposals come from, which of them match, and what is done where none does."""

    kind: str = "none"
    """"none": the coarse mask is the result; "boxes": one mask for each box that an object detector finds without
    words (the paper); "grid": masks of whatever lies under a grid of points, for which no detector is needed."""
    box_threshold: float = 0.1
    """Smallest score of a box, in [0, 1]."""
    box_limit: int = 100
    """Most boxes of a frame, the best ones; each costs H x W bytes until the frame is done."""
    box_nms_iou: float = 0.7
    """Of two boxes whose IoU is above this, the detector keeps the better."""
    points_per_side: int = 32
    """Points of the grid along each side of the frame."""
    pred_iou: float = 0.88
    """Smallest IoU that the mask predictor expects a mask of the grid to have, in [0, 1]."""
    stability: float = 0.95
    """Smallest IoU of a mask of the grid with itself at a higher and a lower threshold, in [0, 1]."""
    grid_nms_iou: float = 0.7
    """Of two masks of the grid whose boxes' IoU is above this, the better is kept."""
    mask_nms_iou: float = 0.9
    """Of two proposals whose IoU is above this, the better is kept; 1 keeps all."""
    rule: str = "iou"
    """"iou": the IoU of the proposal and the coarse mask must be above `match` (the paper). The whole coarse mask is
    meant, never one of its segments, so one object among several that sound cannot match. "cover": the coarse mask
    must cover more than the share `match` of the proposal; then each of several sounding objects can match, and so
    can any part of an object that is a proposal of its own. "agreement": the proposal's mean heat must be more than
    the share `match` of what the best proposal of the frame has; the coarse mask's border plays no part, and the best
    proposal always matches."""
    match: float = 0.5
    """What the rule's measure must be above, at least 0 and below 1; the paper's 0.5, see `MATCH` for other rules."""
    unmatched: str = "coarse"
    """Where no proposal matches, "coarse": the coarse mask is the result; "empty": nothing sounds, with a reason."""

    def __post_init__(self) -> None:
        for name, choices in (("kind", KINDS), ("rule", RULES), ("unmatched", UNMATCHED)):
            if (value := getattr(self, name)) not in choices:
                shown = "proposals" if name == "kind" else name
                raise InputError(f"{shown} must be one of {', '.join(choices)}, got {value!r}.")
        for name in ("box_threshold", "box_nms_iou", "pred_iou", "stability", "grid_nms_iou", "mask_nms_iou"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name} must be between 0 and 1, got {value}.")
        for name, most in (("box_limit", 1000), ("points_per_side", 128)):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"{name} must be a whole number between 1 and {most}, got {value}.")
        if not 0 <= self.match < 1:
            raise InputError(f"match must be at least 0 and below 1, got {self.match}; the paper uses 0.5.")

    def used(self) -> dict[str, Any]:
        """The fields that a result depends on, as JSON values: those of another kind are left out."""
        if self.kind == "none":
            return {"kind": self.kind}
        other = GRID_FIELDS if self.kind == "boxes" else BOX_FIELDS
        return {name: value for name, value in asdict(self).items() if name not in other}
