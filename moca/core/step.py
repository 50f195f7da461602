"""One step of a video, and what every method returns for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a video: a frame and the sound around it.

    start_s, end_s: the step, in seconds from time zero; the last step ends where the video ends.
    frame_s: when its frame is first shown, before start_s where a frame stands for longer than a step.
    frame: (H, W, 3) uint8 RGB, rotation applied. audio: (S,) float32 mono in [-1, 1] at sample_rate_hz over
    [start_s, end_s), zeros where the sound pauses or has ended; None without any sound in the step.
    """

    index: int
    start_s: float
    end_s: float
    frame_s: float
    frame: np.ndarray
    audio: np.ndarray | None
    sample_rate_hz: int


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One region that makes the sound: mask (H, W) bool, score in [0, 1]; label: what it is, None where not known."""

    mask: np.ndarray
    score: float
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Mask proposals of one step, best first, and which of them the coarse mask matches.

    masks (N, H, W) bool; scores (N,) float32, the IoU each mask is expected to have with the object; overlaps (N,)
    float64 in [0, 1], how well each fits by the rule; matched: indices of those that make the result, ascending.
    """

    masks: np.ndarray
    scores: np.ndarray
    overlaps: np.ndarray
    matched: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.masks)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Masks and scores of one step, at the frame's own resolution.

    mask: (H, W) bool, union of the segments, which may overlap where they are proposals. heat: (H, W) float32 in
    [0, 1], the score per pixel that evaluation thresholds. score: the gate's score in [-1, 1], higher when some region
    supports the sound; NaN where it was not computed. level_dbfs: RMS level of the step's audio; -inf without audio.
    reason: why the mask is empty, None when it is not. coarse, proposals: the (H, W) bool mask that proposals were
    compared with, and those; both None where none were made.
    """

    index: int
    start_s: float
    end_s: float
    frame_s: float
    mask: np.ndarray
    heat: np.ndarray
    score: float
    level_dbfs: float
    segments: tuple[Segment, ...] = ()
    reason: str | None = None
    coarse: np.ndarray | None = None
    proposals: Proposals | None = None

    @property
    def time_s(self) -> float:
        """Time of the frame that the mask belongs to, in seconds from the start of the video."""
        return self.frame_s
