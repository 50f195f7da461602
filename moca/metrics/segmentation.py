"""AVSBench's S4/MS3 numbers as pure functions: region IoU and the thresholded F-measure.

Source: the official evaluation (OpenNLPLab/AVSBench, utils/utility.py), reproduced to 1e-6 without its 255
passes. Everything is (N, H, W), N frames; scores are float32 in [0, 1]; truth is non-zero where it sounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from moca.errors import InputError

BETA_SQUARED = 0.3
"""Weight of recall in F; the papers write beta = 0.3, the official code has beta squared = 0.3."""
DECISION = 0.5
"""A probability strictly above this is foreground in the hard mask."""


def _official_thresholds(count: int = 255) -> np.ndarray:
    """The official float32 linspace(0, 1 - 1e-10, count), whose last value rounds to 1.0; bit for bit.

    It is filled from both ends with a float32 step and one rounding per value, which i / 254 is not.
    """
    index = np.arange(count)
    step = np.float64(np.float32(1.0) / np.float32(count - 1))
    return np.where(index < count // 2, step * index, 1.0 - step * (count - 1 - index)).astype(np.float32)


THRESHOLDS = _official_thresholds()
THRESHOLDS.setflags(write=False)

# Truncating score * _SCALE gives the right threshold or the one above it, never one below: the scale is a
# hair over 254, more than float32 rounding takes away, so one comparison with the real threshold settles it.
_SCALE = np.float32((len(THRESHOLDS) - 1) * (1 + 2.0**-20))


@dataclass(frozen=True, kw_only=True)
class ThresholdCurves:
    """Precision, recall and F per frame and threshold, each (N, 255) float64 in [0, 1]; 1 is best, 0 worst.

    sounding: (N,) bool, False for frames with empty ground truth, whose rows are all zero.
    """

    precision: np.ndarray
    recall: np.ndarray
    f: np.ndarray
    sounding: np.ndarray


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Sigmoid of logits of any shape, as float32 in [0, 1]; computed in float64 and rounded once."""
    return expit(np.asarray(logits, dtype=np.float64)).astype(np.float32)


def hard_mask(scores: np.ndarray) -> np.ndarray:
    """Foreground where scores > 0.5, strictly: a logit of 0 is background."""
    return np.asarray(scores) > DECISION


