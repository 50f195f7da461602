"""SAM-BIND: SAM's masks of whatever lies under a grid of points, and those that ImageBind hears in the sound.

Source: MoCA (arXiv 2403.14203), section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moca.baselines.filtering import CROPS, SoundFilter, cut_masks, nothing_agrees
from moca.baselines.loading import Card
from moca.baselines.ranges import check_counts, check_numbers
from moca.baselines.training_free import Regions, TrainingFree, TrainingFreeConfig
from moca.core.step import Step
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.roles import MaskPredictor
from moca.foundation.sam.grid import GridConfig, masks_from_grid


@dataclass(frozen=True, kw_only=True)
class SamBindConfig(TrainingFreeConfig):
    """Settings of SAM-BIND; the defaults are the paper's where it names them, else those of SAM's mask generator."""

    points_per_side: int = 32
    """Points of the grid along each side of the frame."""
    pred_iou: float = 0.88
    """Smallest IoU that SAM expects a mask to have, in [0, 1]."""
    stability: float = 0.95
    """Smallest IoU of a mask with itself at a higher and a lower threshold, in [0, 1]."""
    nms_iou: float = 0.5
    """Of two masks whose boxes' IoU is above this, the better is kept; the paper's 0.5."""
    min_area: int = 0
    """Masks of fewer pixels of the resized frame are dropped."""
    bind_threshold: float = 0.7
    """Smallest cosine of a mask's crop with the sound, in [-1, 1]; the paper's tau_BIND 0.7."""
    crop: str = "masked"
    """How a mask is cut out: "masked" alone, all else in its box painted over; "box" with what is around it."""
    margin: float = 0.0
    """Share of the sides of a mask's box that its crop has more on every side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, 1, 128, "points_per_side")
        check_counts(self, 0, self.side**2, "min_area")
        check_numbers(self, 0, 1, pred_iou=None, stability=None, nms_iou=0.5, margin=None)
        check_numbers(self, -1, 1, bind_threshold=0.7)
        if self.crop not in CROPS:
            raise InputError(f"crop must be one of {', '.join(CROPS)}, got {self.crop!r}; choose one of them.")


class SamBind(TrainingFree):
    """Masks that agree with the sound; score: the best cosine of the frame's masks."""

    name = "sam-bind"
    config_class = SamBindConfig
    roles = ("encoder", "masks")

    def __init__(self, config: SamBindConfig, card: Card, *, encoder: ImageBind, masks: MaskPredictor) -> None:
        super().__init__(config, card)
        self.filter, self.masks = SoundFilter(encoder), masks

    def find(self, pictures: list[np.ndarray], steps: list[Step]) -> Iterator[Regions]:
        """See `TrainingFree.find`."""
        config = self.config
        grid = GridConfig(
            points_per_side=config.points_per_side,
            pred_iou=config.pred_iou,
            stability=config.stability,
            nms_iou=config.nms_iou,
            min_area=config.min_area,
        )
        for picture, sound in zip(pictures, self.filter.hear(steps), strict=True):
            (encoded,) = self.masks.encode([picture])
            masks = masks_from_grid(self.masks, encoded, picture.shape[:2], grid).masks
            if not len(masks):
                yield Regions.none("no mask of the grid is good enough to be looked at")
                continue
            cosines = self.filter.cosines(cut_masks(picture, masks, crop=config.crop, margin=config.margin), sound)
            best, kept = float(cosines.max()), cosines >= config.bind_threshold
            if kept.any():
                yield Regions(masks=masks[kept], scores=cosines[kept], score=best)
            else:
                yield Regions.none(nothing_agrees(best, config.bind_threshold), best)
