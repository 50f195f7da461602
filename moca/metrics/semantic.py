"""AVSS's numbers: which class does every pixel belong to, scored class by class.

Source: the official evaluation (OpenNLPLab/AVSBench, avss/utils/compute_color_metrics.py), reproduced to 1e-6.
IoU and F exist per frame and class and are averaged per class over all frames in which the class is labelled or
predicted; they are not pooled over pixels. Labels are (N, H, W) whole numbers, N frames, 0 the background.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from moca.errors import InputError
from moca.metrics.collecting import ByPlace
from moca.metrics.segmentation import BETA_SQUARED

CLASSES = 71
"""Classes of AVSS with the background."""
FRAMES = 10
"""Frames that the official evaluation counts per video, whatever its length."""


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Sums over the frames of one video, enough for every metric in `SemanticScores.compute`.

    iou, f: per class, the sum over the frames that count for it; count: how many those are, 0 to `frames`.
    """

    iou: tuple[float, ...]
    f: tuple[float, ...]
    count: tuple[int, ...]
    frames: int

    def __post_init__(self) -> None:
        lengths = {len(self.iou), len(self.f), len(self.count)}
        if len(lengths) != 1 or not all(0 <= count <= self.frames for count in self.count):
            raise InputError(
                "a video's class sums need one iou, f and count per class and every count in 0..frames, got "
                f"{len(self.iou)}, {len(self.f)} and {len(self.count)} values for {self.frames} frames; "
                "score the video again."
            )

    def to_json(self) -> dict[str, object]:
        """A JSON-able dict; floats survive the round trip bit for bit."""
        return asdict(self) | {name: list(getattr(self, name)) for name in ("iou", "f", "count")}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> ClassSums:
        """The inverse of `to_json`; raises InputError for missing or unknown keys."""
        names = {field.name for field in fields(cls)}
        if set(stored) != names:
            raise InputError(
                f"a video's class sums have the keys {sorted(names)}, got {sorted(stored)}; score it again."
            )
        return cls(**{**stored, **{name: tuple(stored[name]) for name in ("iou", "f", "count")}})


def pad_frames(labels: np.ndarray, frames: int = FRAMES) -> np.ndarray:
    """Append frames that are background everywhere: (N, H, W) becomes (frames, H, W), same type.

    The official evaluation pads predictions and ground truth alike, and the padding counts: each such frame has a
    background IoU of 1. Leave it out for figures of the real frames only.
    """
    labels = np.asarray(labels)
    if labels.ndim != 3 or not 0 < len(labels) <= frames:
        raise InputError(
            f"label maps to pad must be (frames, height, width) with 1 to {frames} frames, got {labels.shape}; "
            "pass the frames of one video."
        )
    return np.pad(labels, ((0, frames - len(labels)), (0, 0), (0, 0)))


def score_labels(pred: np.ndarray, truth: np.ndarray, classes: int = CLASSES) -> ClassSums:
    """Sums of one video from its label maps.

    pred: (N, H, W), 0 to classes - 1. truth: the same, where negative pixels are ignored on both sides. A class
    counts in a frame that has it in the prediction or in the ground truth; a false alarm is a frame with IoU 0.
    F has beta squared 0.3 and one hard mask per class; no threshold is swept.
    """
    pred, truth = _labels(pred, truth, classes)
    hits, predicted, labelled = (np.zeros((len(pred), classes)) for _ in range(3))
    for frame, (p, t) in enumerate(zip(pred, truth, strict=True)):
        # Pixels by (true, predicted) label; row 0 takes the ignored ones.
        pairs = np.bincount(((t + 1) * classes + p).ravel(), minlength=(classes + 1) * classes)
        pairs = pairs.reshape(classes + 1, classes)[1:]
        hits[frame], predicted[frame], labelled[frame] = pairs.diagonal(), pairs.sum(axis=0), pairs.sum(axis=1)
    union = predicted + labelled - hits
    occurs = union > 0
    iou = np.divide(hits, union, out=np.zeros_like(union), where=occurs)
    # 1.3 P R / (0.3 P + R) with P = hits / predicted and R = hits / labelled; 0 where the official one has 0 / 0.
    weighted = BETA_SQUARED * labelled + predicted
    f = np.divide((1 + BETA_SQUARED) * hits, weighted, out=np.zeros_like(union), where=occurs)
    return ClassSums(
        iou=tuple(iou.sum(axis=0).tolist()),
        f=tuple(f.sum(axis=0).tolist()),
        count=tuple(occurs.sum(axis=0).tolist()),
        frames=len(pred),
    )


