"""Soundstage's classes and their appearance: from a class name to a random sprite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from moca.stage import household, instruments, things
from moca.stage.sprites import Pen, Sprite, finish


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a class looks. draw makes one random member; tilt_deg is the largest rotation to either side."""

    draw: Callable[[int, np.random.Generator], Pen]
    tilt_deg: float


FAMILIES: dict[str, Family] = {
    "guitar": Family(draw=instruments.draw_guitar, tilt_deg=80.0),
    "bell": Family(draw=instruments.draw_bell, tilt_deg=30.0),
    "car": Family(draw=things.draw_car, tilt_deg=22.0),
    "bird": Family(draw=things.draw_bird, tilt_deg=25.0),
    "siren": Family(draw=things.draw_siren, tilt_deg=30.0),
    "drum": Family(draw=instruments.draw_drum, tilt_deg=30.0),
    "fountain": Family(draw=things.draw_fountain, tilt_deg=12.0),
    "synth": Family(draw=instruments.draw_synth, tilt_deg=45.0),
    "flute": Family(draw=instruments.draw_flute, tilt_deg=90.0),
    "clock": Family(draw=things.draw_clock, tilt_deg=20.0),
    "kettle": Family(draw=household.draw_kettle, tilt_deg=20.0),
    "fan": Family(draw=household.draw_fan, tilt_deg=90.0),
    "phone": Family(draw=household.draw_phone, tilt_deg=25.0),
    "frog": Family(draw=household.draw_frog, tilt_deg=22.0),
}
CLASSES: tuple[str, ...] = tuple(FAMILIES)


def draw_object(name: str, rng: np.random.Generator, *, side: int, light_deg: float) -> Sprite:
    """One random member of a class on a canvas of side x side pixels, lit from light_deg, cropped.

    Shape, proportions, colours, texture and shading are drawn from rng; half of the members are mirrored.
    """
    pen = FAMILIES[name].draw(side, rng)
    grain = int(rng.choice([5, 9, 17, 33]))
    noise = rng.uniform(-1, 1, (grain, grain)).astype(np.float32)
    if rng.random() < 0.25:  # brushed: streaks instead of blotches
        noise = np.repeat(noise[:, :2], 2, axis=1)
    sprite = finish(pen, rng, light_deg=light_deg, noise=noise)
    if rng.random() < 0.5:
        return Sprite(colour=cv2.flip(sprite.colour, 1), alpha=cv2.flip(sprite.alpha, 1))
    return sprite
