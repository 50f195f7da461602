"""Appearance families of vehicles, animals and household things. Each function draws one random member."""

from __future__ import annotations

import numpy as np

from moca.stage.sprites import Pen, any_colour, grey, near_colour, shade

Rng = np.random.Generator


def draw_car(side: int, rng: Rng) -> Pen:
    """Side view: body, cabin with windows, two wheels, lights."""
    paint = any_colour(rng)
    pen = Pen(side, paint)
    roof, sill, floor = rng.uniform(-0.52, -0.3), rng.uniform(-0.08, 0.04), rng.uniform(0.28, 0.38)
    front, back = rng.uniform(0.35, 0.55), rng.uniform(-0.85, -0.6)
    slope_front, slope_back = rng.uniform(0.12, 0.35), rng.uniform(0.02, 0.25)
    cabin = [(back, sill), (back + slope_back, roof), (front - slope_front, roof), (front, sill)]
    pen.poly(cabin, shade(paint, rng.uniform(0.8, 1.05)))
    nose = rng.uniform(0.0, 0.14)
    pen.poly([(-0.96, sill), (0.9, sill + nose), (0.98, sill + 0.14), (0.98, floor), (-0.98, floor)], paint)
    glass = near_colour(rng, 0.56, 0.05, (0.5, 0.95)) if rng.random() < 0.6 else grey(rng, 20, 70)
    inset = np.array([(0.07, -0.03), (0.05, 0.06), (-0.04, 0.06), (-0.07, -0.03)])
    pen.poly(np.array(cabin) + inset, glass, solid=False)
    for x in rng.uniform(-0.4, 0.2, int(rng.integers(1, 3))):
        pen.box(x, roof, x + 0.05, floor, paint, solid=False)
    pen.stroke([(-0.9, floor - 0.12), (0.95, floor - 0.12)], 0.03, shade(paint, 0.6), solid=False)
    pen.oval((0.92, sill + nose + 0.12), (0.06, 0.07), (250, 240, 180), solid=False)
    pen.oval((-0.94, sill + 0.1), (0.05, 0.06), (200, 30, 30), solid=False)
    wheel, hub = rng.uniform(0.17, 0.25), grey(rng, 120, 230)
    for x in (rng.uniform(-0.64, -0.5), rng.uniform(0.5, 0.64)):
        pen.oval((x, floor), (wheel, wheel), (24, 24, 26))
        pen.oval((x, floor), (wheel * 0.5, wheel * 0.5), hub, solid=False)
    return pen


def draw_bird(side: int, rng: Rng) -> Pen:
    """Egg-shaped body, round head, beak, tail, wing, sometimes legs; plain or speckled."""
    coat = any_colour(rng)
    pen, wing = Pen(side, coat), any_colour(rng)
    long, deep = rng.uniform(0.45, 0.56), rng.uniform(0.27, 0.42)
    lean = rng.uniform(-30, -8)
    tail = rng.uniform(0.1, 0.24)
    pen.poly([(-0.3, -0.05), (-0.98, 0.15 - tail), (-0.92, 0.15 + tail), (-0.3, 0.25)], shade(wing, 0.8))
    if rng.random() < 0.6:
        for x in (-0.06, 0.12):
            pen.stroke(
                [(x, deep), (x + 0.05, 0.82), (x + 0.18, 0.84)],
                0.05,
                near_colour(rng, 0.08, 0.04, (0.4, 0.9)),
            )
    head = rng.uniform(0.2, 0.29)
    hx, hy = long * 0.95, -deep * 0.6 - head * 0.55
    beak = near_colour(rng, 0.1, 0.05, (0.6, 1.0))
    pen.poly(
        [
            (hx + head * 0.7, hy - 0.1),
            (min(1.0, hx + head + rng.uniform(0.18, 0.4)), hy + 0.04),
            (hx + head * 0.6, hy + 0.14),
        ],
        beak,
    )
    pen.oval((0, 0.1), (long, deep), coat, turn=lean)
    pen.oval((hx, hy), (head, head), coat if rng.random() < 0.6 else any_colour(rng))
    pen.oval((0.1, 0.2), (long * 0.7, deep * 0.6), shade(coat, 1.35), turn=lean, solid=False)
    if rng.random() < 0.5:
        for x, y in rng.uniform(-0.3, 0.3, (8, 2)):
            pen.oval((x, 0.1 + y * 0.6), (0.035, 0.035), shade(coat, 0.4), solid=False)
    pen.oval(
        (-0.12, 0.05),
        (long * 0.62, deep * 0.5),
        wing,
        turn=lean - rng.uniform(0, 15),
        solid=rng.random() < 0.5,
    )
    pen.oval((hx + head * 0.25, hy - 0.05), (0.075, 0.075), (245, 245, 235), solid=False)
    pen.oval((hx + head * 0.3, hy - 0.05), (0.045, 0.045), (10, 10, 12), solid=False)
    return pen


