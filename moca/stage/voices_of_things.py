"""Sound families of vehicles, animals and household things.

Each function takes the generator and a number of samples and returns (samples,) float32 of any scale; pitch, tempo,
timbre and envelopes are drawn anew each time.
"""

from __future__ import annotations

import numpy as np

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


def car(rng: Rng, samples: int) -> np.ndarray:
    """Engine: a low buzzing harmonic tone that revs up and down, over rumble."""
    number = np.arange(1, 41)
    table = harmonic_table(rng.uniform(0.3, 1.0, 40) / number ** rng.uniform(0.6, 1.0), rng)
    pitch = rng.uniform(32, 80) * (1 + rng.uniform(0.03, 0.35) * wander(rng, samples, rng.uniform(0.7, 2.5)))
    turns = phases(pitch, samples, rng.random())
    throb = 1 + np.float32(rng.uniform(0.1, 0.5)) * look_up(turns / rng.integers(2, 5))
    rumble = shaped_noise(rng, samples, low_hz=40, high_hz=rng.uniform(250, 900), slope=0.5)
    return look_up(turns, table) * throb + np.float32(rng.uniform(0.03, 0.12)) * rumble


def bird(rng: Rng, samples: int) -> np.ndarray:
    """Chirps: short sweeps between 2 and 6 kHz, plain or trilled, in bursts."""
    wave, middle = np.zeros(samples, np.float32), rng.uniform(2300, 4600)
    sweep, length = (
        rng.choice([-1, 1]) * rng.uniform(0.15, 0.45),
        int(SAMPLE_RATE_HZ * rng.uniform(0.04, 0.13)),
    )
    bend = np.linspace(-1, 1, length)
    trill = rng.uniform(0, 0.12) * np.sin(2 * np.pi * np.arange(length) * rng.uniform(25, 60) / SAMPLE_RATE_HZ)
    shape = bend if rng.random() < 0.6 else 1 - 2 * bend**2
    for start in onsets(rng, samples, rng.uniform(3.5, 9.0), 0.25):
        if rng.random() < 0.85:
            path = middle * rng.uniform(0.88, 1.12) * (1 + sweep * shape + trill)
            chirp = tone(path, length) * hump(length, 0.012)
            add_at(wave, chirp * np.float32(rng.uniform(0.4, 1.0)), start)
    return wave


def siren(rng: Rng, samples: int) -> np.ndarray:
    """Alarm: a harmonic tone that wails smoothly up and down, or alternates between two pitches."""
    low = rng.uniform(450, 800)
    table = harmonic_table(np.array([1, rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.6), 0.2]), rng)
    turns = phases(rng.uniform(0.7, 3.5), samples, rng.random())
    height = 0.5 + 0.5 * look_up(turns)
    if rng.random() < 0.3:
        height = 1 / (1 + np.exp(-14 * (height - 0.5)))
    elif rng.random() < 0.3:
        height = turns % 1.0
    return look_up(phases(low * (1 + rng.uniform(0.5, 1.1) * height), samples), table)


def fountain(rng: Rng, samples: int) -> np.ndarray:
    """Water: a wash of noise that swells, and many short rising bubbles."""
    wash = shaped_noise(rng, samples, low_hz=rng.uniform(350, 900), high_hz=rng.uniform(4000, 7000), slope=0.4)
    wave = wash * (1 + np.float32(rng.uniform(0.15, 0.5)) * wander(rng, samples, rng.uniform(5, 14)))
    length, loud = int(0.045 * SAMPLE_RATE_HZ), rng.uniform(0.8, 2.2)
    middle, rise = rng.uniform(700, 1500), np.linspace(0.85, 1.35, length)
    fall = decay(length, 0.012, 0.003)
    for start in onsets(rng, samples, rng.uniform(14, 28), 0.5):
        blob = tone(middle * rng.uniform(0.6, 1.7) * rise, length) * fall
        add_at(wave, blob * np.float32(loud * rng.uniform(0.3, 1.5)), start)
    return wave


