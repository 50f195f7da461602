"""Sound families of the musical classes.

Each function takes the generator and a number of samples and returns (samples,) float32 of any scale; pitch, tempo,
timbre and envelopes are drawn anew each time.
"""

from __future__ import annotations

import numpy as np

from moca.stage.synthesis import (
    SAMPLE_RATE_HZ,
    Rng,
    add_at,
    below_nyquist,
    decay,
    harmonic_table,
    hump,
    look_up,
    onsets,
    phases,
    shaped_noise,
    tone,
)


def guitar(rng: Rng, samples: int) -> np.ndarray:
    """Plucked strings: harmonics that die away, the high ones first."""
    wave, root = np.zeros(samples, np.float32), rng.uniform(85, 260)
    number, plucked = np.arange(1, 25), rng.uniform(0.1, 0.45)
    strength = np.abs(np.sin(np.pi * number * plucked)) / number ** rng.uniform(0.7, 1.3)
    dull = harmonic_table(strength[:6] / np.arange(1, 7), rng)
    bright = harmonic_table(below_nyquist(strength, root * 2), rng)
    slow, fast, steps = rng.uniform(0.25, 0.7), rng.uniform(0.06, 0.18), np.array([0, 3, 5, 7, 10, 12])
    length = int(SAMPLE_RATE_HZ * min(1.0, slow * 3))
    envelope, flash = decay(length, slow), decay(length, fast, 0.001)
    for start in onsets(rng, samples, rng.uniform(1.8, 5.0)):
        turns = phases(root * 2 ** (rng.choice(steps) / 12), length)
        note = look_up(turns, dull) * envelope + look_up(turns, bright) * flash
        add_at(wave, note * np.float32(rng.uniform(0.6, 1.0)), start)
    return wave


def bell(rng: Rng, samples: int) -> np.ndarray:
    """Strikes of inharmonic partials that ring on."""
    wave, strike = np.zeros(samples, np.float32), rng.uniform(350, 1100)
    ratios = np.array([0.5, 1.0, 1.19, 1.51, 2.0, 2.66, 3.01, 4.17, 5.43]) * (1 + rng.uniform(-0.015, 0.015, 9))
    ring, length = rng.uniform(0.3, 1.0), int(SAMPLE_RATE_HZ * 1.6)
    sound = np.zeros(length, np.float32)
    for number, ratio in enumerate(ratios[ratios * strike < 7400]):
        fade = ring / (1 + 0.35 * number)
        part = min(length, int(SAMPLE_RATE_HZ * 5 * fade))
        loud = np.float32(rng.uniform(0.3, 1.0) / (1 + 0.15 * number))
        sound[:part] += loud * decay(part, fade, 0.001) * tone(ratio * strike, part)
    for start in onsets(rng, samples, rng.uniform(1.1, 2.8)):
        add_at(wave, sound * np.float32(rng.uniform(0.6, 1.0)), start)
    return wave


def drum(rng: Rng, samples: int) -> np.ndarray:
    """Hits: a falling low thump with a burst of noise, in a repeated pattern of accents."""
    wave, pitch = np.zeros(samples, np.float32), rng.uniform(60, 190)
    length = int(SAMPLE_RATE_HZ * 0.35)
    fall = 1 + rng.uniform(0.3, 1.2) * np.exp(-np.arange(length) / (0.025 * SAMPLE_RATE_HZ))
    thump = tone(pitch * fall, length) * decay(length, rng.uniform(0.05, 0.14), 0.001)
    rattle = shaped_noise(rng, length, low_hz=rng.uniform(150, 900), high_hz=rng.uniform(2500, 6500))
    rattle *= decay(length, rng.uniform(0.015, 0.06), 0.001)
    snare = np.float32(rng.uniform(0.1, 0.6))
    accents = rng.choice([0.35, 0.6, 1.0], 4)
    for number, start in enumerate(onsets(rng, samples, rng.uniform(3.0, 7.5), 0.04)):
        add_at(wave, (thump + snare * rattle) * np.float32(accents[number % 4]), start)
    return wave


def synth(rng: Rng, samples: int) -> np.ndarray:
    """FM arpeggio: metallic notes in quick steps, each falling in brightness."""
    wave, root = np.zeros(samples, np.float32), rng.uniform(160, 480)
    ratio, index, rate = rng.choice([0.5, 1.41, 2.0, 2.76, 3.5]), rng.uniform(2.5, 7.0), rng.uniform(5, 11)
    length = int(SAMPLE_RATE_HZ / rate * rng.uniform(0.7, 1.05))
    gate, bright = hump(length, 0.006), np.exp(-np.arange(length) / (0.4 * length)).astype(np.float32)
    pattern = rng.choice([0, 4, 7, 11, 12, 16, 19], 4)
    for number, start in enumerate(onsets(rng, samples, rate, 0.01)):
        pitch = root * 2 ** (pattern[number % 4] / 12)
        mod = tone(pitch * ratio, length) * bright
        add_at(wave, look_up(phases(pitch, length) + mod * (index / (2 * np.pi))) * gate, start)
    return wave


def flute(rng: Rng, samples: int) -> np.ndarray:
    """Blown tube: long soft notes, nearly pure, with vibrato and breath."""
    root, steps = rng.uniform(480, 950), np.array([0, 2, 4, 5, 7, 9, 12])
    table = harmonic_table(np.array([1, rng.uniform(0.05, 0.3), rng.uniform(0.02, 0.15), 0.03]), rng)
    starts = onsets(rng, samples, rng.uniform(1.0, 2.8), 0.2)
    path = np.full(samples, root, np.float32)
    swell = np.ones(samples, np.float32)
    dip = 1 - hump(int(0.05 * SAMPLE_RATE_HZ), 0.02)
    for start in starts:
        path[max(0, start) :] = root * 2 ** (rng.choice(steps) / 12)
        if 0 <= start < samples - len(dip):
            swell[start : start + len(dip)] *= dip
    vibrato = 1 + np.float32(rng.uniform(0.004, 0.02)) * tone(rng.uniform(4, 7), samples, rng.random())
    breath = shaped_noise(rng, samples, low_hz=root, high_hz=root * 4) * np.float32(rng.uniform(0.02, 0.12))
    return (look_up(phases(path * vibrato, samples), table) + breath) * swell
