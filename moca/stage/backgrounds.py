"""What lies behind and in front of the objects: fractal or patterned grounds, clutter that is no object."""

from __future__ import annotations

import math

import cv2
import numpy as np

from moca.stage.sprites import Pen, Sprite, any_colour, finish, grey

Rng = np.random.Generator


def fractal(rng: Rng, side: int) -> np.ndarray:
    """Noise of several octaves, (side, side) float32 in [0, 1]."""
    coarse = int(rng.integers(2, 5))
    total, strength = np.zeros((side, side), np.float32), 1.0
    for octave in range(4):
        cells = coarse * 2**octave + 1
        stretch = max(2, int(cells * rng.uniform(0.5, 1.0)))
        values = rng.random((cells, stretch), dtype=np.float32)
        total += np.float32(strength) * cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)
        strength *= rng.uniform(0.4, 0.65)
    total -= total.min()
    return total / max(1e-6, float(total.max()))


def stripes(rng: Rng, side: int) -> np.ndarray:
    """Sine or hard stripes at any angle, (side, side) float32 in [0, 1]."""
    angle, count = rng.uniform(0, np.pi), rng.uniform(4, 22)
    line = np.linspace(0, 2 * np.pi * count, side, dtype=np.float32)
    wave = np.sin(line[None, :] * np.float32(math.cos(angle)) + line[:, None] * np.float32(math.sin(angle)))
    return 0.5 + 0.5 * (np.clip(wave * 4, -1, 1) if rng.random() < 0.3 else wave)


def bricks(rng: Rng, side: int) -> np.ndarray:
    """Running-bond tiles with dark joints, (side, side) float32 in [0, 1]."""
    high = int(side * rng.uniform(0.07, 0.18))
    wide, joint = int(high * rng.uniform(1.2, 2.6)), max(1, side // 90)
    rows = side // high + 1
    tone = rng.uniform(0.45, 1.0, (rows, side // wide + 3)).astype(np.float32)
    y, x = np.arange(side), np.arange(side)
    row = y // high
    shifted = x[None, :] + (row[:, None] % 2) * (wide // 2)
    wall = tone[row[:, None], shifted // wide]
    wall[(y % high) < joint] = 0.15
    wall[(shifted % wide) < joint] = 0.15
    return wall


def background(rng: Rng, side: int) -> np.ndarray:
    """Ground with clutter, (side, side, 3) uint8 RGB."""
    field = fractal(rng, side)
    pick = rng.random()
    if pick < 0.3:
        field = field + np.float32(rng.uniform(0.2, 0.9)) * stripes(rng, side)
    elif pick < 0.42:
        field = np.float32(rng.uniform(0.2, 0.6)) * field + bricks(rng, side)
    elif pick < 0.55:
        field = np.float32(rng.uniform(0.05, 0.3)) * field
    field = field * np.float32(1 / max(1e-6, float(field.max())))
    dark = np.array(any_colour(rng, value=(0.02, 0.75)), np.float32)
    light = np.array(any_colour(rng, value=(0.3, 1.0)), np.float32)
    if rng.random() < 0.4:  # close shades: a quiet ground
        light = np.clip(dark * np.float32(rng.uniform(1.2, 1.9)) + 12, 0, 255)
    ground = dark + field[..., None] * (light - dark)
    if rng.random() < 0.3:  # horizon: another ground below
        line = int(side * rng.uniform(0.4, 0.8))
        floor = np.array(any_colour(rng, value=(0.1, 0.8)), np.float32)
        ground[line:] = 0.4 * ground[line:] + 0.6 * floor
    painted = np.clip(ground, 0, 255).astype(np.uint8)
    scatter(rng, painted)
    return painted


def scatter(rng: Rng, ground: np.ndarray) -> None:
    """Paint clutter onto a uint8 ground: sticks, blobs, frames, shards, scribbles; nothing that sounds."""
    side = ground.shape[0]
    for _ in range(int(rng.integers(1, 10))):
        colour = any_colour(rng) if rng.random() < 0.8 else grey(rng)
        centre = rng.uniform(0, side, 2)
        reach = side * rng.uniform(0.03, 0.16)
        thick = max(1, round(side * rng.uniform(0.006, 0.03)))
        kind = int(rng.integers(6))
        if kind == 0:
            points = centre + rng.uniform(-3, 3, (2, 2)) * reach
        elif kind == 1:
            axes = (max(2, int(reach)), max(2, int(reach * rng.uniform(0.3, 1.0))))
            fill = -1 if rng.random() < 0.7 else thick
            middle = centre.astype(int).tolist()
            cv2.ellipse(ground, middle, axes, rng.uniform(0, 180), 0, 360, colour, fill, cv2.LINE_AA)
            continue
        elif kind == 2:
            wide, high = rng.uniform(0.5, 2, 2) * reach
            points = centre + np.array([(0, 0), (wide, 0), (wide, high), (0, high), (0, 0)])
        elif kind in (3, 4):
            points = centre + rng.uniform(-1.3, 1.3, (int(rng.integers(3, 6)), 2)) * reach
        else:
            points = centre + np.cumsum(rng.uniform(-1, 1, (6, 2)), axis=0) * reach
        fixed = np.rint(points * 16).astype(np.int32)
        if kind in (3, 4) or (kind == 2 and rng.random() < 0.4):
            cv2.fillPoly(ground, [fixed], colour, cv2.LINE_AA, 4)
        else:
            cv2.polylines(ground, [fixed], False, colour, thick, cv2.LINE_AA, 4)


def draw_clutter(rng: Rng, *, side: int, light_deg: float) -> Sprite:
    """A thing that may stand before an object and has no sound: pole, leaf, shard, fence or cross."""
    paint = any_colour(rng) if rng.random() < 0.7 else grey(rng)
    pen = Pen(side, paint)
    kind = int(rng.integers(5))
    if kind == 0:
        pen.box(-rng.uniform(0.05, 0.12), -1, rng.uniform(0.05, 0.12), 1, paint)
    elif kind == 1:
        pen.oval((0, 0), (rng.uniform(0.3, 0.5), 0.95), paint)
        pen.stroke([(0, -0.95), (0, 0.95)], 0.05, grey(rng), solid=False)
    elif kind == 2:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
        radius = rng.uniform(0.4, 1.0, len(angles))
        pen.poly(np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1), paint)
    elif kind == 3:
        for y in (-0.5, 0.0, 0.5):
            pen.box(-1, y - 0.07, 1, y + 0.07, paint)
    else:
        pen.box(-0.9, -0.14, 0.9, 0.14, paint)
        pen.box(-0.14, -0.9, 0.14, 0.9, paint)
    noise = rng.uniform(-1, 1, (9, 9)).astype(np.float32)
    return finish(pen, rng, light_deg=light_deg, noise=noise)
