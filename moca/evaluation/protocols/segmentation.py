"""S4 and MS3: AVSBench's mIoU and F in their own conventions, and the same without their quirks.

mIoU comes from a method's hard masks, the threshold sweep of F from its heat maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from moca.core.step import StepResult
from moca.evaluation.controls import Clip
from moca.evaluation.protocols.protocol import Sums, decided_heat
from moca.evaluation.protocols.resampling import ratio, times_drawn
from moca.metrics.accumulators import BATCH_VIDEOS, MEANS, AVSBenchScores, VideoScores, score_video
from moca.metrics.column import Column

COLUMNS = {
    "f_batch_free": Column("F, batch-free", "mean F curve over all sounding frames, then its best threshold"),
    "videos": Column("clips", "clips counted", better=None, count=True),
    "frames": Column("frames", "annotated frames counted", better=None, count=True),
    "sounding_frames": Column("sounding", "frames among them in which something sounds", better=None, count=True),
}
_CHUNK = 200_000  # floats gathered at a time, few enough for a processor's cache


class Segmentation:
    """Sums are `VideoScores`, metrics those of `AVSBenchScores.compute`."""

    name = "segmentation"
    clip_main = "miou_batch1"

    def __init__(self, batch_videos: int | Sequence[int] = BATCH_VIDEOS) -> None:
        """batch_videos: the official convention(s) to report, as videos per test batch."""
        conventions = batch_videos if isinstance(batch_videos, int) else tuple(batch_videos)
        self.batch_videos = AVSBenchScores(conventions).batch_videos  # refused here, not after the last clip
        self.main = f"miou_batch{self.batch_videos[-1]}"

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "batch_videos": list(self.batch_videos)}

    @property
    def basis(self) -> dict[str, Any]:
        return {"name": self.name}  # batches are cut from the sums

    def score(self, clip: Clip, results: Sequence[StepResult]) -> Sums:
        pairs = [(truth, result) for truth, result in zip(clip.truths(), results, strict=True) if truth is not None]
        return score_video(
            np.stack([result.mask for _, result in pairs]),
            np.stack([decided_heat(result) for _, result in pairs]),
            np.stack([truth for truth, _ in pairs]),
        ).to_json()

    def metrics(self, sums: Sequence[Sums]) -> dict[str, float]:
        return _computed(sums, self.batch_videos)

    def clip_metrics(self, sums: Sums) -> dict[str, float]:
        return _computed([sums], (1,))

    def resampled(self, sums: Sequence[Sums], draws: np.ndarray) -> dict[str, np.ndarray]:
        """See `EvaluationProtocol`; batches are cut in the order of each draw."""
        names = ("frames", "sounding", "iou", *(mean.stored for mean in MEANS.values()))
        values = {name: np.array([video[name] for video in sums], float) for name in names}
        curves = np.array([video["f_curve"] for video in sums], float)
        times = times_drawn(draws, len(sums))
        totals = {name: times @ value for name, value in values.items()}
        totals["silent"] = totals["frames"] - totals["sounding"]
        metrics = {}
        for batch in self.batch_videos:
            metrics[f"miou_batch{batch}"] = _batch_iou(values["iou"], values["frames"], draws, batch)
            metrics[f"f_batch{batch}"] = _batch_f(curves, values["sounding"], draws, batch)
        metrics["f_batch_free"] = ratio((times @ curves).max(axis=1), totals["sounding"])
        return metrics | {name: ratio(totals[mean.stored], totals[mean.over]) for name, mean in MEANS.items()}

    @staticmethod
    def column(metric: str) -> Column:
        kind, _, batch = metric.partition("_batch")
        if batch.isdigit():
            title = {"miou": "mIoU", "f": "F"}[kind]
            return Column(f"{title}, batch {batch}", f"AVSBench's official {title} with {batch} clip(s) per test batch")
        return MEANS[metric].column if metric in MEANS else COLUMNS[metric]


def _computed(sums: Sequence[Sums], batch_videos: tuple[int, ...]) -> dict[str, float]:
    scores = AVSBenchScores(batch_videos)
    for video in sums:
        scores.add(VideoScores.from_json(video))
    return scores.compute()


def _batches(draws: np.ndarray, batch: int, clips: int) -> np.ndarray:
    """(S, G, batch): the draws cut into batches; positions of the last one that are not filled hold `clips`."""
    missing = -draws.shape[1] % batch
    filled = np.pad(draws, ((0, 0), (0, missing)), constant_values=clips)
    return filled.reshape(len(draws), -1, batch)


def _batch_iou(iou: np.ndarray, frames: np.ndarray, draws: np.ndarray, batch: int) -> np.ndarray:
    groups = _batches(draws, batch, len(iou))
    iou, frames = np.append(iou, 0.0), np.append(frames, 0.0)
    return (iou[groups].sum(axis=2) / frames[groups].sum(axis=2)).mean(axis=1)


def _batch_f(curves: np.ndarray, sounding: np.ndarray, draws: np.ndarray, batch: int) -> np.ndarray:
    """Mean over batches of the best value of the batch's mean F curve; 0 for a batch in which nothing sounds."""
    if batch == 1:
        best = np.divide(curves.max(axis=1), sounding, out=np.zeros(len(curves)), where=sounding > 0)
        return best[draws].mean(axis=1)
    groups = _batches(draws, batch, len(curves))
    curves, sounding = np.vstack([curves, np.zeros(curves.shape[1])]), np.append(sounding, 0.0)
    means = np.empty(len(draws))
    size = max(1, _CHUNK // (groups.shape[1] * curves.shape[1]))
    for start in range(0, len(draws), size):
        part = groups[start : start + size]
        summed = curves[part[..., 0]]
        for position in range(1, batch):
            summed += curves[part[..., position]]
        counts = sounding[part].sum(axis=2)
        best = np.divide(summed.max(axis=2), counts, out=np.zeros(counts.shape), where=counts > 0)
        means[start : start + size] = best.mean(axis=1)
    return means
