"""Appearance families of the musical classes. Each function draws one random member with the pen."""

from __future__ import annotations

import numpy as np

from moca.stage.sprites import Pen, any_colour, grey, near_colour, shade

Rng = np.random.Generator


def draw_guitar(side: int, rng: Rng) -> Pen:
    """Two-lobed body, sound hole, long neck with a head, strings."""
    body = near_colour(rng, 0.07, 0.06, (0.45, 0.95)) if rng.random() < 0.5 else any_colour(rng)
    dark, pen = shade(body, rng.uniform(0.35, 0.6)), Pen(side, body)
    lower, upper = rng.uniform(0.36, 0.48), rng.uniform(0.26, 0.36)
    neck, top = rng.uniform(0.05, 0.085), rng.uniform(-1.0, -0.85)
    wood = near_colour(rng, 0.07, 0.04, (0.15, 0.5))
    pen.box(-neck, top + 0.1, neck, 0.2, wood)
    pen.poly([(-neck * 1.9, top), (neck * 1.9, top), (neck * 1.3, top + 0.2), (-neck * 1.3, top + 0.2)], dark)
    low, high = 0.98 - lower * 0.9, 0.98 - lower * 1.75
    for grow, paint in ((0.035, dark), (0.0, body)):
        pen.oval((0, low), (lower + grow, lower * 0.9 + grow), paint)
        pen.oval((0, high), (upper + grow, upper * 0.85 + grow), paint)
        waist = rng.uniform(0.75, 0.9) * upper + grow
        pen.box(-waist, high, waist, low, paint)
    if rng.random() < 0.35:  # pick guard
        pen.oval((0.15, low - 0.12), (0.13, 0.2), shade(body, 1.4), turn=30, solid=False)
    hole = rng.uniform(0.09, 0.14)
    pen.oval((0, (low + high) / 2), (hole * 1.25, hole * 1.25), shade(body, 1.35), solid=False)
    pen.oval((0, (low + high) / 2), (hole, hole), (20, 14, 10), solid=False)
    pen.box(-neck, top + 0.2, neck, high - hole * 0.4, wood, solid=False)
    for fret in np.linspace(top + 0.25, high - 0.1, int(rng.integers(4, 9))):
        pen.stroke([(-neck, fret), (neck, fret)], 0.012, (190, 180, 150), solid=False)
    pen.box(-0.16, low + 0.12, 0.16, low + 0.17, dark, solid=False)
    for x in (-0.03, 0.0, 0.03):
        pen.stroke([(x, top + 0.1), (x, low + 0.14)], 0.008, (225, 220, 205), solid=False)
    return pen


def draw_bell(side: int, rng: Rng) -> Pen:
    """Flared cup with a loop on top, bands, and a clapper below."""
    metal = near_colour(rng, 0.12, 0.04, (0.5, 1.0)) if rng.random() < 0.6 else any_colour(rng)
    pen, dark = Pen(side, metal), shade(metal, 0.5)
    mouth, crown = rng.uniform(0.6, 0.85), rng.uniform(0.24, 0.38)
    y, bend = np.linspace(0, 1, 20), rng.uniform(2.2, 5.0)
    half = crown + (mouth - crown) * (0.25 * y + 0.75 * y**bend)
    half[:3] *= np.array([0.55, 0.85, 0.97])
    drop = -0.7 + 1.3 * y
    pen.ring((0, -0.82), (0.13, 0.13), 0.07, dark)
    pen.oval((rng.uniform(-0.15, 0.15), 0.74), (0.15, 0.15), shade(metal, 0.4))
    pen.poly(np.concatenate([np.stack([-half, drop], 1), np.stack([half, drop], 1)[::-1]]), metal)
    shine = rng.uniform(-0.6, 0.3)
    pen.poly(
        np.concatenate([np.stack([half * shine, drop], 1), np.stack([half * (shine + 0.3), drop], 1)[::-1]]),
        shade(metal, 1.35),
        solid=False,
    )
    pen.oval((0, 0.6), (mouth, rng.uniform(0.06, 0.13)), dark)
    pen.oval((0, 0.61), (mouth * 0.86, 0.06), shade(metal, 0.3), solid=False)
    for level in rng.uniform(0.15, 0.9, int(rng.integers(0, 3))):
        width = float(np.interp(level, y, half))
        pen.stroke([(-width, -0.7 + 1.3 * level), (width, -0.7 + 1.3 * level)], 0.035, dark, solid=False)
    return pen


