"""Is there anything to hear, and does anything in the picture support it? The result where not.

Shapes: N patches, H x W the frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from moca.core.step import Step, StepResult
from moca.foundation.imagebind.config import TOP_SHARE

# Shorter than one analysis frame of the log-mel there is nothing to analyse.
SHORTEST_AUDIO_S = 0.05


def level_dbfs(audio: np.ndarray | None) -> float:
    """RMS level of samples in [-1, 1] in dB relative to full scale; -inf for none, or digital silence.

    The mean is removed first: an offset is not a sound.
    """
    if audio is None or audio.size == 0:
        return float("-inf")
    rms = float(np.sqrt(np.mean((audio - audio.mean(dtype=np.float64)) ** 2, dtype=np.float64)))
    return 20 * float(np.log10(rms)) if rms > 1e-9 else float("-inf")


def support(cosines: np.ndarray) -> float:
    """How well the best supported region agrees with the sound: mean of the highest 2.5% of cosines (N,)."""
    top = max(1, round(TOP_SHARE * cosines.size))
    return float(np.sort(cosines.ravel())[-top:].mean())


def why_silent(step: Step, silence_dbfs: float) -> str | None:
    """Why there is nothing to hear in a step, or None; silence_dbfs: the RMS level below which it is silent."""
    if step.audio is None:
        return "no audio in this step"
    if step.audio.size < SHORTEST_AUDIO_S * step.sample_rate_hz:
        return f"less than {SHORTEST_AUDIO_S * 1000:.0f} ms of audio"
    level = level_dbfs(step.audio)
    if level < silence_dbfs:
        shown = "digital silence" if np.isneginf(level) else f"{level:.0f} dBFS"
        return f"silent: {shown}, below {silence_dbfs:.0f} dBFS"
    return None


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
