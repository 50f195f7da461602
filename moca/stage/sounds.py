"""Sound families of Soundstage's classes: from a class name to a random voice of any length.

Every voice function takes the generator and a number of samples and returns (samples,) float32 of any scale;
pitch, tempo, timbre and envelopes are drawn anew each time. `render_voice` adds the room and sets the level.
"""

from __future__ import annotations

from collections.abc import Callable

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
    wander,
)


def guitar(rng: Rng, samples: int) -> np.ndarray:
    """Plucked strings: harmonics that die away, the high ones first."""
    wave, root = np.zeros(samples, np.float32), rng.uniform(85, 260)
    number, place = np.arange(1, 25), rng.uniform(0.1, 0.45)
    strength = np.abs(np.sin(np.pi * number * place)) / number ** rng.uniform(0.7, 1.3)
    dull = harmonic_table(strength[:6] / np.arange(1, 7), rng)
    bright = harmonic_table(below_nyquist(strength, root * 2), rng)
    slow, fast, steps = rng.uniform(0.25, 0.7), rng.uniform(0.06, 0.18), np.array([0, 3, 5, 7, 10, 12])
    length = int(SAMPLE_RATE_HZ * min(1.0, slow * 3))
    envelope, flash = decay(length, slow), decay(length, fast, 0.001)
    for at in onsets(rng, samples, rng.uniform(1.8, 5.0)):
        turns = phases(root * 2 ** (rng.choice(steps) / 12), length)
        note = look_up(turns, dull) * envelope + look_up(turns, bright) * flash
        add_at(wave, note * np.float32(rng.uniform(0.6, 1.0)), at)
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
    for at in onsets(rng, samples, rng.uniform(1.1, 2.8)):
        add_at(wave, sound * np.float32(rng.uniform(0.6, 1.0)), at)
    return wave


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
    for at in onsets(rng, samples, rng.uniform(3.5, 9.0), 0.25):
        if rng.random() < 0.85:
            path = middle * rng.uniform(0.88, 1.12) * (1 + sweep * shape + trill)
            chirp = tone(path, length) * hump(length, 0.012)
            add_at(wave, chirp * np.float32(rng.uniform(0.4, 1.0)), at)
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
    for number, at in enumerate(onsets(rng, samples, rng.uniform(3.0, 7.5), 0.04)):
        add_at(wave, (thump + snare * rattle) * np.float32(accents[number % 4]), at)
    return wave


def fountain(rng: Rng, samples: int) -> np.ndarray:
    """Water: a wash of noise that swells, and many short rising bubbles."""
    wash = shaped_noise(rng, samples, low_hz=rng.uniform(350, 900), high_hz=rng.uniform(4000, 7000), slope=0.4)
    wave = wash * (1 + np.float32(rng.uniform(0.15, 0.5)) * wander(rng, samples, rng.uniform(5, 14)))
    length, loud = int(0.045 * SAMPLE_RATE_HZ), rng.uniform(0.8, 2.2)
    middle, rise = rng.uniform(700, 1500), np.linspace(0.85, 1.35, length)
    fall = decay(length, 0.012, 0.003)
    for at in onsets(rng, samples, rng.uniform(14, 28), 0.5):
        blob = tone(middle * rng.uniform(0.6, 1.7) * rise, length) * fall
        add_at(wave, blob * np.float32(loud * rng.uniform(0.3, 1.5)), at)
    return wave


def synth(rng: Rng, samples: int) -> np.ndarray:
    """FM arpeggio: metallic notes in quick steps, each falling in brightness."""
    wave, root = np.zeros(samples, np.float32), rng.uniform(160, 480)
    ratio, index, rate = rng.choice([0.5, 1.41, 2.0, 2.76, 3.5]), rng.uniform(2.5, 7.0), rng.uniform(5, 11)
    length = int(SAMPLE_RATE_HZ / rate * rng.uniform(0.7, 1.05))
    gate, bright = hump(length, 0.006), np.exp(-np.arange(length) / (0.4 * length)).astype(np.float32)
    pattern = rng.choice([0, 4, 7, 11, 12, 16, 19], 4)
    for number, at in enumerate(onsets(rng, samples, rate, 0.01)):
        pitch = root * 2 ** (pattern[number % 4] / 12)
        mod = tone(pitch * ratio, length) * bright
        add_at(wave, look_up(phases(pitch, length) + mod * (index / (2 * np.pi))) * gate, at)
    return wave


def flute(rng: Rng, samples: int) -> np.ndarray:
    """Blown tube: long soft notes, nearly pure, with vibrato and breath."""
    root, steps = rng.uniform(480, 950), np.array([0, 2, 4, 5, 7, 9, 12])
    table = harmonic_table(np.array([1, rng.uniform(0.05, 0.3), rng.uniform(0.02, 0.15), 0.03]), rng)
    starts = onsets(rng, samples, rng.uniform(1.0, 2.8), 0.2)
    path = np.full(samples, root, np.float32)
    swell = np.ones(samples, np.float32)
    dip = 1 - hump(int(0.05 * SAMPLE_RATE_HZ), 0.02)
    for at in starts:
        path[max(0, at) :] = root * 2 ** (rng.choice(steps) / 12)
        if 0 <= at < samples - len(dip):
            swell[at : at + len(dip)] *= dip
    vibrato = 1 + np.float32(rng.uniform(0.004, 0.02)) * tone(rng.uniform(4, 7), samples, rng.random())
    breath = shaped_noise(rng, samples, low_hz=root, high_hz=root * 4) * np.float32(rng.uniform(0.02, 0.12))
    return (look_up(phases(path * vibrato, samples), table) + breath) * swell


def clock(rng: Rng, samples: int) -> np.ndarray:
    """Ticks: very short resonant clicks, alternately higher and lower."""
    wave, length = np.zeros(samples, np.float32), int(0.06 * SAMPLE_RATE_HZ)
    pitch, ring = rng.uniform(1300, 3200), rng.uniform(0.003, 0.011)
    tail, snap = decay(length, ring, 0.0004), decay(length, 0.0012, 0.0001)
    clicks = []
    for factor in (1.0, rng.uniform(0.65, 0.92)):
        hit = tone(pitch * factor, length) + 0.6 * tone(pitch * factor * rng.uniform(1.4, 1.9), length)
        clicks.append(hit * tail + rng.standard_normal(length, dtype=np.float32) * snap)
    for number, at in enumerate(onsets(rng, samples, rng.uniform(2.0, 5.5), 0.01)):
        add_at(wave, clicks[number % 2], at)
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
    place = (phases(1 / cycle, samples, rng.random())) % 1.0
    gate = np.clip(np.minimum(place, share - place) * cycle / 0.008, 0, 1).astype(np.float32)
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
    for at in np.cumsum(gaps).astype(np.int64) - int(gaps[0]):
        add_at(croak, hit, int(at))
    croak *= hump(length, length / SAMPLE_RATE_HZ * 0.3)
    for at in onsets(rng, samples, rng.uniform(1.8, 3.6), 0.12):
        add_at(wave, croak * np.float32(rng.uniform(0.5, 1.0)), at)
    return wave


VOICES: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "guitar": guitar,
    "bell": bell,
    "car": car,
    "bird": bird,
    "siren": siren,
    "drum": drum,
    "fountain": fountain,
    "synth": synth,
    "flute": flute,
    "clock": clock,
    "kettle": kettle,
    "fan": fan,
    "phone": phone,
    "frog": frog,
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
