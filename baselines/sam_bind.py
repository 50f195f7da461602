"""SAM-BIND: SAM's masks of whatever lies under a grid of points, and those that ImageBind hears in the sound.

Source: MoCA (arXiv 2403.14203), section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moca.baselines.binding import RELATIVE, BindingConfig, Crop, bank_of, bound, cut_out
from moca.baselines.filtering import SoundFilter
from moca.baselines.loading import Card
from moca.baselines.training_free import Regions, TrainingFree
from moca.core.settings import setting
from moca.core.step import Step
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.roles import MaskPredictor
from moca.foundation.sam.grid import GridConfig, masks_from_grid


@dataclass(frozen=True, kw_only=True)
class SamBindConfig(BindingConfig):
    """Settings of SAM-BIND; the defaults are the paper's where it names them, else those of SAM's mask generator."""

    points_per_side: int = setting(32, help="Points of the grid along each side of the frame.", least=1, most=128)
    pred_iou: float = setting(0.88, help="Smallest IoU that SAM expects a mask to have.", least=0, most=1)
    stability: float = setting(
        0.95, help="Smallest IoU of a mask with itself at a higher and a lower threshold.", least=0, most=1
    )
    nms_iou: float = setting(
        0.5,
        help="Of two masks whose boxes' IoU is above this, the better is kept; the paper's 0.5.",
        least=0,
        most=1,
        hint="the paper uses 0.5",
    )
    min_area: int = setting(0, help="Masks of fewer pixels of the resized frame are dropped.", least=0)
    crop: Crop = setting(
        "masked",
        help="How a mask is cut out: alone, all else painted over (masked), with what is around it (box), or with what "
        "is around it blurred and pale (surround).",
    )
    margin: float = setting(
        0.0,
        help="Share of the sides of a mask's box that its crop has more on every side; not under surround.",
        least=0,
        most=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_area > self.side**2:
            raise InputError(
                f"min_area must be at most the {self.side**2} pixels of the resized frame, got {self.min_area}."
            )


class SamBind(TrainingFree):
    """Masks that agree with the sound; score: the best cosine, or relative score, of the frame's masks."""

    name = "sam-bind"
    config_class = SamBindConfig
    roles = ("encoder", "masks")
    unscaled = RELATIVE

    def __init__(self, config: SamBindConfig, card: Card, *, encoder: ImageBind, masks: MaskPredictor) -> None:
        super().__init__(config, card)
        self.filter, self.masks = SoundFilter(encoder, bank_of(encoder, config, card)), masks

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
            crops = cut_out(picture, masks, config.crop, config.margin, self.filter.image_size)
            yield bound(self.filter, crops, masks, sound, config)
