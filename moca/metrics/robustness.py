"""AVSBench-Robust's numbers: what a method masks where nothing that is seen makes the sound.

A non-matching pair is a frame with a sound that nothing in it makes: silence, noise, or what sounds elsewhere. Source:
"Do Audio-Visual Segmentation Models Truly Segment Sounding Objects?" (arXiv 2502.00358). Its published code gives the
FPR. Its G-mIoU was put together from results outside that code; here it is the mean of two halves, see `g_miou`.

FPR = FP / (FP + TN) over the pixels of a non-matching frame, all of which are negatives: the masked share of the frame
(`mask_areas`), mean over frames. A false alarm is a frame with any mask at all (`masked_frames`): "empty is right".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moca.errors import InputError
from moca.metrics.column import Column

COLUMNS = {
    "fpr": Column(
        "FPR", "mean masked share of the frame, as AVSBench-Robust's code has it; lower is better", better="lower"
    ),
    "false_alarms": Column("false alarms", "share of frames that have a mask; lower is better", better="lower"),
    "g_miou": Column(
        "G-mIoU", "mean of the plain mIoU with the own sound and of the share of frames without a mask with this one"
    ),
}
"""By the metric's name, in their order."""
_NEGATIVE, _MATCHING = ("frames", "mask_area", "masked"), ("frames", "iou_plain")
Sums = Sequence[Mapping[str, float]]


def g_miou(matching: float | np.ndarray, empty: float | np.ndarray) -> float | np.ndarray:
    """G-mIoU, in [0, 1]; best 1: exact masks of what sounds, and none where nothing does.

    matching: mean plain IoU over matching frames. empty: share of the non-matching frames without a mask. A method
    that masks nothing has .5, one that masks the right object whatever it hears half its mIoU: neither passes for good.
    """
    return (matching + empty) / 2


def robustness(negative: Sums, matching: Sums | None = None) -> dict[str, float]:
    """The numbers of COLUMNS from sums per clip, as `VideoScores.to_json` has them.

    negative: of non-matching clips, whatever their ground truth. matching: of the clips with their own sound; without
    them there is no G-mIoU. Raises InputError where either has no frame.

    >>> own = [{"frames": 2, "iou_plain": 1.5, "mask_area": 0.4, "masked": 2}]
    >>> noise = [{"frames": 4, "iou_plain": 3.0, "mask_area": 0.1, "masked": 1}]
    >>> robustness(noise, own)
    {'fpr': 0.025, 'false_alarms': 0.25, 'g_miou': 0.75}
    """
    once = {"negative": np.ones((1, len(negative))), "matching": np.ones((1, len(matching or ())))}
    return {name: float(values[0]) for name, values in resampled_robustness(negative, matching, **once).items()}


def resampled_robustness(
    sums: Sums, own: Sums | None, *, negative: np.ndarray, matching: np.ndarray | None
) -> dict[str, np.ndarray]:
    """What `robustness` gives for sets drawn from the clips, (S,) float64 each.

    negative: (S, clips of sums), how often each clip is in each set; matching: the same for the clips of own.
    """
    totals = {name: negative @ _column(sums, name) for name in _NEGATIVE}
    alarms = totals["masked"] / totals["frames"]
    found = {"fpr": totals["mask_area"] / totals["frames"], "false_alarms": alarms}
    if own is not None:
        totals = {name: matching @ _column(own, name) for name in _MATCHING}
        found["g_miou"] = g_miou(totals["iou_plain"] / totals["frames"], 1 - alarms)
    return found


def _column(sums: Sums, name: str) -> np.ndarray:
    if not sums:
        raise InputError("false positives are measured over at least 1 clip, got 0; score clips first.")
    return np.array([clip[name] for clip in sums], float)
