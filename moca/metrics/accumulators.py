"""Sums per video, and the table row they make: AVSBench's conventions next to ones without its quirks.

A video's sums do not depend on the other videos, so they can be computed anywhere, stored, and merged; only
`AVSBenchScores.compute` puts them into batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from moca.errors import InputError
from moca.metrics.collecting import ByPlace
from moca.metrics.column import Column
from moca.metrics.segmentation import (
    THRESHOLDS,
    frame_f,
    frame_iou,
    frame_iou_plain,
    mask_areas,
    masked_frames,
    threshold_curves,
)

BATCH_VIDEOS = (1, 4)
"""Videos per test batch: the official scripts' argparse default and the value in their shipped test.sh."""


@dataclass(frozen=True, kw_only=True)
class FrameMean:
    """A metric that is the mean of a number per frame, over all frames of a kind in all videos."""

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """The number: from masks (N, H, W) bool and ground truth (N, H, W) to (N,) float64."""
    over: Literal["frames", "sounding", "silent"]
    """All annotated frames, those where something sounds, or the others."""
    stored: str
    """Name of its sum among a video's scores."""
    column: Column
    """Its column in tables."""


MEANS: dict[str, FrameMean] = {
    "f_mask": FrameMean(
        of=frame_f,
        over="sounding",
        stored="f_mask",
        column=Column("F of masks", "mean F of the hard masks over sounding frames, no threshold searched"),
    ),
    "miou_plain": FrameMean(
        of=frame_iou_plain,
        over="frames",
        stored="iou_plain",
        column=Column("mIoU, plain", "a frame where nothing sounds counts 1 for an empty mask, else 0"),
    ),
    "false_positive_area": FrameMean(
        of=mask_areas,
        over="silent",
        stored="false_area",
        column=Column(
            "false area",
            "mean masked share of frames where nothing sounds, AVSBench-Robust's FPR; lower is better",
            better="lower",
        ),
    ),
    "false_alarms": FrameMean(
        of=masked_frames,
        over="silent",
        stored="false_alarms",
        column=Column(
            "false alarms", "share of frames where nothing sounds that have a mask; lower is better", better="lower"
        ),
    ),
    "mask_area": FrameMean(
        of=mask_areas,
        over="frames",
        stored="mask_area",
        column=Column("area", "mean masked share of all frames; 0 is right when muted", better=None),
    ),
    "masked_frames": FrameMean(
        of=masked_frames,
        over="frames",
        stored="masked",
        column=Column("masked", "share of all frames that have a mask; 0 is right when muted", better=None),
    ),
}
"""By the metric's name. A metric more is its function and a row here."""


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """Sums over the annotated frames of one video, enough for every metric in `AVSBenchScores.compute`."""

    frames: int
    """Annotated frames."""
    sounding: int
    """Frames among them whose ground truth is not empty."""
    iou: float
    """Sum of the official IoU over all frames."""
    means: Mapping[str, float]
    """For every entry of MEANS, by its stored name, the sum over the frames it counts."""
    f_curve: tuple[float, ...]
    """Sum of the F curve over the sounding frames, one value per official threshold."""

    def __post_init__(self) -> None:
        if not 0 <= self.sounding <= self.frames or len(self.f_curve) != len(THRESHOLDS):
            raise InputError(
                f"a video's scores need 0 <= sounding <= frames and {len(THRESHOLDS)} curve values, got "
                f"{self.sounding}, {self.frames} and {len(self.f_curve)}; score the video again."
            )

    def to_json(self) -> dict[str, object]:
        """A JSON-able dict without nesting; floats survive the round trip bit for bit."""
        counts = {"frames": self.frames, "sounding": self.sounding, "iou": self.iou}
        return {**counts, **self.means, "f_curve": list(self.f_curve)}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> VideoScores:
        """The inverse of `to_json`; raises InputError for missing or unknown keys."""
        means = [mean.stored for mean in MEANS.values()]
        names = {"frames", "sounding", "iou", "f_curve", *means}
        if set(stored) != names:
            raise InputError(f"a video's scores have the keys {sorted(names)}, got {sorted(stored)}; score it again.")
        return cls(
            frames=stored["frames"],
            sounding=stored["sounding"],
            iou=stored["iou"],
            means={name: stored[name] for name in means},
            f_curve=tuple(stored["f_curve"]),
        )


