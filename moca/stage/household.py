"""Appearance families of the remaining classes: kettle, fan, phone, frog."""

from __future__ import annotations

import numpy as np

from moca.stage.sprites import Pen, any_colour, grey, near_colour, shade

Rng = np.random.Generator


def draw_kettle(side: int, rng: Rng) -> Pen:
    """Bulging pot with a spout, an arched handle and a lid with a knob."""
    coat = grey(rng, 120, 230) if rng.random() < 0.35 else any_colour(rng)
    pen, dark = Pen(side, coat), grey(rng, 15, 70)
    wide, foot = rng.uniform(0.55, 0.68), rng.uniform(0.45, 0.6)
    top, belly = rng.uniform(-0.3, -0.1), rng.uniform(0.3, 0.5)
    lift = rng.uniform(0.45, 0.62)
    arch = np.linspace(np.pi, 2 * np.pi, 15)
    pen.stroke(np.stack([np.cos(arch) * wide * 0.85, top + np.sin(arch) * lift], 1), 0.1, dark)
    pen.poly(
        [
            (wide * 0.6, belly),
            (0.8, top + 0.05),
            (0.98, top - 0.02),
            (0.94, top + 0.14),
            (wide * 0.8, belly + 0.22),
        ],
        coat,
    )
    height = np.linspace(0, 1, 14)
    half = np.interp(height, [0, 0.15, 0.6, 1.0], [wide * 0.62, wide * 0.85, wide * 1.05, foot])
    drop = top + (0.85 - top) * height
    pen.poly(np.concatenate([np.stack([-half, drop], 1), np.stack([half, drop], 1)[::-1]]), coat)
    pen.poly(
        np.concatenate([np.stack([-half * 0.7, drop], 1), np.stack([-half * 0.4, drop], 1)[::-1]]),
        shade(coat, 1.4),
        solid=False,
    )
    pen.oval((0, top), (wide * 0.62, 0.1), shade(coat, 0.75))
    pen.oval((0, top - 0.12), (0.1, 0.09), dark)
    pen.stroke([(-foot, 0.8), (foot, 0.8)], 0.07, shade(coat, 0.55), solid=False)
    if rng.random() < 0.4:
        pen.box(-wide, 0.25, wide, 0.4, any_colour(rng), solid=False)
    return pen


def draw_fan(side: int, rng: Rng) -> Pen:
    """Propeller: three to five broad blades around a hub, sometimes in a round case."""
    blade = any_colour(rng)
    pen, count = Pen(side, blade), int(rng.integers(3, 6))
    start, sweep = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.55)
    along = np.linspace(0, 1, 12)
    other = blade if rng.random() < 0.6 else any_colour(rng)
    if rng.random() < 0.4:
        case = grey(rng)
        pen.oval((0, 0), (1.0, 1.0), shade(case, 0.6))
        pen.oval((0, 0), (0.9, 0.9), case, solid=False)
    for number in range(count):
        angle = start + 2 * np.pi * number / count
        spread = np.sin(np.pi * np.clip(along * 0.88 + 0.07, 0, 1)) ** 0.7 * rng.uniform(0.85, 1.0) * (1.5 / count)
        reach = 0.1 + 0.83 * along
        lead, trail = angle + sweep * along - spread * 0.5, angle + sweep * along + spread * 0.5
        edge = np.stack([reach * np.cos(lead), reach * np.sin(lead)], 1)
        back = np.stack([reach * np.cos(trail), reach * np.sin(trail)], 1)
        paint = blade if number % 2 else other
        pen.poly(np.concatenate([edge, back[::-1]]), paint)
        pen.poly(np.concatenate([edge, ((edge + back) / 2)[::-1]]), shade(paint, 0.72), solid=False)
    hub = rng.uniform(0.15, 0.24)
    pen.oval((0, 0), (hub, hub), grey(rng, 30, 220))
    pen.oval((0, 0), (hub * 0.45, hub * 0.45), grey(rng, 30, 220), solid=False)
    return pen


