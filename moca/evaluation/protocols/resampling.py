"""What the protocols share when sets of clips are drawn again and again."""

from __future__ import annotations

import numpy as np


def times_drawn(draws: np.ndarray, clips: int) -> np.ndarray:
    """(S, clips) float64, how often each clip is in each of S draws; draws: (S, N) int in 0 .. clips - 1."""
    rows = np.arange(len(draws))[:, None] * clips
    return np.bincount((draws + rows).ravel(), minlength=len(draws) * clips).reshape(len(draws), clips).astype(float)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below element by element, NaN where below is 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
