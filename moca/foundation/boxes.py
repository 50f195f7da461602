"""Boxes as arrays: overlap, non-maximum suppression, centres to corners, cut to the frame.

Boxes are (N, 4): x0, y0, x1, y1, corners anywhere on the continuous plane, so that a box covers (x1 - x0) * (y1 - y0)
and two boxes that only touch do not overlap.
"""

from __future__ import annotations

import cv2
import numpy as np

from moca.errors import InputError


def area(xyxy: np.ndarray) -> np.ndarray:
    """Areas (N,) of boxes (N, 4), float64; 0 for a box whose corners are crossed."""
    xyxy = _checked(xyxy)
    return np.prod((xyxy[:, 2:] - xyxy[:, :2]).clip(min=0), axis=1)


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of a (N, 4) with every one of b (M, 4): (N, M) float64 in [0, 1].

    A box without area overlaps nothing, not even itself.
    """
    a, b = _checked(a), _checked(b)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = np.prod(sides.clip(min=0), axis=2)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def nms(xyxy: np.ndarray, scores: np.ndarray, iou: float) -> np.ndarray:
    """Indices of the boxes that are left when the better of any two that overlap is kept, best first, int64.

    xyxy (N, 4); scores (N,), of any sign; of equal scores the first counts as better. iou: the largest overlap, in
    [0, 1], that two kept boxes may have; 1 keeps all. Overlaps are rounded to float32 before they are compared.
    """
    xyxy, scores = _checked(xyxy), np.asarray(scores)
    if scores.shape != xyxy.shape[:1]:
        raise InputError(f"scores must be one a box, ({len(xyxy)},), got {scores.shape}; pass those of these boxes.")
    if not 0 <= iou <= 1:
        raise InputError(f"iou must be from 0 to 1, got {iou}; change it.")
    order = np.argsort(-scores, kind="stable")
    # OpenCV drops scores of 0 and takes all boxes without area for the same one, so it is given ranks, which order
    # just as well, and no such boxes.
    full = area(xyxy[order]) > 0
    chosen, rows = ~full, np.flatnonzero(full)
    if len(rows):
        candidates = xyxy[order][rows]
        sides = np.concatenate([candidates[:, :2], candidates[:, 2:] - candidates[:, :2]], axis=1)
        ranks = np.arange(len(rows), 0, -1, dtype=np.float32)
        chosen[rows[np.asarray(cv2.dnn.NMSBoxes(sides, ranks, 0.0, iou)).reshape(-1)]] = True
    return order[chosen]


def corners(cxcywh: np.ndarray) -> np.ndarray:
    """Boxes given as centre x, centre y, width and height (..., 4) as corners x0, y0, x1, y1 of the same shape."""
    centre, half = cxcywh[..., :2], cxcywh[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def cut_to_frame(xyxy: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) cut to a frame of height x width pixels, float32, and (N,) bool: which have area left in it."""
    cut = np.clip(_checked(xyxy), 0, (width, height, width, height)).astype(np.float32)
    return cut, area(cut) > 0


def _checked(xyxy: np.ndarray) -> np.ndarray:
    xyxy = np.asarray(xyxy, dtype=np.float64)
    if xyxy.ndim != 2 or xyxy.shape[1] != 4:
        raise InputError(f"boxes must be of shape (N, 4), got {xyxy.shape}; pass x0, y0, x1, y1 of each.")
    return xyxy