def draw_phone(side: int, rng: Rng) -> Pen:
    """Old telephone: sloped base, dial with holes, handset across the top."""
    coat = any_colour(rng, value=(0.15, 0.95))
    pen, hand = Pen(side, coat), coat
    if rng.random() < 0.4:
        hand = any_colour(rng, value=(0.15, 0.95))
    top, shoulder, foot = rng.uniform(-0.35, -0.2), rng.uniform(0.3, 0.45), rng.uniform(0.72, 0.9)
    pen.poly([(-shoulder, top), (shoulder, top), (foot, 0.62), (foot, 0.8), (-foot, 0.8), (-foot, 0.62)], coat)
    pen.box(-foot, 0.7, foot, 0.8, shade(coat, 0.55), solid=False)
    for x in (-shoulder * 0.7, shoulder * 0.7):
        pen.box(x - 0.07, top - 0.2, x + 0.07, top + 0.05, shade(coat, 0.8))
    centre, radius = (0, 0.26), rng.uniform(0.3, 0.37)
    pen.oval(centre, (radius, radius), grey(rng, 185, 250), solid=False)
    pen.oval(centre, (radius * 0.42, radius * 0.42), shade(coat, 0.7), solid=False)
    for angle in np.linspace(0.4, 2 * np.pi - 0.6, 9):
        spot = (centre[0] + 0.72 * radius * np.cos(angle), centre[1] + 0.72 * radius * np.sin(angle))
        pen.oval(spot, (radius * 0.14, radius * 0.14), (30, 28, 34), solid=False)
    bow, cup = rng.uniform(0.05, 0.2), rng.uniform(0.17, 0.24)
    arch = np.linspace(-1, 1, 11)
    pen.stroke(np.stack([arch * 0.74, top - 0.22 - bow * (1 - arch**2)], 1), 0.17, hand)
    for x in (-0.75, 0.75):
        pen.oval((x, top - 0.08), (cup, cup * 1.05), hand)
        pen.oval((x, top + 0.02), (cup * 0.8, cup * 0.4), shade(hand, 0.5), solid=False)
    return pen


def draw_frog(side: int, rng: Rng) -> Pen:
    """Squat body with two bulging eyes on top, a wide mouth, folded legs, spots."""
    skin = near_colour(rng, 0.3, 0.1, (0.35, 0.95)) if rng.random() < 0.5 else any_colour(rng)
    pen, belly = Pen(side, skin), shade(skin, 1.45)
    wide, deep = rng.uniform(0.55, 0.68), rng.uniform(0.45, 0.58)
    for sign in (-1, 1):
        pen.oval((sign * wide * 1.05, 0.42), (0.26, 0.42), shade(skin, 0.85), turn=sign * rng.uniform(-35, -10))
        pen.oval((sign * wide * 1.05, 0.82), (0.27, 0.09), shade(skin, 0.8))
        pen.stroke([(sign * 0.3, 0.4), (sign * 0.28, 0.84)], 0.14, shade(skin, 0.9))
    pen.oval((0, 0.25), (wide, deep), skin)
    pen.oval((0, 0.45), (wide * 0.65, deep * 0.55), belly, solid=False)
    pen.oval((0, -0.2), (wide * 0.95, 0.36), skin)
    for x, y in rng.uniform(-1, 1, (int(rng.integers(0, 8)), 2)):
        pen.oval((x * wide * 0.7, 0.1 + y * 0.4), (0.06, 0.05), shade(skin, 0.55), solid=False)
    eye, apart = rng.uniform(0.17, 0.23), rng.uniform(0.3, 0.4)
    iris = any_colour(rng, value=(0.6, 1.0)) if rng.random() < 0.5 else (245, 245, 225)
    for x in (-apart, apart):
        pen.oval((x, -0.5), (eye, eye), skin)
        pen.oval((x, -0.52), (eye * 0.7, eye * 0.7), iris, solid=False)
        pen.oval((x, -0.52), (eye * 0.42, eye * 0.3), (8, 8, 8), solid=False)
    arc = np.linspace(-1, 1, 13)
    curl = rng.uniform(0.06, 0.16)
    pen.stroke(np.stack([arc * wide * 0.75, -0.08 - curl * arc**2 + 0.05], 1), 0.045, shade(skin, 0.3), solid=False)
    return pen
