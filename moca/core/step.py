"""One step of a video, and what every method returns for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from moca.core.loudness import level_dbfs


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a video: a frame and the sound around it."""

    index: int
    """Steps are counted from 0."""
    start_s: float
    """Where the step begins, in seconds from time zero."""
    end_s: float
    """Where it ends; the last step ends where the video ends."""
    frame_s: float
    """When its frame is first shown, before start_s where a frame stands for longer than a step."""
    frame: np.ndarray
    """(H, W, 3) uint8 RGB, rotation applied."""
    audio: np.ndarray | None
    """(S,) float32 mono in [-1, 1] over [start_s, end_s), zeros where the sound pauses or has ended; None without any
    sound in the step."""
    sample_rate_hz: int
    """Samples of the audio in a second."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One region that makes the sound."""

    mask: np.ndarray
    """(H, W) bool."""
    score: float
    """How well it agrees with the sound, in [0, 1]."""
    label: str | None = None
    """What it is, None where that is not known."""


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Mask proposals of one step, best first, and which of them make the result."""

    masks: np.ndarray
    """(N, H, W) bool."""
    scores: np.ndarray
    """(N,) float32, the IoU each mask is expected to have with the object it shows."""
    measured: np.ndarray
    """(N,) float64, what the matching rule measured of each: overlap with the coarse mask or agreement with the sound,
    in [0, 1]; or the score of its crop, in standard deviations of a bank of other sounds."""
    matched: tuple[int, ...] = ()
    """Indices of those that make the result, ascending."""

    def __len__(self) -> int:
        return len(self.masks)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Masks and scores of one step, at the frame's own resolution."""

    index: int
    """Index, start_s, end_s and frame_s are those of the step."""
    start_s: float
    end_s: float
    frame_s: float
    mask: np.ndarray
    """(H, W) bool, union of the segments."""
    heat: np.ndarray
    """(H, W) float32 in [0, 1], the score per pixel that evaluation thresholds."""
    score: float
    """The gate's score, higher when some region supports the sound: a cosine or a probability, or, where scores are
    relative, in standard deviations of a bank of other sounds; NaN where it was not computed."""
    level_dbfs: float
    """RMS level of the step's audio; -inf without audio."""
    segments: tuple[Segment, ...] = ()
    """Best first; they may overlap where they are proposals."""
    reason: str | None = None
    """Why the mask is empty, None when it is not."""
    coarse: np.ndarray | None = None
    """(H, W) bool, the mask that proposals were compared with; None where none were made."""
    proposals: Proposals | None = None
    """None where none were made."""
    rank: float = float("nan")
    """Share of a bank of other sounds that fit the best region less than the step's own, in [0, 1]; NaN where it was
    not computed."""
    missed: float | None = None
    """The absolute threshold of cosines that the score is below, where the mask is empty because of that."""

    @property
    def time_s(self) -> float:
        """Time of the frame that the mask belongs to, in seconds from the start of the video."""
        return self.frame_s


def empty_result(step: Step, reason: str, *, score: float = float("nan")) -> StepResult:
    """The result of a step in which nothing sounds, and why."""
    size = step.frame.shape[:2]
    return result_of(step, mask=np.zeros(size, bool), heat=np.zeros(size, np.float32), score=score, reason=reason)


def result_of(step: Step, **fields: Any) -> StepResult:
    """The result of a step: its times and its level, and the other fields as given."""
    return StepResult(
        index=step.index,
        start_s=step.start_s,
        end_s=step.end_s,
        frame_s=step.frame_s,
        level_dbfs=level_dbfs(step.audio),
        **fields,
    )
