"""Where mask proposals come from: boxes of an object detector, or a grid of points, turned into masks.

Which of them match a coarse mask is in `mpm`. Shapes: N proposals of one frame, H x W the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from moca.core.maps import window_of
from moca.errors import InputError
from moca.foundation.roles import MaskPredictor, Masks, ObjectDetector
from moca.segmentation.config import ProposalConfig


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
        prompted = [index for index, xyxy in enumerate(boxes) if xyxy is None or len(xyxy)]
        encoded = self.masks.encode([frames[index] for index in prompted]) if prompted else []
        waiting = dict(zip(prompted, encoded, strict=True))
        del encoded  # a frame's encoding is let go once its masks are made
        for index, (frame, xyxy) in enumerate(zip(frames, boxes, strict=True)):
            size = frame.shape[:2]
            if index not in waiting:
                yield no_masks(size)
            elif xyxy is None:
                yield distinct(self._from_grid(waiting.pop(index), size), self.config.mask_nms_iou)
            else:
                yield distinct(self.masks.from_boxes(waiting.pop(index), xyxy), self.config.mask_nms_iou)

    def _boxes(self, frames: Sequence[np.ndarray]) -> list[np.ndarray | None]:
        """Boxes (N, 4) of every frame; all None where the grid is used."""
        if self.config.kind == "grid" or not len(frames):
            return [None] * len(frames)
        settings = {"threshold": self.config.box_threshold, "limit": self.config.box_limit}
        return [boxes.xyxy for boxes in self.objects.detect(frames, nms_iou=self.config.box_nms_iou, **settings)]

    def _from_grid(self, encoded: Any, size: tuple[int, int]) -> Masks:
        from moca.foundation.sam.grid import GridConfig, masks_from_grid

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


def distinct(masks: Masks, iou: float) -> Masks:
    """Masks best first, without empty ones; of two whose IoU is above `iou` the better, or else the first, stays."""
    areas = np.array([np.count_nonzero(mask) for mask in masks.masks], np.int64)
    order = np.argsort(-masks.scores, kind="stable")
    order = order[areas[order] > 0]
    windows = np.array([window_of(masks.masks[i]) if areas[i] else (0, 0, 0, 0) for i in range(len(masks))])
    chosen: list[int] = []
    for i in order.tolist():
        rivals = np.array(chosen, np.int64)
        if not len(rivals) or not _repeats(masks.masks, areas, windows, i, rivals, iou):
            chosen.append(i)
    return Masks(masks=masks.masks[chosen], scores=masks.scores[chosen], stability=masks.stability[chosen])


def _repeats(masks: np.ndarray, areas: np.ndarray, windows: np.ndarray, i: int, rivals: np.ndarray, iou: float) -> bool:
    """Whether mask i has an IoU above `iou` with one of its rivals; pixels are compared only where windows allow it."""
    low = np.maximum(windows[rivals, :2], windows[i, :2])
    high = np.minimum(windows[rivals, 2:], windows[i, 2:])
    most = np.minimum(np.clip(high - low, 0, None).prod(1), np.minimum(areas[rivals], areas[i]))
    possible = most > iou * np.maximum(areas[rivals], areas[i])
    for rival, (top, left), (bottom, right) in zip(rivals[possible], low[possible], high[possible], strict=True):
        window = np.s_[top:bottom, left:right]
        shared = np.count_nonzero(masks[i][window] & masks[rival][window])
        if shared > iou * (areas[i] + areas[rival] - shared):
            return True
    return False
