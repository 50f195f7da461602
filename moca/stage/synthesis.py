"""Building blocks of Soundstage's sounds: tones, wave tables, shaped noise, events. All float32 at 16 kHz."""

from __future__ import annotations

import numpy as np

SAMPLE_RATE_HZ = 16_000
_TABLE_SIZE = 1 << 14
# A table instead of np.sin: several times faster, and the same samples on every processor.
_SINE = np.sin(2 * np.pi * np.arange(_TABLE_SIZE) / _TABLE_SIZE).astype(np.float32)

Rng = np.random.Generator


def phases(frequency_hz: float | np.ndarray, samples: int, start: float = 0.0) -> np.ndarray:
    """Phase in turns, (samples,) float64, of a constant or a per-sample frequency in Hz."""
    if np.ndim(frequency_hz) == 0:
        return start + np.arange(samples) * (float(frequency_hz) / SAMPLE_RATE_HZ)
    return start + np.cumsum(frequency_hz, dtype=np.float64) / SAMPLE_RATE_HZ


def look_up(turns: np.ndarray, table: np.ndarray = _SINE) -> np.ndarray:
    """Wave table read at a phase in turns; the table's length is a power of two."""
    return table[(turns * len(table)).astype(np.int64) & (len(table) - 1)]


def tone(frequency_hz: float | np.ndarray, samples: int, start: float = 0.0) -> np.ndarray:
    """Sine of the given frequency."""
    return look_up(phases(frequency_hz, samples, start))


def harmonic_table(amplitudes: np.ndarray, rng: Rng) -> np.ndarray:
    """One period with the given amplitudes of harmonics 1, 2, ... and random phases, peak 1."""
    spectrum = np.zeros(1025, np.complex128)
    spectrum[1 : len(amplitudes) + 1] = amplitudes * np.exp(2j * np.pi * rng.random(len(amplitudes)))
    wave = np.fft.irfft(spectrum, 2048)
    return (wave / max(1e-9, np.abs(wave).max())).astype(np.float32)


def below_nyquist(amplitudes: np.ndarray, top_hz: float) -> np.ndarray:
    """The amplitudes whose harmonics of top_hz stay below 7.5 kHz (never fewer than one)."""
    return amplitudes[: max(1, int(7500 / top_hz))]


def shaped_noise(rng: Rng, samples: int, *, low_hz: float, high_hz: float, slope: float = 0.0) -> np.ndarray:
    """Noise between two frequencies with soft edges; amplitude falls as frequency**-slope. RMS 1."""
    white = rng.standard_normal(samples, dtype=np.float32)
    spectrum = np.fft.rfft(white)
    hz = np.arange(len(spectrum), dtype=np.float32) * np.float32(SAMPLE_RATE_HZ / samples)
    shape = 1 / (1 + (np.float32(low_hz) / np.maximum(hz, 1)) ** 4) / (1 + (hz / np.float32(high_hz)) ** 8)
    if slope:
        shape *= (np.maximum(hz, 20) / 1000) ** np.float32(-slope)
    shape[0] = 0
    wave = np.fft.irfft(spectrum * shape, samples).astype(np.float32)
    return wave / np.float32(max(1e-9, np.sqrt(np.mean(np.square(wave)))))


def decay(samples: int, time_s: float, attack_s: float = 0.002) -> np.ndarray:
    """Envelope that rises linearly in attack_s and falls to 1/e every time_s."""
    seconds = np.arange(samples, dtype=np.float32) / np.float32(SAMPLE_RATE_HZ)
    return np.exp(-seconds / np.float32(time_s)) * np.minimum(seconds / np.float32(attack_s), 1)


def hump(samples: int, edge_s: float) -> np.ndarray:
    """Envelope of a held note: linear edges of edge_s, 1 in between."""
    ramp = np.arange(samples, dtype=np.float32) / np.float32(edge_s * SAMPLE_RATE_HZ)
    return np.minimum(np.minimum(ramp, ramp[::-1]), 1)


def wander(rng: Rng, samples: int, rate_hz: float) -> np.ndarray:
    """Slow smooth random curve in [-1, 1], a new random value about rate_hz times a second."""
    knots = int(np.ceil(samples / SAMPLE_RATE_HZ * rate_hz)) + 2
    values = rng.uniform(-1, 1, knots)
    positions = np.arange(samples) * (rate_hz / SAMPLE_RATE_HZ) + 0.5 * rng.random()
    return np.interp(positions, np.arange(knots), values).astype(np.float32)


def onsets(rng: Rng, samples: int, rate_hz: float, jitter: float = 0.1) -> np.ndarray:
    """Sample numbers of events at a tempo, from just before the start on, so a cut may begin inside one."""
    gap = SAMPLE_RATE_HZ / rate_hz
    grid = np.arange(-1.0, samples / gap + 1) + rng.random()
    starts = (grid + rng.uniform(-jitter, jitter, len(grid))) * gap
    return starts[starts < samples].astype(np.int64)


def add_at(wave: np.ndarray, sound: np.ndarray, start: int) -> None:
    """Add a sound into a wave at a sample number, cut at both ends."""
    first = max(0, -start)
    last = min(len(sound), len(wave) - start)
    if last > first:
        wave[start + first : start + last] += sound[first:last]