def clock(rng: Rng, samples: int) -> np.ndarray:
    """Ticks: very short resonant clicks, alternately higher and lower."""
    wave, length = np.zeros(samples, np.float32), int(0.06 * SAMPLE_RATE_HZ)
    pitch, ring = rng.uniform(1300, 3200), rng.uniform(0.003, 0.011)
    tail, snap = decay(length, ring, 0.0004), decay(length, 0.0012, 0.0001)
    clicks = []
    for factor in (1.0, rng.uniform(0.65, 0.92)):
        hit = tone(pitch * factor, length) + 0.6 * tone(pitch * factor * rng.uniform(1.4, 1.9), length)
        clicks.append(hit * tail + rng.standard_normal(length, dtype=np.float32) * snap)
    for number, start in enumerate(onsets(rng, samples, rng.uniform(2.0, 5.5), 0.01)):
        add_at(wave, clicks[number % 2], start)
    return wave


def kettle(rng: Rng, samples: int) -> np.ndarray:
    """Whistle: one or two close steady high tones that flutter and creep up, over hiss."""
    pitch = rng.uniform(1700, 3300) * (1 + rng.uniform(0.0, 0.08) * wander(rng, samples, 1.0))
    whistle = tone(pitch, samples) + np.float32(rng.uniform(0.1, 0.8)) * tone(pitch * rng.uniform(1.01, 1.07), samples)
    flutter = 1 + np.float32(rng.uniform(0.1, 0.45)) * tone(rng.uniform(9, 22), samples, rng.random())
    hiss = shaped_noise(rng, samples, low_hz=3000, high_hz=7500) * np.float32(rng.uniform(0.05, 0.25))
    return whistle * flutter + hiss


def fan(rng: Rng, samples: int) -> np.ndarray:
    """Propeller: noise chopped at the blade rate, with a weak hum."""
    rate = rng.uniform(11, 26) * (1 + 0.05 * wander(rng, samples, 1.5))
    turns = phases(rate, samples, rng.random())
    chop = (0.5 + 0.5 * look_up(turns)) ** np.float32(rng.uniform(1.5, 4.0))
    wind = shaped_noise(rng, samples, low_hz=rng.uniform(90, 250), high_hz=rng.uniform(900, 2600), slope=0.3)
    return wind * (chop + np.float32(0.08)) + np.float32(rng.uniform(0.02, 0.15)) * look_up(turns * 8)


def phone(rng: Rng, samples: int) -> np.ndarray:
    """Ring: two pitches that take turns about twenty times a second, in bursts with short gaps."""
    table = harmonic_table(np.array([1, 0.1, rng.uniform(0.2, 0.6), 0.05, rng.uniform(0.05, 0.3)]), rng)
    low, rate = rng.uniform(750, 1300), rng.uniform(13, 26)
    upper = look_up(phases(rate, samples, rng.random())) > 0
    path = np.where(upper, low * rng.uniform(1.18, 1.4), low)
    cycle, share = rng.uniform(0.45, 0.95), rng.uniform(0.6, 0.85)
    position = (phases(1 / cycle, samples, rng.random())) % 1.0
    gate = np.clip(np.minimum(position, share - position) * cycle / 0.008, 0, 1).astype(np.float32)
    return look_up(phases(path, samples), table) * gate


def frog(rng: Rng, samples: int) -> np.ndarray:
    """Croaks: bursts of a resonance struck forty to ninety times a second."""
    wave, length = np.zeros(samples, np.float32), int(SAMPLE_RATE_HZ * rng.uniform(0.16, 0.34))
    pulse = int(0.03 * SAMPLE_RATE_HZ)
    middle, rate = rng.uniform(420, 1000), rng.uniform(38, 80)
    hit = tone(middle, pulse) * decay(pulse, rng.uniform(0.004, 0.009), 0.0005)
    hit += 0.5 * tone(middle * rng.uniform(2.2, 2.9), pulse) * decay(pulse, 0.004, 0.0005)
    croak = np.zeros(length, np.float32)
    gaps = SAMPLE_RATE_HZ / (rate * np.linspace(1.0, rng.uniform(0.75, 1.3), int(rate * length / SAMPLE_RATE_HZ) + 1))
    for start in np.cumsum(gaps).astype(np.int64) - int(gaps[0]):
        add_at(croak, hit, int(start))
    croak *= hump(length, length / SAMPLE_RATE_HZ * 0.3)
    for start in onsets(rng, samples, rng.uniform(1.8, 3.6), 0.12):
        add_at(wave, croak * np.float32(rng.uniform(0.5, 1.0)), start)
    return wave
