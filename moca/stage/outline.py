"""What a clip will be, before anything of it is drawn: who plays, who is heard when, where everything stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moca.errors import InputError
from moca.stage.arranging import build_scene
from moca.stage.casting import Cast, draw_cast
from moca.stage.frames import check_size
from moca.stage.scene import Scene
from moca.stage.seeds import generator


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Form of a clip.

    size: side of the square frames, 32 to 2048 pixels. rate_hz: video frames per second, 1 to 60. steps:
    length in steps of one second, 1 to 60; AVSBench has 5.
    """

    size: int = 224
    rate_hz: int = 8
    steps: int = 5

    def __post_init__(self) -> None:
        check_size(self.size)
        for name, unit in (("rate_hz", "frames per second"), ("steps", "seconds")):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 60:
                default = StageConfig.__dataclass_fields__[name].default
                raise InputError(f"{name} must be from 1 to 60 {unit}, got {value!r}; choose for example {default}.")


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A clip to be drawn."""

    config: StageConfig
    seed: int
    """What everything in it depends on."""
    cast: Cast
    active: np.ndarray
    """(steps, voices) bool: which voice of cast.heard is on in which step."""

    @property
    def frames_at(self) -> np.ndarray:
        """(steps,) int64: index of each step's annotated frame, the last of its second as in AVSBench."""
        return np.arange(1, self.config.steps + 1) * self.config.rate_hz - 1

    @property
    def heard(self) -> tuple[tuple[str, ...], ...]:
        """For each step the classes in its sound, off-screen ones included."""
        return tuple(tuple(name for name, on in zip(self.cast.heard, step, strict=True) if on) for step in self.active)

    @property
    def sounding(self) -> tuple[tuple[str, ...], ...]:
        """For each step the classes in its sound that are in the picture."""
        return tuple(tuple(name for name in names if name in self.cast.sounding) for names in self.heard)

    @property
    def times_s(self) -> tuple[float, ...]:
        """Time of each annotated frame from the middle of the clip, which is the scene's time zero."""
        return tuple(self.from_middle(number) for number in self.frames_at)

    def from_middle(self, frame: int) -> float:
        """Time of a video frame in seconds from the middle of the clip."""
        return float(frame / self.config.rate_hz - self.config.steps / 2)

    def scene(self) -> Scene:
        """Where everything stands and how it moves."""
        return build_scene(
            self.seed, self.cast, side=self.config.size, times_s=self.times_s, duration_s=float(self.config.steps)
        )


def outline_clip(seed: int, kind: str, config: StageConfig, *, lead: str | None = None) -> Outline:
    """Decide what `sample_clip` with the same arguments draws."""
    rng = generator(seed, kind, "clip")
    inner = int(rng.integers(1 << 62))
    cast = draw_cast(rng, kind, lead=lead)
    active = _timeline(generator(inner, "timeline"), config.steps, len(cast.heard))
    return Outline(config=config, seed=inner, cast=cast, active=active)


def _timeline(rng: np.random.Generator, steps: int, voices: int) -> np.ndarray:
    """Which voice is on in which step, (steps, voices) bool; every voice is on at least once."""
    active = np.ones((steps, voices), bool)
    for voice in range(voices):
        if voices > 1:
            style, cut = rng.random(), int(rng.integers(1, max(2, steps)))
            if style < 0.25:
                active[:cut, voice] = False
            elif style < 0.5:
                active[cut:, voice] = False
            elif style < 0.65:
                active[:, voice] = rng.random(steps) < 0.6
            if not active[:, voice].any():
                active[int(rng.integers(steps)), voice] = True
        elif rng.random() < 0.3 and steps > 2:
            pauses = 1 + int(rng.integers(0, max(1, (steps - 1) // 2)))
            active[rng.choice(np.arange(1, steps), pauses, replace=False), voice] = False
    return active
