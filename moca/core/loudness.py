"""How loud a sound is."""

from __future__ import annotations

import numpy as np


def level_dbfs(audio: np.ndarray | None) -> float:
    """RMS level of samples in [-1, 1] in dB relative to full scale; -inf for none, or digital silence.

    The mean is removed first: an offset is not a sound.
    """
    if audio is None or audio.size == 0:
        return float("-inf")
    rms = float(np.sqrt(np.mean((audio - audio.mean(dtype=np.float64)) ** 2, dtype=np.float64)))
    return 20 * float(np.log10(rms)) if rms > 1e-9 else float("-inf")
