"""OWOD-BIND: boxes of whatever is an object, those that ImageBind hears in the sound, and SAM's masks of them.

Source: MoCA (arXiv 2403.14203), section 4.1. Its detector (Maaz et al., ECCV 2022) cannot be fetched by a program;
here it is OWLv2's objectness, whose scores are not those of that detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from moca.baselines.binding import RELATIVE, BindingConfig, Crop, bank_of, bound, cut_out
from moca.baselines.filtering import SoundFilter, cut_boxes
from moca.baselines.loading import Card
from moca.baselines.training_free import Regions, TrainingFree
from moca.core.settings import setting
from moca.core.step import Step
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.roles import MaskPredictor, ObjectDetector


@dataclass(frozen=True, kw_only=True)
class OwodBindConfig(BindingConfig):
    """Settings of OWOD-BIND; the defaults are the paper's where it names them."""

    box_threshold: float = setting(
        0.5, help="Smallest objectness of a box; the paper's tau_BB.", least=0, most=1, hint="the paper uses 0.5"
    )
    box_limit: int = setting(100, help="Most boxes of a frame, the best ones.", least=1, most=1000)
    box_nms_iou: float = setting(0.7, help="Of two boxes whose IoU is above this, the better is kept.", least=0, most=1)
    crop: Crop = setting(
        "box",
        help="How a box is cut out: as it is (box, the paper), or SAM's mask of it, all else painted over (masked) or "
        "blurred and pale (surround).",
    )
    margin: float = setting(
        0.0, help="Share of a box's sides that its crop has more on every side; not under surround.", least=0, most=1
    )


class OwodBind(TrainingFree):
    """Objects that agree with the sound; score: the best cosine, or relative score, of the frame's boxes."""

    name = "owod-bind"
    config_class = OwodBindConfig
    roles = ("encoder", "objects", "masks")
    unscaled = RELATIVE

    def __init__(
        self, config: OwodBindConfig, card: Card, *, encoder: ImageBind, objects: ObjectDetector, masks: MaskPredictor
    ) -> None:
        super().__init__(config, card)
        self.filter, self.objects, self.masks = SoundFilter(encoder, bank_of(encoder, config, card)), objects, masks

    def find(self, pictures: list[np.ndarray], steps: list[Step]) -> Iterator[Regions]:
        """See `TrainingFree.find`."""
        config = self.config
        boxes = self.objects.detect(
            pictures, threshold=config.box_threshold, limit=config.box_limit, nms_iou=config.box_nms_iou
        )
        for picture, frame_boxes, sound in zip(pictures, boxes, self.filter.hear(steps), strict=True):
            if not len(frame_boxes):
                yield Regions.none(f"no box reaches {config.box_threshold:.2f}")
                continue
            yield self._bound(picture, frame_boxes.xyxy, sound)

    def _bound(self, picture: np.ndarray, xyxy: np.ndarray, sound: Tensor) -> Regions:
        """Masks of the boxes (N, 4) that agree with a sound. Where boxes are judged by themselves, only their masks are
        made."""
        config = self.config
        if config.crop != "box":
            (encoded,) = self.masks.encode([picture])
            masks = self.masks.from_boxes(encoded, xyxy).masks
            if not (masks := masks[masks.any((1, 2))]).size:
                return Regions.none("no box has a mask")
            crops = cut_out(picture, masks, config.crop, config.margin, self.filter.image_size)
            return bound(self.filter, crops, masks, sound, config)
        numbers = np.arange(len(xyxy))  # stand for the masks, which need not be made yet
        found = bound(self.filter, cut_boxes(picture, xyxy, config.margin), numbers, sound, config)
        if found.reason is not None:
            return found
        (encoded,) = self.masks.encode([picture])
        return replace(found, masks=self.masks.from_boxes(encoded, xyxy[found.masks]).masks)
