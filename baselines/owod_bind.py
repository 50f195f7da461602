"""OWOD-BIND: boxes of whatever is an object, those that ImageBind hears in the sound, and SAM's masks of them.

Source: MoCA (arXiv 2403.14203), section 4.1. Its detector (Maaz et al., ECCV 2022) cannot be fetched by a program;
here it is OWLv2's objectness, whose scores are not those of that detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moca.baselines.filtering import SoundFilter, cut_boxes, nothing_agrees
from moca.baselines.loading import Card
from moca.baselines.training_free import Regions, TrainingFree, TrainingFreeConfig
from moca.core.settings import setting
from moca.core.step import Step
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.roles import MaskPredictor, ObjectDetector


@dataclass(frozen=True, kw_only=True)
class OwodBindConfig(TrainingFreeConfig):
    """Settings of OWOD-BIND; the defaults are the paper's where it names them."""

    box_threshold: float = setting(
        0.5, help="Smallest objectness of a box; the paper's tau_BB.", least=0, most=1, hint="the paper uses 0.5"
    )
    bind_threshold: float = setting(
        0.7,
        help="Smallest cosine of a box's crop with the sound; the paper's tau_BIND.",
        least=-1,
        most=1,
        hint="the paper uses 0.7",
    )
    box_limit: int = setting(100, help="Most boxes of a frame, the best ones.", least=1, most=1000)
    box_nms_iou: float = setting(0.7, help="Of two boxes whose IoU is above this, the better is kept.", least=0, most=1)
    margin: float = setting(0.0, help="Share of a box's sides that its crop has more on every side.", least=0, most=1)


class OwodBind(TrainingFree):
    """Objects that agree with the sound; score: the best cosine of the frame's boxes."""

    name = "owod-bind"
    config_class = OwodBindConfig
    roles = ("encoder", "objects", "masks")

    def __init__(
        self, config: OwodBindConfig, card: Card, *, encoder: ImageBind, objects: ObjectDetector, masks: MaskPredictor
    ) -> None:
        super().__init__(config, card)
        self.filter, self.objects, self.masks = SoundFilter(encoder), objects, masks

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
            cosines = self.filter.cosines(cut_boxes(picture, frame_boxes.xyxy, config.margin), sound)
            yield self._agreeing(picture, frame_boxes.xyxy, cosines)

    def _agreeing(self, picture: np.ndarray, xyxy: np.ndarray, cosines: np.ndarray) -> Regions:
        """Masks of the boxes (N, 4) whose cosine (N,) is high enough."""
        best, agreeing = float(cosines.max()), cosines >= self.config.bind_threshold
        if not agreeing.any():
            return Regions.none(nothing_agrees(best, self.config.bind_threshold), best)
        (encoded,) = self.masks.encode([picture])
        return Regions(masks=self.masks.from_boxes(encoded, xyxy[agreeing]).masks, scores=cosines[agreeing], score=best)