def score_video(masks: np.ndarray, heats: np.ndarray, truth: np.ndarray) -> VideoScores:
    """Scores of one video from its annotated frames.

    masks: (N, H, W) bool, the decision: every IoU, the mask's F and the false areas come from it. heats:
    (N, H, W) in [0, 1]: the threshold sweep of F comes from it. truth: (N, H, W), non-zero where it sounds.
    """
    curves = threshold_curves(heats, truth)
    sounding = curves.sounding
    counted = {"frames": np.ones_like(sounding), "sounding": sounding, "silent": ~sounding}
    return VideoScores(
        frames=len(sounding),
        sounding=int(sounding.sum()),
        iou=float(frame_iou(masks, truth).sum()),
        means={mean.stored: float(mean.of(masks, truth)[counted[mean.over]].sum()) for mean in MEANS.values()},
        f_curve=tuple(curves.f.sum(axis=0).tolist()),
    )


class AVSBenchScores(ByPlace[VideoScores]):
    """Collects videos and gives all numbers at once.

    Videos are kept by their place in the test set: batches are cut in that order, so shards that give each
    video its place (`index`) merge into exactly the serial result, whatever order they finish in.

    >>> import numpy as np
    >>> truth = np.zeros((5, 4, 4), bool); truth[:, :2] = True
    >>> scores = AVSBenchScores()
    >>> scores.update(truth, truth.astype(np.float32), truth)
    >>> round(scores.compute()["f_batch_free"], 6)
    1.0
    """

    def __init__(self, batch_videos: int | tuple[int, ...] = BATCH_VIDEOS) -> None:
        """batch_videos: the official convention(s) to report, as videos per test batch, each at least 1."""
        self.batch_videos = (batch_videos,) if isinstance(batch_videos, int) else tuple(batch_videos)
        if not self.batch_videos or min(self.batch_videos) < 1:
            raise InputError(f"batch_videos must be at least 1, got {batch_videos}; AVSBench uses 1 and 4.")
        super().__init__()

    def update(self, masks, heats, truth, *, index: int | None = None) -> None:
        """Score one video (see `score_video`) and keep it."""
        self.add(score_video(masks, heats, truth), index=index)

    def compute(self) -> dict[str, float]:
        """Every metric of the videos so far. In [0, 1], best 1 and worst 0, unless said otherwise.

        miou_batch<b>, f_batch<b>: official mIoU and F with b videos per batch, every batch counted equally.
        f_batch_free: the F curve averaged over all sounding frames of the test set, then its best threshold;
        independent of order and batching, to the bit; NaN without such frames.
        f_mask: mean F of the hard masks over the sounding frames, an empty mask counting 0; NaN without any.
        miou_plain: mean IoU over frames; an empty ground truth counts 1 if the mask is empty too, else 0.
        false_positive_area: mean masked fraction of the picture over frames where nothing sounds, best 0 and
        worst 1; NaN if there is no such frame.
        false_alarms: share of the frames where nothing sounds that have a mask, best 0 and worst 1; NaN without any.
        mask_area: mean masked fraction of the picture over all frames; not good or bad in itself, but 0 is
        right when the sound is muted. masked_frames: share of all frames that have a mask, with the same caution.
        videos, frames, sounding_frames: how many were counted.
        """
        videos = self.in_order()
        frames, sounding = sum(v.frames for v in videos), sum(v.sounding for v in videos)
        counts = {"frames": frames, "sounding": sounding, "silent": frames - sounding}
        metrics: dict[str, float] = {}
        for batch in self.batch_videos:
            groups = [videos[i : i + batch] for i in range(0, len(videos), batch)]
            metrics[f"miou_batch{batch}"] = _mean([_iou(group) for group in groups])
            metrics[f"f_batch{batch}"] = _mean([_best_f(group, without=0.0) for group in groups])
        return metrics | {
            "f_batch_free": _best_f(videos, without=math.nan),
            **{name: _frame_mean(videos, mean.stored, counts[mean.over]) for name, mean in MEANS.items()},
            "videos": len(videos),
            "frames": frames,
            "sounding_frames": sounding,
        }


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _frame_mean(videos: list[VideoScores], stored: str, count: int) -> float:
    return math.fsum(video.means[stored] for video in videos) / count if count else math.nan


def _iou(videos: list[VideoScores]) -> float:
    return math.fsum(v.iou for v in videos) / sum(v.frames for v in videos)


def _best_f(videos: list[VideoScores], *, without: float) -> float:
    """Best value of the mean F curve over the sounding frames; `without` if there are none."""
    sounding = sum(video.sounding for video in videos)
    if not sounding:
        return without
    # fsum rounds once, so the order of the videos cannot show in the last digit.
    return max(map(math.fsum, zip(*(video.f_curve for video in videos), strict=True))) / sounding
