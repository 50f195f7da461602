"""Coloured noise: sounds that no object makes, and that a fountain, a waterfall or the wind might."""

from __future__ import annotations

import numpy as np

SLOPES = (-0.5, 2.0)
"""Power falls as frequency to minus this: from a little blue over white (0) and pink (1) to brown (2)."""
LOW_HZ, HIGH_HZ = (20.0, 400.0), (1_500.0, 8_000.0)
LEVELS_DBFS = (-40.0, -12.0)


def coloured_noise(samples: int, rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    """Noise of a random colour, band and level, (samples,) float32 in [-1, 1].

    Power falls as frequency**-slope between a lower and an upper edge, all drawn from the ranges above, and so is the
    RMS level. samples: at least 2.
    """
    slope = generator.uniform(*SLOPES)
    low_hz, high_hz = (float(np.exp(generator.uniform(*np.log(ends)))) for ends in (LOW_HZ, HIGH_HZ))
    hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    shape = np.zeros(len(hz))
    shape[1:] = hz[1:] ** (-slope / 2) / np.sqrt((1 + (low_hz / hz[1:]) ** 4) * (1 + (hz[1:] / high_hz) ** 8))
    wave = np.fft.irfft(np.fft.rfft(generator.standard_normal(samples)) * shape, samples)
    wave *= 10 ** (generator.uniform(*LEVELS_DBFS) / 20) / max(float(np.sqrt(np.mean(wave**2))), 1e-12)
    return np.clip(wave, -1, 1).astype(np.float32)