def draw_siren(side: int, rng: Rng) -> Pen:
    """Beacon: a striped translucent dome on a dark foot."""
    glow, foot = any_colour(rng, value=(0.7, 1.0)), grey(rng, 30, 110)
    pen = Pen(side, glow)
    wide, tall, seat = rng.uniform(0.55, 0.75), rng.uniform(0.85, 1.35), rng.uniform(0.4, 0.6)
    pen.oval((0, seat), (wide, tall), glow, arc=(180, 360))
    stripe = any_colour(rng, value=(0.6, 1.0)) if rng.random() < 0.6 else (245, 245, 240)
    count = int(rng.integers(2, 5))
    angles = np.linspace(-1, 1, 2 * count + 1)
    rise = np.linspace(0, np.pi / 2, 12)
    for left, right in zip(angles[0:-1:2], angles[1::2], strict=True):
        edge = np.stack([np.cos(rise) * wide * left, seat - np.sin(rise) * tall], 1)
        other = np.stack([np.cos(rise) * wide * right, seat - np.sin(rise) * tall], 1)
        pen.poly(np.concatenate([edge, other[::-1]]), stripe, solid=False)
    pen.oval((0, seat - tall * 0.3), (wide * 0.22, tall * 0.2), (255, 252, 220), solid=False)
    brim = wide + rng.uniform(0.08, 0.25)
    pen.poly([(-brim * 0.92, seat - 0.03), (brim * 0.92, seat - 0.03), (brim, 0.9), (-brim, 0.9)], foot)
    pen.stroke([(-brim * 0.95, seat + 0.12), (brim * 0.95, seat + 0.12)], 0.04, shade(foot, 1.8), solid=False)
    return pen


def draw_fountain(side: int, rng: Rng) -> Pen:
    """Basin on a foot with a fan of streaky water jets."""
    stone = grey(rng, 90, 210) if rng.random() < 0.6 else any_colour(rng, value=(0.4, 0.9))
    water = near_colour(rng, 0.55, 0.07, (0.65, 1.0))
    pen = Pen(side, water)
    wide, rim = rng.uniform(0.7, 0.95), rng.uniform(0.3, 0.5)
    jets, spread = int(rng.integers(3, 6)), rng.uniform(0.45, 0.8) * wide
    time = np.linspace(0, 1, 14)
    for aim in np.linspace(-1, 1, jets * 2 - 1):
        peak = rng.uniform(1.6, 2.0) * (1 - 0.35 * abs(aim)) + rim * 0.6
        x, y = aim * spread * time, rim - peak * (1 - (1.6 * time - 0.8 + 0.0) ** 2 / 0.64) * 0.72
        pen.stroke(np.stack([x, y], 1), rng.uniform(0.09, 0.17), water)
    for aim in rng.uniform(-1, 1, 9):
        peak = rng.uniform(1.0, 1.9) * (1 - 0.35 * abs(aim))
        x, y = aim * spread * time, rim - peak * (1 - (1.6 * time - 0.8) ** 2 / 0.64) * 0.72
        pen.stroke(np.stack([x, y], 1), 0.03, shade(water, rng.choice([0.6, 1.6])), solid=False)
    pen.box(-0.12, rim, 0.12, 0.95, shade(stone, 0.7))
    pen.poly([(-wide, rim), (wide, rim), (wide * 0.55, rim + 0.38), (-wide * 0.55, rim + 0.38)], stone)
    pen.oval((0, rim), (wide, 0.12), shade(stone, 1.2))
    pen.oval((0, rim), (wide * 0.86, 0.075), shade(water, 0.75), solid=False)
    pen.poly([(-0.4, 0.98), (0.4, 0.98), (0.2, 0.82), (-0.2, 0.82)], shade(stone, 0.85))
    return pen


def draw_clock(side: int, rng: Rng) -> Pen:
    """Round dial with hour marks and two hands, sometimes with feet and alarm cups."""
    rim, face = (
        any_colour(rng, value=(0.15, 0.9)),
        grey(rng, 190, 250) if rng.random() < 0.7 else any_colour(rng),
    )
    pen, squash = Pen(side, rim), rng.uniform(0.86, 1.0)
    radius = rng.uniform(0.72, 0.95)
    if rng.random() < 0.4:
        radius = 0.72
        for x in (-0.5, 0.5):
            pen.stroke([(x * 0.8, 0.6), (x * 1.2, 0.93)], 0.1, shade(rim, 0.6))
            pen.oval((x, -0.72), (0.26, 0.2), shade(rim, 1.2), turn=40 * np.sign(x))
    pen.oval((0, 0), (radius * squash, radius), rim)
    inner = radius * rng.uniform(0.78, 0.9)
    pen.oval((0, 0), (inner * squash, inner), face, solid=False)
    dark = (25, 22, 28) if sum(face) > 330 else (240, 235, 220)
    for hour in range(0, 12, int(rng.choice([1, 1, 3]))):
        way = np.array([np.sin(hour * np.pi / 6) * squash, -np.cos(hour * np.pi / 6)])
        pen.stroke([inner * 0.8 * way, inner * 0.95 * way], 0.05, dark, solid=False)
    for reach, thick in ((0.5, 0.08), (0.78, 0.05)):
        angle = rng.uniform(0, 2 * np.pi)
        tip = (np.sin(angle) * inner * reach, -np.cos(angle) * inner * reach)
        pen.stroke([(0, 0), tip], thick, dark, solid=False)
    pen.oval((0, 0), (0.07, 0.07), (190, 40, 40), solid=False)
    return pen