def draw_drum(side: int, rng: Rng) -> Pen:
    """Cylinder seen from above: pale skin, two hoops, zigzag lacing."""
    shell, hoop = any_colour(rng), any_colour(rng, value=(0.3, 0.9))
    pen = Pen(side, shell)
    wide, tall, flat = rng.uniform(0.7, 0.95), rng.uniform(0.35, 0.72), rng.uniform(0.16, 0.3)
    foot = wide * rng.uniform(0.75, 1.0)
    pen.oval((0, tall), (foot, flat), hoop)
    pen.poly([(-wide, -tall), (wide, -tall), (foot, tall), (-foot, tall)], hoop)
    pen.oval((0, tall - 0.1), (foot, flat), shell, solid=False)
    pen.poly([(-wide, -tall), (wide, -tall), (foot, tall - 0.1), (-foot, tall - 0.1)], shell, solid=False)
    teeth = int(rng.integers(4, 9))
    x = np.linspace(-0.97, 0.97, 2 * teeth + 1)
    bow = flat * np.sqrt(1 - x**2)
    upper, lower = -tall + 0.12 + bow, tall - 0.2 + bow
    zig = np.where(np.arange(len(x)) % 2, upper, lower)
    pen.stroke(np.stack([x * (wide + foot) / 2, zig], 1), 0.04, grey(rng, 200, 245), solid=False)
    pen.oval((0, -tall), (wide, flat), hoop)
    pen.oval((0, -tall - 0.02), (wide * 0.92, flat * 0.85), grey(rng, 195, 250), solid=False)
    if rng.random() < 0.4:
        stick = near_colour(rng, 0.09, 0.03, (0.5, 0.9))
        pen.stroke([(-0.5, -tall - 0.28), (0.15, -tall + 0.03)], 0.06, stick)
        pen.oval((0.15, -tall + 0.03), (0.07, 0.06), stick)
    return pen


def draw_synth(side: int, rng: Rng) -> Pen:
    """Flat box with a chequered pad field, a knob strip and a frame."""
    case, pad = any_colour(rng, value=(0.1, 0.6)), any_colour(rng, value=(0.6, 1.0))
    pen = Pen(side, case)
    wide, tall = rng.uniform(0.75, 0.95), rng.uniform(0.55, 0.9)
    pen.box(-wide, -tall, wide, tall, case)
    strip = rng.uniform(0.0, 0.45) * tall
    edge = rng.uniform(0.04, 0.1)
    columns, rows = int(rng.integers(4, 9)), int(rng.integers(3, 8))
    other = shade(pad, rng.uniform(0.1, 0.4)) if rng.random() < 0.7 else grey(rng, 5, 60)
    xs = np.linspace(-wide + edge, wide - edge, columns + 1)
    ys = np.linspace(-tall + edge + strip, tall - edge, rows + 1)
    for i in range(columns):
        for j in range(rows):
            paint = pad if (i + j) % 2 else other
            pen.box(xs[i], ys[j], xs[i + 1], ys[j + 1], paint, solid=False)
    if strip > 0.16:
        for x in np.linspace(-wide + 0.2, wide - 0.2, int(rng.integers(3, 7))):
            pen.oval((x, -tall + edge / 2 + strip / 2), (strip * 0.3, strip * 0.3), shade(pad, 0.9), solid=False)
    return pen


def draw_flute(side: int, rng: Rng) -> Pen:
    """Long thin tube with bands, a row of finger holes and a blow hole."""
    metal = grey(rng, 130, 240) if rng.random() < 0.5 else any_colour(rng)
    pen, half = Pen(side, metal), rng.uniform(0.095, 0.15)
    end = half * rng.uniform(0.7, 1.0)
    pen.poly([(-1, -half), (1, -end), (1, end), (-1, half)], metal)
    pen.poly(
        [(-1, -half * 0.55), (1, -end * 0.55), (1, -end * 0.1), (-1, -half * 0.1)],
        shade(metal, 1.3),
        solid=False,
    )
    band, dark = near_colour(rng, 0.12, 0.06, (0.5, 0.95)), (22, 20, 20)
    for x in (-0.98, -0.62, rng.uniform(0.0, 0.2), 0.92):
        pen.box(x, -half, x + rng.uniform(0.04, 0.09), half, band, solid=False)
    pen.oval((-0.8, 0), (0.07, half * 0.5), dark, solid=False)
    count = int(rng.integers(5, 9))
    for x in np.linspace(-0.45, 0.8, count):
        pen.oval((x, 0), (half * 0.45, half * 0.45), dark, solid=False)
    if rng.random() < 0.4:  # keys stand out on one side
        for x in np.linspace(-0.35, 0.75, count - 1):
            pen.oval((x, -half), (0.05, half * 0.4), band)
    return pen
