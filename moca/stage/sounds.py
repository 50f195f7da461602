"""Soundstage's sounds: from a class name to a random voice of any length, in a room and at a level; noise; a limit.

The families of voices are in `voices_of_instruments` and `voices_of_things`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moca.stage import voices_of_instruments, voices_of_things
from moca.stage.synthesis import SAMPLE_RATE_HZ, Rng, shaped_noise

VOICES: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "guitar": voices_of_instruments.guitar,
    "bell": voices_of_instruments.bell,
    "car": voices_of_things.car,
    "bird": voices_of_things.bird,
    "siren": voices_of_things.siren,
    "drum": voices_of_instruments.drum,
    "fountain": voices_of_things.fountain,
    "synth": voices_of_instruments.synth,
    "flute": voices_of_instruments.flute,
    "clock": voices_of_things.clock,
    "kettle": voices_of_things.kettle,
    "fan": voices_of_things.fan,
    "phone": voices_of_things.phone,
    "frog": voices_of_things.frog,
}


def render_voice(name: str, rng: Rng, *, samples: int, level_db: float) -> np.ndarray:
    """One random voice of a class, (samples,) float32 with an RMS of level_db dB relative to full scale.

    A random echo and a random tilt of the spectrum stand for room and microphone.
    """
    wave = VOICES[name](rng, samples).astype(np.float32, copy=False)
    if rng.random() < 0.6:
        delay = int(rng.uniform(0.008, 0.09) * SAMPLE_RATE_HZ)
        wave = wave.copy()
        wave[delay:] += np.float32(rng.uniform(0.1, 0.4)) * wave[:-delay].copy()
    tilt = np.float32(rng.uniform(-0.35, 0.25))
    wave[1:] += tilt * wave[:-1].copy()
    rms = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
    return wave * np.float32(10 ** (level_db / 20) / max(rms, 1e-6))


def ambience(rng: Rng, *, samples: int, level_db: float) -> np.ndarray:
    """Background noise of a random colour, (samples,) float32 with an RMS of level_db."""
    noise = shaped_noise(rng, samples, low_hz=30, high_hz=rng.uniform(2500, 8000), slope=rng.uniform(0.0, 1.0))
    return noise * np.float32(10 ** (level_db / 20))


def limit(wave: np.ndarray) -> np.ndarray:
    """Keep the wave within [-1, 1]: scaled down as a whole when its peak is above 0.98."""
    peak = float(np.abs(wave).max(initial=0.0))
    return wave * np.float32(0.98 / peak) if peak > 0.98 else wave