def semantic_metrics(iou: np.ndarray, f: np.ndarray, count: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of `SemanticScores.compute` from sums over the test set, each (..., C); values are (...).

    Any number of test sets at once, for example resampled ones.
    """
    count = np.asarray(count)
    objects = count[..., 1:] > 0
    occurring = objects.sum(axis=-1)
    metrics: dict[str, np.ndarray] = {}
    for name, sums in (("miou", iou), ("f", f)):
        mean = np.divide(sums, count, out=np.zeros(count.shape), where=count > 0)
        metrics[name] = mean.mean(axis=-1)
        metrics[f"{name}_but_last"] = mean[..., :-1].mean(axis=-1)
        total = (mean[..., 1:] * objects).sum(axis=-1)
        absent = np.full(occurring.shape, np.nan)
        metrics[f"{name}_seen"] = np.divide(total, occurring, out=absent, where=occurring > 0)
    return metrics | {"classes_seen": occurring}


class SemanticScores(ByPlace[ClassSums]):
    """Collects videos (`score_labels`) and gives all numbers at once.

    >>> import numpy as np
    >>> scores = SemanticScores(["background", "bell", "drum"])
    >>> truth = np.zeros((5, 4, 4), int); truth[:, :2] = 1
    >>> scores.add(score_labels(truth, truth, classes=3))
    >>> scores.compute()["miou_seen"], round(scores.compute()["miou"], 3)
    (1.0, 0.667)
    """

    def __init__(self, names: Sequence[str]) -> None:
        """names: of the classes by index, the background first; each once, at least 2."""
        super().__init__()
        self.names = tuple(names)
        if len(self.names) < 2 or len(set(self.names)) < len(self.names):
            raise InputError(
                f"class names must be at least 2 different ones, the background first, got {len(self.names)} "
                f"({len(set(self.names))} different); AVSS has {CLASSES}."
            )

    def add(self, sums: ClassSums, *, index: int | None = None) -> None:
        """Keep a scored video at place `index` of the test set; by default after the last one."""
        if len(sums.count) != len(self.names):
            raise InputError(
                f"a video must be scored with the test set's {len(self.names)} classes, got {len(sums.count)}; "
                f"pass classes={len(self.names)} to score_labels()."
            )
        super().add(sums, index=index)

    def merge(self, other: SemanticScores) -> None:
        """Take over the videos of another shard; refuses, unchanged, other class names or a video in both."""
        if other.names != self.names:
            raise InputError("shards to merge must have the same class names in the same order; read both anew.")
        super().merge(other)

    def compute(self) -> dict[str, float]:
        """Every metric of the videos so far, independent of their order to the bit; best 1, worst 0.

        miou, f: official, the mean over all classes, the background and those that never occur (0) included.
        miou_but_last, f_but_last: official too ("noBg"), without the last class; that is a slip of the release, its
        background is the first one.
        miou_seen, f_seen: the mean over the objects' classes that occur (labelled or predicted in some frame),
        without the background, which is large and easy; NaN if only background occurs.
        videos, frames, classes_seen: how many were counted; the last without the background.

        The official numbers belong to videos padded to 10 frames (`pad_frames`), the plain ones to real frames; padding
        changes the background alone, so miou_seen and f_seen are the same with and without it.
        """
        videos = self.in_order()
        metrics = semantic_metrics(*self._totals(videos))
        row = {name: float(value) for name, value in metrics.items()}
        frames = sum(video.frames for video in videos)
        return row | {"classes_seen": int(metrics["classes_seen"]), "videos": len(videos), "frames": frames}

    def per_class(self) -> dict[str, dict[str, float]]:
        """By class name: iou and f, means over the frames that count for it (NaN without any), and their count."""
        rows = {}
        for name, iou, f, count in zip(self.names, *self._totals(self.in_order()), strict=True):
            mean = {"iou": float(iou / count), "f": float(f / count)} if count else {"iou": math.nan, "f": math.nan}
            rows[name] = mean | {"count": int(count)}
        return rows

    @staticmethod
    def _totals(videos: list[ClassSums]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # fsum rounds once, so the order of the videos cannot show in the last digit.
        return (
            np.array([math.fsum(sums) for sums in zip(*(video.iou for video in videos), strict=True)]),
            np.array([math.fsum(sums) for sums in zip(*(video.f for video in videos), strict=True)]),
            np.array([video.count for video in videos]).sum(axis=0),
        )


def _labels(pred: np.ndarray, truth: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as int32, so that small types cannot overflow, ignored pixels as -1; or InputError."""
    pred, truth = np.asarray(pred), np.asarray(truth)
    if classes < 2:
        raise InputError(f"classes must be at least 2, the background and one more, got {classes}; AVSS has {CLASSES}.")
    if not (np.issubdtype(pred.dtype, np.integer) and np.issubdtype(truth.dtype, np.integer)):
        raise InputError(
            f"label maps must be whole numbers, got {pred.dtype} and {truth.dtype}; "
            "pass class indices, not scores or colours."
        )
    if pred.ndim != 3 or pred.shape != truth.shape or pred.size == 0:
        raise InputError(
            "predicted and true labels must both be (frames, height, width) with at least one pixel, "
            f"got {pred.shape} and {truth.shape}; resize the prediction to the ground truth."
        )
    if pred.min() < 0 or pred.max() >= classes or truth.max() >= classes:
        raise InputError(
            f"labels must be 0 to {classes - 1} for {classes} classes (true ones below 0 are ignored), got "
            f"{pred.min()} to {pred.max()} predicted and up to {truth.max()} true; use the data set's class indices."
        )
    if truth.min() < -1:
        truth = np.maximum(truth, -1)
    return pred.astype(np.int32), truth.astype(np.int32)
