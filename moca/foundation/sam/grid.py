"""Masks of everything in a frame: SAM asked at every point of a grid, and what survives its own judgement.

The defaults are those of Segment Anything's automatic mask generator, on the whole frame (its crops are off by default,
too). Source: Kirillov et al., Segment Anything, ICCV 2023, appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moca.core.maps import mask_boxes
from moca.core.settings import Settings, setting
from moca.foundation.boxes import nms
from moca.foundation.roles import MaskPredictor, Masks
from moca.foundation.sam.prompted import STABILITY_OFFSET


@dataclass(frozen=True, kw_only=True)
class GridConfig(Settings):
    """How a frame is asked, and which masks are kept."""

    points_per_side: int = setting(32, help="Points along either side of the frame.", least=1)
    points_per_batch: int = setting(64, help="Points decoded together; it changes memory, not results.", least=1)
    pred_iou: float = setting(0.88, help="Masks must have a higher predicted IoU; 0 keeps all.", least=0, most=1)
    stability: float = setting(0.95, help="Masks must be at least as stable.", least=0, most=1)
    stability_offset: float = setting(
        STABILITY_OFFSET,
        help="How far up and down the threshold on logits is moved to measure stability.",
        least=0,
    )
    nms_iou: float = setting(
        0.7,
        help="Of two masks whose boxes overlap more, the one with the higher predicted IoU is kept.",
        least=0,
        most=1,
    )
    min_area: int = setting(0, help="Masks of fewer pixels are dropped, empty ones always.", least=0)


def masks_from_grid(
    predictor: MaskPredictor, encoded: Any, size: tuple[int, int], config: GridConfig | None = None
) -> Masks:
    """The masks of a frame that SAM is sure of, none twice, best predicted IoU first.

    encoded: the frame, as `predictor.encode` returned it. size: (H, W) of the frame. Each batch of points is filtered
    before the next is asked, and what is kept meanwhile takes one bit a pixel. Nothing kept gives empty Masks.
    """
    config = config or GridConfig()
    height, width = size
    points = grid_points(config.points_per_side, size)
    # Any predictor measures stability as the original does; only another offset has to be asked for.
    options = {} if config.stability_offset == STABILITY_OFFSET else {"stability_offset": config.stability_offset}
    packed, boxes, scores, stability = [], [], [], []
    for start in range(0, len(points), config.points_per_batch):
        answers = predictor.from_points(encoded, points[start : start + config.points_per_batch], **options)
        good = _good(answers, config)
        masks = answers.masks[good]
        packed.append(np.packbits(masks.reshape(len(masks), height * width), axis=1))
        boxes.append(mask_boxes(masks))
        scores.append(answers.scores[good])
        stability.append(answers.stability[good])
    scores, stability = np.concatenate(scores), np.concatenate(stability)
    best = np.asarray(nms(np.concatenate(boxes), scores, config.nms_iou), np.int64)
    bits = np.unpackbits(np.concatenate(packed)[best], axis=1, count=height * width)
    return Masks(
        masks=bits.reshape(len(best), height, width).astype(bool), scores=scores[best], stability=stability[best]
    )


def grid_points(per_side: int, size: tuple[int, int]) -> np.ndarray:
    """Centres of per_side x per_side equal cells of a frame of (H, W): (N, 2) x and y float32, row by row."""
    height, width = size
    centres = (np.arange(per_side) + 0.5) / per_side
    x, y = np.meshgrid(centres * width, centres * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def _good(answers: Masks, config: GridConfig) -> np.ndarray:
    """Which masks pass, (N,) bool."""
    area = answers.masks.sum((1, 2))
    good = (area >= max(config.min_area, 1)) & (answers.stability >= config.stability)
    return good & (answers.scores > config.pred_iou) if config.pred_iou > 0 else good
