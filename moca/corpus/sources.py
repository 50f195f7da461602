"""What training reads: videos in a folder, VGGSound's clips or AVSBench's, each as rows of frame and sound."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from moca.core.frames import resized
from moca.core.settings import Settings, setting
from moca.core.step import Step
from moca.data.audio import SAMPLE_RATE_HZ
from moca.data.avsbench import FRAMES, AVSClip
from moca.errors import InputError
from moca.media import probe, read_steps

Kept = TypeVar("Kept")
FULL_SCALE = 32767
"""The int16 that stands for 1.0; sound is kept in -32767..32767."""


@dataclass(frozen=True, kw_only=True)
class ReadingConfig(Settings):
    """How a video becomes rows."""

    image_size: int = setting(
        help="Side of the square frames in pixels; a frame is stretched to it.", least=16, most=2048, unit="pixels"
    )
    sample_rate_hz: int = setting(
        SAMPLE_RATE_HZ, help="Rate of the mono sound in Hz.", least=1000, most=384_000, unit="Hz"
    )
    step_s: float = setting(
        1.0,
        help="Length of the sound of a row, and distance of two steps, in seconds.",
        least=0.05,
        most=60,
        unit="seconds",
        hint="the paper uses 1",
    )
    steps_per_video: int = setting(
        10, help="Most frames of one video, spread evenly over its length.", least=1, option=True
    )

    @property
    def samples(self) -> int:
        """Samples of sound in a row."""
        return round(self.step_s * self.sample_rate_hz)


class Rows(NamedTuple):
    """What becomes of a video."""

    frames: np.ndarray
    """(n, S, S, 3) uint8 RGB."""
    waves: np.ndarray
    """(n, samples) int16, zeros where there is no sound."""
    times_s: np.ndarray
    """(n,) float64, when the frames are shown."""


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """One video to learn from."""

    name: str
    """Different for every source of a corpus, the same on every machine."""

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """What is read."""

    @abstractmethod
    def steps(self, reading: ReadingConfig) -> Iterator[Step]:
        """The steps in order; InputError where a file cannot be used."""

    @abstractmethod
    def expected_steps(self, reading: ReadingConfig) -> int:
        """How many steps the headers promise; a guess that saves a second reading, not relied upon."""

    def check(self, reading: ReadingConfig) -> None:
        """Raise InputError for settings this kind of source cannot be read with."""
        return

    def stamp(self) -> str | None:
        """Hex digest that changes when a file changes its size or time; None where one is not there."""
        digest = hashlib.sha256()
        try:
            for path in self.files:
                stat = path.stat()
                digest.update(f"{stat.st_size}|{stat.st_mtime_ns};".encode())
        except OSError:
            return None
        return digest.hexdigest()[:16]

    def read(self, reading: ReadingConfig) -> Rows:
        """At most `steps_per_video` steps, evenly spread, holding no more than these in memory.

        A last step shorter than half a step is left out, unless it is the only one; the sound of a short step
        is filled up with zeros. Raises InputError for a file that cannot be used, also one that is cut off.
        """

        def row(step: Step) -> tuple:
            return square(step.frame, reading.image_size), to_int16(step.audio, reading.samples), step.frame_s

        rows = self._spread(reading, row)
        return Rows(
            frames=np.stack([frame for frame, _, _ in rows]),
            waves=np.stack([wave for _, wave, _ in rows]),
            times_s=np.array([time_s for _, _, time_s in rows], np.float64),
        )

    def spread_steps(self, reading: ReadingConfig) -> list[Step]:
        """The steps that `read` makes rows of, as they are in the video; raises InputError as it does."""
        return self._spread(reading, lambda step: step)

    def _spread(self, reading: ReadingConfig, keep: Callable[[Step], Kept]) -> list[Kept]:
        """What is kept of at most `steps_per_video` steps, evenly spread, in order."""
        most = reading.steps_per_video
        kept, count = self._wanted(reading, evenly_spread(max(most, self.expected_steps(reading)), most), keep)
        wanted = evenly_spread(count, most)
        if not wanted <= kept.keys():  # the headers promised another length
            kept, _ = self._wanted(reading, wanted, keep)
        return [kept[index] for index in sorted(wanted)]

    def _wanted(
        self, reading: ReadingConfig, wanted: set[int], keep: Callable[[Step], Kept]
    ) -> tuple[dict[int, Kept], int]:
        """What is kept of the wanted steps by index, and how many steps there are in all."""
        kept, count = {}, 0
        for step in self.steps(reading):
            if step.index and step.end_s - step.start_s < reading.step_s / 2:
                continue
            count += 1
            if step.index in wanted:
                kept[step.index] = keep(step)
        return kept, count


@dataclass(frozen=True, kw_only=True)
class VideoSource(Source):
    """A video file."""

    path: Path
    """The file."""

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def steps(self, reading: ReadingConfig) -> Iterator[Step]:
        rates = {"steps_per_s": 1 / reading.step_s, "sample_rate_hz": reading.sample_rate_hz}
        return read_steps(self.path, **rates, on_cut_off=_refuse_cut_off)

    def expected_steps(self, reading: ReadingConfig) -> int:
        return max(1, int((probe(self.path).duration_s or 0.0) / reading.step_s + 0.5))


@dataclass(frozen=True, kw_only=True)
class AVSBenchSource(Source):
    """A clip of AVSBench: five frames, a second apart, and their sound. Its masks are not read."""

    clip: AVSClip
    """Where its files are."""

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.clip.frames, self.clip.audio)

    def steps(self, reading: ReadingConfig) -> Iterator[Step]:
        return self.clip.steps()

    def expected_steps(self, reading: ReadingConfig) -> int:
        return FRAMES

    def check(self, reading: ReadingConfig) -> None:
        if (reading.step_s, reading.sample_rate_hz) != (1.0, SAMPLE_RATE_HZ):
            raise InputError(
                f"AVSBench has a frame per second and sound at {SAMPLE_RATE_HZ} Hz, got step_s {reading.step_s:g} and "
                f"sample_rate_hz {reading.sample_rate_hz}; leave both out."
            )


def evenly_spread(count: int, most: int) -> set[int]:
    """At most `most` of the indices 0 to count - 1: the middles of as many equal stretches; all where they fit.

    >>> sorted(evenly_spread(10, 3))
    [1, 5, 8]
    """
    if count <= most:
        return set(range(count))
    return {(2 * stretch + 1) * count // (2 * most) for stretch in range(most)}


def square(frame: np.ndarray, size: int) -> np.ndarray:
    """A frame (H, W, 3) uint8 stretched to (size, size, 3) as `preprocess_frames` with fit "stretch" does it.

    So a stored frame gives the encoder the very pixels that the video's own frame would.
    """
    return resized(frame, size, size)


def to_int16(audio: np.ndarray | None, samples: int) -> np.ndarray:
    """Sound (n,) float in [-1, 1] as (samples,) int16: cut or filled up with zeros; all zeros for None."""
    wave = np.zeros(samples, np.int16)
    if audio is not None:
        heard = np.clip(np.nan_to_num(audio[:samples]), -1, 1)
        wave[: len(heard)] = np.round(heard * FULL_SCALE)
    return wave


def _refuse_cut_off(sentence: str) -> None:
    raise InputError(f"{sentence.removesuffix('.')}: mend or replace it.")
