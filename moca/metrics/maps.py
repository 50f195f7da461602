"""Boxes and heat maps as pixels: what the localisation metrics compare.

A heat map is (H, W), finite, higher where the sound is. A ground-truth map is (H, W) in [0, 1], 0 where nothing
sounds, 0.5 where annotators disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from moca.errors import InputError

SIZE = 224
"""Height and width at which everything is compared."""


def box_map(boxes: np.ndarray, size: int | tuple[int, int] = SIZE) -> np.ndarray:
    """Union of boxes as a bool map of size (height, width), or of a square's side.

    boxes: (K, 4) of xmin, ymin, xmax, ymax in 0..1, K may be 0. Clipped to 0..1, multiplied by size, cut to whole
    pixels; the last row and column are outside. Degenerate boxes cover nothing: VGG-SS has 18, some at -2.88e16.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise InputError(
            f"boxes must be (K, 4) finite numbers, xmin, ymin, xmax, ymax in 0..1, got shape {boxes.shape}; "
            "divide pixels by the frame's width and height."
        )
    height, width = (size, size) if isinstance(size, int) else size
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in (boxes.clip(0, 1) * (width, height, width, height)).astype(int):
        covered[top:bottom, left:right] = True
    return covered


def consensus_map(annotators: Sequence[np.ndarray], size: int = SIZE) -> np.ndarray:
    """Flickr-SoundNet's ground truth, (size, size) float32: 1 where two or more annotators agree, 0.5 for one.

    annotators: the boxes of each, as for `box_map`; its files hold pixels of 256, to be divided by 256.
    """
    votes = sum((box_map(boxes, size).astype(np.float32) for boxes in annotators), np.zeros((size, size), np.float32))
    return np.minimum(votes / 2, 1)


def resize_heat(heat: np.ndarray, size: int = SIZE) -> np.ndarray:
    """A heat map of any size as (size, size) float32: bilinear, corner on corner, as in EZ-VSL's test."""
    heat = checked_heat(heat)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(heat, dtype=np.float32))[None, None],
        size=(size, size),
        mode="bilinear",
        align_corners=True,
    )
    return resized[0, 0].numpy()


def top_half(heat: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels at or above the value at place HW // 2 of the sorted map; EZ-VSL's decision.

    Only the ranking counts, so the min-max normalisation of the official code is left out. At least half of the
    picture is always chosen, and every pixel of a map whose lower half is equal: a mask that covers less than half
    scores like an empty one. Give this metric heat maps, not masks.
    """
    middle = heat.size // 2
    return heat >= np.partition(heat, middle, axis=None)[middle]


def ciou(heat: np.ndarray, truth: np.ndarray) -> float:
    """EZ-VSL's consensus IoU of a map's top half; best 1, worst 0, and 0 where the ground truth is empty.

    The chosen pixels weighted with the ground truth, over all ground truth and the chosen pixels outside of it.
    """
    heat, truth = checked_pair(heat, truth)
    return ciou_of(top_half(heat), truth)


def highest_ciou(truth: np.ndarray) -> float:
    """The cIoU of the best heat map that there can be for a ground truth (H, W) in [0, 1]; 0 for an empty one.

    Below 1 where less than half of the picture sounds, as half of it is chosen anyway; see `top_half`.
    """
    total, marked = truth.sum(dtype=np.float64), np.count_nonzero(truth)
    least = truth.size - truth.size // 2
    return float(total / (total + max(0, least - marked))) if marked else 0.0


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Area under precision over recall when pixels are accepted from the highest score down; best 1.

    truth: true where non-zero, of scores' shape; 0 if nothing is. Equal scores are accepted together; no
    interpolation (the same number as scikit-learn's, without its checks).
    """
    order = np.argsort(scores, axis=None)[::-1]
    hits = np.cumsum(np.ravel(truth)[order] != 0)
    if not hits[-1]:
        return 0.0
    ends = np.append(np.flatnonzero(np.diff(np.ravel(scores)[order])), len(order) - 1)
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float((np.diff(recall, prepend=0) * precision).sum())


def ciou_of(chosen: np.ndarray, truth: np.ndarray) -> float:
    """`ciou` of a decision, (H, W) bool, and a ground truth that may be bool; 0 where both are empty."""
    hits = truth[chosen].sum(dtype=np.float64)
    whole = truth.sum(dtype=np.float64) + np.count_nonzero(chosen & (truth == 0))
    return float(hits / whole) if whole else 0.0


def checked_heat(heat: np.ndarray) -> np.ndarray:
    """A heat map as an array, or InputError."""
    heat = np.asarray(heat)
    if heat.ndim != 2 or heat.size == 0 or not np.isfinite(heat).all():
        raise InputError(
            f"a heat map must be (height, width) finite numbers with at least one pixel, got shape {heat.shape} with "
            f"{np.count_nonzero(~np.isfinite(heat))} others; pass one frame's map."
        )
    return heat


def checked_pair(heat: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A heat map and a ground-truth map of the same size as arrays, or InputError."""
    heat, truth = checked_heat(heat), np.asarray(truth)
    if heat.shape != truth.shape:
        raise InputError(
            f"a heat map must be as large as its ground truth, got {heat.shape} and {truth.shape}; "
            "bring it there with resize_heat()."
        )
    low, high = truth.min(), truth.max()
    if not (low >= 0 and high <= 1):
        raise InputError(f"a ground-truth map must be in [0, 1], got {low:.4g} to {high:.4g}; use box_map() or divide.")
    return heat, truth
