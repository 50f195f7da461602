"""Results with chosen figures, a tiny data set and model on disk, and a method that needs no weights."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from moca.core.step import StepResult
from moca.evaluation import ClipScore, EvaluationResult, Segmentation
from moca.metrics.accumulators import MEANS, VideoScores
from moca.reproduce.figures import Measured


def one_result(ious, control_ious=None, licence="Apache-2.0") -> EvaluationResult:
    """A result with one clip of one frame per IoU, its F being half of that; control_ious: by control."""
    protocol, clips = Segmentation(), []
    for number, iou in enumerate(ious):
        sums = VideoScores(
            frames=1, sounding=1, iou=iou, f_curve=(iou / 2,) * 255,
            means={mean.stored: 0.0 for mean in MEANS.values()}
            | {"iou_plain": iou, "f_mask": iou / 2, "false_area": 0.0, "mask_area": 0.1},
        ).to_json()  # fmt: skip
        metrics = protocol.clip_metrics(sums)
        clips.append(ClipScore(name=f"clip{number}", category="", truth=f"{number}", metrics=metrics, sums=sums))
    return EvaluationResult(
        method="moca",
        settings={},
        licence=licence,
        protocol=protocol.settings,
        metrics=protocol.metrics([clip.sums for clip in clips]),
        intervals={},
        clips=tuple(clips),
        controls={name: one_result(found) for name, found in (control_ious or {}).items()},
    )


@pytest.fixture
def measured():
    """measured([0.4, 0.5], [0.5, 0.6]) -> two seeds of two clips; once=True: one list, of a deterministic run."""

    def build(*seeds, once=False, **controls) -> Measured:
        results = tuple(one_result(ious, controls) for ious in seeds)
        return Measured(seeds=() if once else tuple(range(len(seeds))), results=results)

    return build


@dataclass
class Fake:
    """Masks the whole picture where the sound is loud, so that muting it shows; loads counts how often it was made."""

    settings: dict[str, Any] = field(default_factory=dict)
    name: str = "fake"
    notice: str | None = None
    licence: str = "CC0"

    def segment_steps(self, steps):
        for step in steps:
            loud = step.audio is not None and float(np.abs(step.audio).max(initial=0)) > 0
            mask = np.full(step.frame.shape[:2], loud)
            yield StepResult(
                index=step.index, start_s=step.start_s, end_s=step.end_s, frame_s=step.frame_s, mask=mask,
                heat=mask.astype(np.float32), score=1.0, level_dbfs=0.0, reason=None if loud else "silent",
            )  # fmt: skip


@pytest.fixture
def fake():
    """The class of the method above."""
    return Fake


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    """A stage of 32-pixel clips: two S4 and four MS3 clips to train on, two of each to test on."""
    from moca.stage import write_stage

    return write_stage(tmp_path_factory.mktemp("stage"), s4=(2, 0, 2), ms3=(4, 0, 2), size=32, rate_hz=1)


@pytest.fixture
def model(model) -> str:
    """The tiny model's folder as it is typed."""
    return str(model)
