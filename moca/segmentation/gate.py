"""Is there anything to hear, and does anything in the picture support it?"""

from __future__ import annotations

import numpy as np

from moca.core.loudness import level_dbfs
from moca.core.step import Step
from moca.foundation.imagebind.config import TOP_SHARE

SHORTEST_AUDIO_S = 0.05
"""A shorter sound does not fill one analysis frame of the log-mel."""


def support(cosines: np.ndarray) -> float:
    """How well the best supported region agrees with the sound: mean of the highest 2.5% of cosines (N,)."""
    top = max(1, round(TOP_SHARE * cosines.size))
    return float(np.sort(cosines.ravel())[-top:].mean())


def best_patches(scores: np.ndarray) -> np.ndarray:
    """Indices of the highest 2.5% of scores (N,), at least one."""
    return np.argsort(scores, kind="stable")[-max(1, round(TOP_SHARE * scores.size)) :]


def why_outranked(rank: float, gate: float, better: tuple[str, ...]) -> str:
    """Why the rank's gate closes. better: names of sounds that fit better, best first."""
    others = f" ({', '.join(better)})" if better else ""
    return f"another sound fits better{others}: {rank:.0%} of other sounds fit worse, below {gate:.0%}"


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