def frame_iou(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Official IoU of every frame, (N,) float64; best 1, worst 0.

    pred, truth: (N, H, W). A frame with empty ground truth scores its true-negative fraction: 1 for an empty
    prediction, 0 for an all-ones one, and 0.5 for covering half of it (`frame_iou_plain` gives 0 for that).
    """
    pred, truth = _binary(pred, truth)
    intersection, union, background = _overlap(pred, truth)
    pixels = truth[0].size
    return np.where(truth.any((1, 2)), intersection / (union + 1e-7), background / (pixels + 1e-7))


def mean_iou(pred: np.ndarray, truth: np.ndarray) -> float:
    """Official mIoU of one batch: the mean of `frame_iou` over its frames; best 1, worst 0."""
    return float(frame_iou(pred, truth).mean())


def frame_iou_plain(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU of every frame in the usual sense, (N,) float64; best 1, worst 0.

    Empty ground truth scores 1 if the prediction is empty too and 0 otherwise, however small the false alarm.
    """
    pred, truth = _binary(pred, truth)
    intersection, union, _ = _overlap(pred, truth)
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def frame_f(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F (beta squared 0.3) of the hard mask of every frame, (N,) float64; best 1, worst 0.

    No threshold is searched, so an empty prediction scores 0. NaN for frames with empty ground truth, where
    recall does not exist.
    """
    pred, truth = _binary(pred, truth)
    intersection, _, _ = _overlap(pred, truth)
    _, _, f = _f_of_counts(intersection, pred.sum((1, 2)), truth.sum((1, 2)))
    return np.where(truth.any((1, 2)), f, np.nan)


def mask_areas(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Masked fraction of every frame, (N,) float64 in [0, 1]; pred, truth: (N, H, W), whatever the truth is."""
    return np.asarray(pred).mean((1, 2))


def masked_frames(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether a frame's mask has pixels, (N,) float64 of 0 and 1; pred, truth: (N, H, W), whatever the truth is."""
    return np.asarray(pred).any((1, 2)).astype(np.float64)


def threshold_curves(scores: np.ndarray, truth: np.ndarray) -> ThresholdCurves:
    """Precision, recall and F at the 255 official thresholds (score >= threshold), one pass per frame.

    scores: (N, H, W) in [0, 1], rounded to float32 first; truth: (N, H, W). Every frame is sorted into a
    histogram with one bin per threshold; sums from the top give all 255 comparisons at once, ties included.
    Raises InputError for shapes that differ or scores outside [0, 1] (NaN included).
    """
    scores, truth = _checked(np.asarray(scores, dtype=np.float32), truth)
    low, high = scores.min(), scores.max()
    if not (low >= 0 and high <= 1):
        raise InputError(f"scores must be in [0, 1], got {low:.4g} to {high:.4g}; pass logits through probabilities().")
    counts = np.stack([_histogram(s, t) for s, t in zip(scores, truth, strict=True)])
    above = counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    true_positive, predicted = above[:, 1], above.sum(axis=1)
    positives = true_positive[:, :1]  # threshold 0 accepts every pixel
    precision, recall, f = _f_of_counts(true_positive, predicted, positives)
    return ThresholdCurves(precision=precision, recall=recall, f=f, sounding=positives[:, 0] > 0)


def f_measure(scores: np.ndarray, truth: np.ndarray) -> float:
    """Official F of one batch of frames; best 1, worst 0.

    The F curves of the frames with non-empty ground truth are averaged, then the best threshold is taken; 0
    if there is no such frame. The best threshold belongs to the batch, so the mean over batches depends on
    how frames are grouped. Threshold 0 accepts every pixel: an empty prediction scores 1.3 p / (0.3 p + 1)
    for a true fraction p, not 0, and 1 where the whole frame sounds.
    """
    curves = threshold_curves(scores, truth)
    return float(curves.f[curves.sounding].mean(axis=0).max()) if curves.sounding.any() else 0.0


def _histogram(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels of one frame by the highest threshold they reach: (2, 255) int, row 1 the true ones."""
    scores, truth = scores.ravel(), truth.ravel()
    reached = (scores * _SCALE).astype(np.intp)
    reached -= scores < np.take(THRESHOLDS, reached, mode="clip")
    reached += truth * np.intp(len(THRESHOLDS))
    return np.bincount(reached, minlength=2 * len(THRESHOLDS)).reshape(2, -1)


def _f_of_counts(true_positive, predicted, positives):
    """Precision, recall and F from pixel counts, with the official guards; all zero where nothing is true."""
    precision = true_positive / (predicted + 1e-20)
    recall = true_positive / (positives + 1e-20)
    total = BETA_SQUARED * precision + recall
    f = np.divide((1 + BETA_SQUARED) * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return precision, recall, f


def _overlap(pred: np.ndarray, truth: np.ndarray):
    """Pixels per frame in both, in either and in neither, each (N,)."""
    intersection = (pred & truth).sum((1, 2))
    union = (pred | truth).sum((1, 2))
    return intersection, union, (~pred).sum((1, 2))


def _binary(pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred = np.asarray(pred)
    if pred.dtype != bool:
        raise InputError(f"a hard mask must be bool, got {pred.dtype}; threshold scores with hard_mask() first.")
    return _checked(pred, truth)


def _checked(pred: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth)
    if pred.ndim != 3 or pred.shape != truth.shape or pred.size == 0:
        raise InputError(
            "predictions and ground truth must both be (frames, height, width) with at least one pixel, "
            f"got {pred.shape} and {truth.shape}; resize the prediction to the ground truth."
        )
    return pred, truth if truth.dtype == bool else truth != 0
