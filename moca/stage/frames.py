"""One frame with one second of sound and exact masks: the unit for training encoders and adapters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moca.errors import InputError
from moca.stage.arranging import build_scene
from moca.stage.casting import Cast, draw_cast
from moca.stage.seeds import generator
from moca.stage.sounds import ambience, limit, render_voice
from moca.stage.synthesis import SAMPLE_RATE_HZ

MIN_SIZE, MAX_SIZE = 32, 2048


@dataclass(frozen=True, kw_only=True)
class StageObject:
    """An object in the picture."""

    name: str
    """Its class."""
    mask: np.ndarray
    """Its visible pixels, (size, size) uint8 0/1."""
    sounding: bool


@dataclass(frozen=True, kw_only=True)
class StageFrame:
    """A picture, its second of sound, and what is true of them."""

    kind: str
    """One of `moca.stage.casting.KINDS`."""
    frame: np.ndarray
    """(size, size, 3) uint8 RGB."""
    audio: np.ndarray
    """(16000,) float32 in [-1, 1] at 16 kHz."""
    mask: np.ndarray
    """(size, size) uint8 0/1: the union of the sounding objects; empty for silent, offscreen and noise."""
    objects: tuple[StageObject, ...]
    """All objects, back to front."""
    heard: tuple[str, ...]
    """Classes in the sound, off-screen ones included."""


def sample_frame(seed: int, kind: str, size: int = 112, *, lead: str | None = None) -> StageFrame:
    """Draw one frame; equal arguments give equal bytes in every process and order.

    kind: "single" (one large object, sounding), "s4" (one sounding, up to two silent), "ms3" (two or three
    objects, one to three of them sounding), "silent" (objects, no sound), "offscreen" (objects, and the sound
    of a class that is not shown), "noise" (objects, broad-band noise). lead: see `draw_cast`. size: 32 to
    2048 pixels. Every sounding object is at least 60% visible and covers 2.5% to 35% of the frame. Seeds for
    different splits: `derive_seed`. InputError for an unknown kind or lead, a bad seed or size.

    >>> sample_frame(0, "s4").frame.shape
    (112, 112, 3)
    """
    check_size(size)
    rng = generator(seed, kind, "cast")
    inner = int(rng.integers(1 << 62))  # everything else depends on the kind through this
    cast = draw_cast(rng, kind, lead=lead)
    scene = build_scene(inner, cast, side=size, times_s=(0.0,), duration_s=0.0)
    masks = scene.masks(0.0)
    objects = tuple(
        StageObject(name=name, mask=mask.astype(np.uint8), sounding=name in cast.sounding)
        for name, mask in zip(cast.objects, masks, strict=True)
    )
    union = np.zeros((size, size), np.uint8)
    for item in objects:
        if item.sounding:
            union |= item.mask
    return StageFrame(
        kind=kind,
        frame=scene.render(0.0, generator(inner, "sensor")),
        audio=_one_second(generator(inner, "sound"), kind, cast),
        mask=union,
        objects=objects,
        heard=cast.heard,
    )


def _one_second(rng: np.random.Generator, kind: str, cast: Cast) -> np.ndarray:
    wave = floor_noise(rng, kind, SAMPLE_RATE_HZ)
    for name, level_db in zip(cast.heard, voice_levels(rng, len(cast.heard)), strict=True):
        wave += render_voice(name, rng, samples=SAMPLE_RATE_HZ, level_db=level_db)
    return limit(wave)


def voice_levels(rng: np.random.Generator, count: int) -> np.ndarray:
    """RMS levels in dB of full scale: a common one from -30 to -12; several voices differ by up to 4 dB."""
    return rng.uniform(-30, -12) + rng.uniform(-4, 4, count) * (count > 1)


def floor_noise(rng: np.random.Generator, kind: str, samples: int) -> np.ndarray:
    """What is heard besides the voices, (samples,) float32.

    silent: nothing at all, or a floor of -85 to -60 dB. noise: loud noise of any colour. Otherwise a mild
    background, -70 to -45 dB.
    """
    if kind == "silent":
        digital = rng.random() < 0.5
        return (
            np.zeros(samples, np.float32) if digital else ambience(rng, samples=samples, level_db=rng.uniform(-85, -60))
        )
    return ambience(rng, samples=samples, level_db=rng.uniform(-30, -12) if kind == "noise" else rng.uniform(-70, -45))


def check_size(size: int) -> None:
    """InputError unless size is a whole number of pixels within the limits."""
    if isinstance(size, bool) or not isinstance(size, int) or not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"size must be from {MIN_SIZE} to {MAX_SIZE} pixels, got {size!r}; choose for example 224.")
