"""A bank of sounds of many kinds, to compare any sound with: every voice of the stage, and what no voice is.

Deterministic: the same samples for the same `RECIPE`. Each is one second at 16 kHz.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import numpy as np

from moca.stage.sounds import VOICES, limit, render_voice
from moca.stage.synthesis import (
    SAMPLE_RATE_HZ,
    Rng,
    add_at,
    decay,
    harmonic_table,
    hump,
    look_up,
    onsets,
    phases,
    shaped_noise,
    tone,
    wander,
)

RECIPE = 1
"""Number of this recipe; to be raised with every change that changes a sample."""
SAMPLES = SAMPLE_RATE_HZ
OF_A_VOICE = 6
LEVELS_DB = (-32.0, -14.0)


def steady_tone(rng: Rng, samples: int) -> np.ndarray:
    """One to three steady tones, with a few harmonics."""
    low = np.exp(rng.uniform(np.log(80), np.log(3500)))
    table = harmonic_table(rng.uniform(0, 1, rng.integers(1, 5)) + 1e-3, rng)
    pitches = low * np.array([1.0, 1.26, 1.5])[: rng.integers(1, 4)]
    return sum(look_up(phases(pitch, samples, rng.random()), table) for pitch in pitches)


def chirp(rng: Rng, samples: int) -> np.ndarray:
    """A tone that sweeps up or down, once or again and again."""
    ends = np.exp(rng.uniform(np.log(120), np.log(6500), 2))
    turns = phases(rng.choice([1.0, 2.0, 4.0]), samples, rng.random()) % 1.0
    return tone(ends[0] * (ends[1] / ends[0]) ** turns, samples)


def clicks(rng: Rng, samples: int) -> np.ndarray:
    """Short clicks at a tempo, from a slow knock to a rattle."""
    wave, length = np.zeros(samples, np.float32), int(0.05 * SAMPLE_RATE_HZ)
    hit = rng.standard_normal(length, dtype=np.float32) * decay(length, rng.uniform(0.001, 0.012), 0.0002)
    hit += np.float32(rng.uniform(0, 1)) * tone(rng.uniform(200, 4000), length) * decay(length, 0.01, 0.0004)
    for start in onsets(rng, samples, np.exp(rng.uniform(np.log(1.5), np.log(40))), rng.uniform(0, 0.4)):
        add_at(wave, hit * np.float32(rng.uniform(0.5, 1.0)), start)
    return wave


def speech(rng: Rng, samples: int) -> np.ndarray:
    """Something like speech: a gliding buzz through moving resonances, in syllables with hissing between."""
    pitch = rng.uniform(85, 260) * (1 + 0.2 * wander(rng, samples, 4.0))
    turns = phases(pitch, samples, rng.random())
    number = np.arange(1, 1 + int(7000 / pitch.max()))
    wave = np.zeros(samples, np.float32)
    resonances = [rng.uniform(*ends) * (1 + 0.35 * wander(rng, samples, 5.0)) for ends in ((300, 800), (900, 2200))]
    for k in number:
        loud = sum(1 / (1 + ((k * pitch - middle) / 150.0) ** 2) for middle in resonances) / np.sqrt(k)
        wave += look_up(turns * k) * loud.astype(np.float32)
    syllable = int(SAMPLE_RATE_HZ * rng.uniform(0.12, 0.22))
    gate = np.zeros(samples, np.float32)
    for start in onsets(rng, samples, rng.uniform(3.5, 6.5), 0.2):
        add_at(gate, hump(syllable, 0.03) * np.float32(rng.uniform(0.5, 1.0)), start)
    hiss = shaped_noise(rng, samples, low_hz=3000, high_hz=7000) * np.float32(rng.uniform(0.02, 0.1))
    return wave / np.float32(np.abs(wave).max() + 1e-9) * np.minimum(gate, 1) + hiss * (1 - np.minimum(gate, 1))


def coloured_noise(rng: Rng, samples: int) -> np.ndarray:
    """White, pink or brown noise, in a wide or a narrow band, steady or swelling."""
    low = np.exp(rng.uniform(np.log(30), np.log(2500)))
    high = min(7500.0, low * np.exp(rng.uniform(np.log(2), np.log(100))))
    noise = shaped_noise(rng, samples, low_hz=low, high_hz=high, slope=rng.choice([0.0, 0.5, 1.0]))
    return noise * (1 + np.float32(rng.choice([0.0, 0.3, 0.9])) * wander(rng, samples, rng.uniform(1, 25)))


FURTHER: dict[str, tuple[Callable[[Rng, int], np.ndarray], int]] = {
    "steady tone": (steady_tone, 12),
    "chirp": (chirp, 12),
    "clicks": (clicks, 12),
    "speech-like": (speech, 16),
    "noise": (coloured_noise, 24),
}
"""What no voice is: by name, what draws one, and how many there are."""


def other_sounds() -> Iterator[tuple[str, np.ndarray]]:
    """Name and wave, (16000,) float32 in [-1, 1], of each of the 160 sounds."""
    for name in VOICES:
        for number in range(OF_A_VOICE):
            rng = _generator(name, number)
            yield name, limit(render_voice(name, rng, samples=SAMPLES, level_db=rng.uniform(*LEVELS_DB)))
    for name, (draw, count) in FURTHER.items():
        for number in range(count):
            rng = _generator(name, number)
            wave = draw(rng, SAMPLES).astype(np.float32)
            rms = max(float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))), 1e-6)
            yield name, limit(wave * np.float32(10 ** (rng.uniform(*LEVELS_DB) / 20) / rms))


def _generator(name: str, number: int) -> Rng:
    return np.random.default_rng([RECIPE, zlib.crc32(name.encode()), number])
