"""A clip: objects that move smoothly for some seconds, sounds that start and stop, exact masks per step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moca.stage.casting import Cast
from moca.stage.frames import floor_noise, voice_levels
from moca.stage.outline import StageConfig, outline_clip
from moca.stage.seeds import generator
from moca.stage.sounds import limit, render_voice
from moca.stage.synthesis import SAMPLE_RATE_HZ

FADE_S = 0.02  # a source that starts or stops does so within its own step


@dataclass(frozen=True, kw_only=True)
class StageClip:
    """A clip of T = steps * rate_hz frames of side H, and what is true of it."""

    kind: str
    """One of `moca.stage.casting.KINDS`."""
    config: StageConfig
    frames: np.ndarray
    """(T, H, H, 3) uint8 RGB."""
    audio: np.ndarray
    """(steps * 16000,) float32 in [-1, 1] at 16 kHz."""
    frames_at: np.ndarray
    """(steps,) int64: index of each step's annotated frame, the last of its second as in AVSBench."""
    masks: np.ndarray
    """(steps, H, H) uint8 0/1: the union of the objects shown and sounding in the step, at its annotated frame."""
    object_masks: np.ndarray
    """(steps, objects, H, H) uint8 0/1: visible pixels of every object, sounding or not, at that frame."""
    objects: tuple[str, ...]
    """Classes in the picture, back to front."""
    heard: tuple[tuple[str, ...], ...]
    """For each step the classes in its sound, off-screen ones included."""
    sounding: tuple[tuple[str, ...], ...]
    """For each step the classes in its sound that are in the picture."""

    @property
    def times_s(self) -> np.ndarray:
        """Time of each annotated frame in seconds from the start, (steps,) float64."""
        return self.frames_at / self.config.rate_hz


def sample_clip(seed: int, kind: str, config: StageConfig | None = None, *, lead: str | None = None) -> StageClip:
    """Draw one clip; equal arguments give equal bytes in every process and order.

    kind and lead as in `sample_frame`. A single source sounds in the first step and in most others; several
    sources have their own times, so a step may have none. Every sounding object keeps the promises of
    `sample_frame` at the annotated frames.

    >>> sample_clip(0, "s4", StageConfig(size=64)).masks.shape
    (5, 64, 64)
    """
    outline = outline_clip(seed, kind, config or StageConfig(), lead=lead)
    config, cast, scene = outline.config, outline.cast, outline.scene()
    frames = [
        scene.render(outline.from_middle(number), generator(outline.seed, "sensor", number))
        for number in range(config.steps * config.rate_hz)
    ]
    object_masks = np.stack([scene.masks(time_s) for time_s in outline.times_s])
    plays = np.array([[name in names for name in cast.objects] for names in outline.sounding])
    return StageClip(
        kind=kind,
        config=config,
        frames=np.stack(frames),
        audio=_sound_track(generator(outline.seed, "sound"), kind, cast, outline.active),
        frames_at=outline.frames_at,
        masks=(object_masks & plays[:, :, None, None]).any(axis=1).astype(np.uint8),
        object_masks=object_masks.astype(np.uint8),
        objects=cast.objects,
        heard=outline.heard,
        sounding=outline.sounding,
    )


def _sound_track(rng: np.random.Generator, kind: str, cast: Cast, active: np.ndarray) -> np.ndarray:
    samples = len(active) * SAMPLE_RATE_HZ
    wave = floor_noise(rng, kind, samples)
    levels = voice_levels(rng, len(cast.heard))
    for voice, name in enumerate(cast.heard):
        sound = render_voice(name, rng, samples=samples, level_db=levels[voice])
        wave += sound * _gate(active[:, voice])
    return limit(wave)


def _gate(on: np.ndarray) -> np.ndarray:
    """Gain per sample from on/off per step, (steps * 16000,) float32; fades lie inside steps that are on."""
    gain = np.repeat(on.astype(np.float32), SAMPLE_RATE_HZ)
    ramp = np.linspace(0, 1, int(FADE_S * SAMPLE_RATE_HZ), dtype=np.float32)
    for step in range(1, len(on)):
        edge = step * SAMPLE_RATE_HZ
        if on[step] and not on[step - 1]:
            gain[edge : edge + len(ramp)] = ramp
        elif on[step - 1] and not on[step]:
            gain[edge - len(ramp) : edge] = ramp[::-1]
    return gain
