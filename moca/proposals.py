"""Mask proposals, and which of them a coarse mask matches: the paper's mask proposal matching (MPM).

Shapes: N proposals of one frame, H x W the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from moca.errors import InputError
from moca.foundation.roles import MaskPredictor, Masks, ObjectDetector

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


class Proposer:
    """Frames to mask proposals.

    config: of kind "boxes" or "grid". masks: what turns prompts into masks. objects: what finds boxes, for "boxes".
    """

    def __init__(self, config: ProposalConfig, masks: MaskPredictor, objects: ObjectDetector | None = None) -> None:
        if config.kind == "none":
            raise InputError("a proposer needs proposals boxes or grid, got none; leave the proposer out.")
        if config.kind == "boxes" and objects is None:
            raise InputError("proposals boxes need an object detector, got none; give one, or use grid.")
        self.config, self.masks, self.objects = config, masks, objects

    def propose(self, frames: Sequence[np.ndarray]) -> list[Masks]:
        """Masks of every frame, best first by the IoU they are expected to have; none empty, no near-duplicates.

        frames: RGB uint8 (H, W, 3), of any sizes. Masks have their frame's size; there may be none.
        """
        return list(self.each(frames))

    def each(self, frames: Sequence[np.ndarray]) -> Iterator[Masks]:
        """What `propose` returns, frame by frame: all are looked at in batches, but one's masks are held at a time."""
        boxes = self._boxes(frames)
        asked = [at for at, found in enumerate(boxes) if found is None or len(found)]
        encoded = dict(zip(asked, self.masks.encode([frames[at] for at in asked]) if asked else [], strict=True))
        for at, (frame, found) in enumerate(zip(frames, boxes, strict=True)):
            size = frame.shape[:2]
            if at not in encoded:
                yield no_masks(size)
            elif found is None:
                yield distinct(self._from_grid(encoded.pop(at), size), self.config.mask_nms_iou)
            else:
                yield distinct(self.masks.from_boxes(encoded.pop(at), found), self.config.mask_nms_iou)

    def _boxes(self, frames: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """Boxes (N, 4) of every frame; None for each where the grid is used."""
        if self.config.kind == "grid" or not len(frames):
            return [None] * len(frames)
        settings = {"threshold": self.config.box_threshold, "limit": self.config.box_limit}
        return [found.xyxy for found in self.objects.detect(frames, nms_iou=self.config.box_nms_iou, **settings)]

    def _from_grid(self, encoded: Any, size: tuple[int, int]) -> Masks:
        from moca.foundation.sam_grid import GridConfig, masks_from_grid

        config = GridConfig(
            points_per_side=self.config.points_per_side,
            pred_iou=self.config.pred_iou,
            stability=self.config.stability,
            nms_iou=self.config.grid_nms_iou,
        )
        return masks_from_grid(self.masks, encoded, size, config)


def no_masks(size: tuple[int, int]) -> Masks:
    """No masks of a frame of size (H, W)."""
    return Masks(masks=np.zeros((0, *size), bool), scores=np.zeros(0, np.float32), stability=np.zeros(0, np.float32))


def distinct(found: Masks, iou: float) -> Masks:
    """Masks best first, without empty ones; of two whose IoU is above `iou` the better, or else the first, stays."""
    areas = np.array([np.count_nonzero(mask) for mask in found.masks], np.int64)
    order = np.argsort(-found.scores, kind="stable")
    order = order[areas[order] > 0]
    windows = np.array([_window(found.masks[i]) if areas[i] else (0, 0, 0, 0) for i in range(len(found))])
    kept: list[int] = []
    for i in order.tolist():
        rivals = np.array(kept, np.int64)
        if not len(rivals) or not _repeats(found.masks, areas, windows, i, rivals, iou):
            kept.append(i)
    return Masks(masks=found.masks[kept], scores=found.scores[kept], stability=found.stability[kept])


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
    top, left, bottom, right = _window(coarse)
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


def _repeats(masks: np.ndarray, areas: np.ndarray, windows: np.ndarray, i: int, rivals: np.ndarray, iou: float) -> bool:
    """Whether mask i has an IoU above `iou` with one of its rivals; pixels are compared only where windows allow it."""
    low = np.maximum(windows[rivals, :2], windows[i, :2])
    high = np.minimum(windows[rivals, 2:], windows[i, 2:])
    most = np.minimum(np.clip(high - low, 0, None).prod(1), np.minimum(areas[rivals], areas[i]))
    possible = most > iou * np.maximum(areas[rivals], areas[i])
    for rival, (top, left), (bottom, right) in zip(rivals[possible], low[possible], high[possible], strict=True):
        there = np.s_[top:bottom, left:right]
        shared = np.count_nonzero(masks[i][there] & masks[rival][there])
        if shared > iou * (areas[i] + areas[rival] - shared):
            return True
    return False


def _window(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (the last two exclusive) of the pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
