"""AVSS: which class does every pixel belong to, in the official numbers and without their quirks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from moca.core.step import StepResult
from moca.evaluation.controls import Clip
from moca.evaluation.protocols.protocol import Sums
from moca.evaluation.protocols.resampling import times_drawn
from moca.metrics.column import Column
from moca.metrics.semantic import FRAMES, ClassSums, SemanticScores, pad_frames, score_labels, semantic_metrics

if TYPE_CHECKING:
    from moca.core.step import Step

COLUMNS = {
    "miou": Column("mIoU", "official: mean over all classes, those that never occur counting 0"),
    "f": Column("F", "official, of one hard mask per class; mean over all classes"),
    "miou_but_last": Column("mIoU, noBg", "official, without the last class"),
    "f_but_last": Column("F, noBg", "official, without the last class"),
    "miou_seen": Column("mIoU, seen", "mean over the classes of objects that occur, the background left out"),
    "f_seen": Column("F, seen", "mean over the classes of objects that occur, the background left out"),
    "videos": Column("clips", "clips counted", better=None, count=True),
    "frames": Column("frames", "frames counted, with those that the official evaluation pads", better=None, count=True),
    "classes_seen": Column("classes", "classes of objects that occur", better=None, count=True),
}


class Labeller(Protocol):
    """Says which class the segments of a step are; `moca.segmentation.labelling.TagLabeller` is one."""

    @property
    def how(self) -> str:
        """How it knows, in a reader's words."""
        ...

    def label(self, step: Step, result: StepResult) -> StepResult: ...


class Semantic:
    """Sums are `ClassSums` of clips padded as officially, metrics those of `SemanticScores.compute`."""

    name = "semantic"
    main = "miou"
    clip_main = "miou_seen"

    def __init__(self, classes: Sequence[str], *, labeller: Labeller | None = None, labels: str | None = None) -> None:
        """classes: names by their number, the background first. labeller: gives segments the label of a class.

        labels: how that is done, all that it depends on; by default what the labeller says of itself.
        """
        self.classes = SemanticScores(classes).names  # refused here, not after the last clip
        self.labeller = labeller
        self.labels = labels or (labeller.how if labeller else "the method's own labels")

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "classes": list(self.classes), "labels": self.labels}

    @property
    def basis(self) -> dict[str, Any]:
        return self.settings

    def score(self, clip: Clip, results: Sequence[StepResult]) -> Sums:
        from moca.segmentation.labelling import label_map

        numbers = {name: number for number, name in enumerate(self.classes)}
        labelled = zip(clip.truths(), self._labelled(clip, results), strict=True)
        pairs = [(truth, label_map(result, numbers)) for truth, result in labelled if truth is not None]
        truths, labels = (np.stack(maps) for maps in zip(*pairs, strict=True))
        if len(truths) < FRAMES:
            truths, labels = pad_frames(truths), pad_frames(labels)
        return score_labels(labels, truths, classes=len(self.classes)).to_json()

    def metrics(self, sums: Sequence[Sums]) -> dict[str, float]:
        scores = SemanticScores(self.classes)
        for video in sums:
            scores.add(ClassSums.from_json(video))
        return scores.compute()

    def clip_metrics(self, sums: Sums) -> dict[str, float]:
        return self.metrics([sums])

    def resampled(self, sums: Sequence[Sums], draws: np.ndarray) -> dict[str, np.ndarray]:
        """See `EvaluationProtocol`."""
        times = times_drawn(draws, len(sums))
        totals = [times @ np.array([video[name] for video in sums], float) for name in ("iou", "f", "count")]
        metrics = semantic_metrics(*totals)
        return {name: values for name, values in metrics.items() if not self.column(name).count}

    @staticmethod
    def column(metric: str) -> Column:
        return COLUMNS[metric]

    def _labelled(self, clip: Clip, results: Sequence[StepResult]) -> Iterator[StepResult]:
        """Results in which segments are labelled with classes; the clip is read again, for its sound."""
        if self.labeller is None or not any(result.segments for result in results):
            yield from results
            return
        for step, result in zip(clip.steps(), results, strict=True):
            yield self.labeller.label(step, result)
