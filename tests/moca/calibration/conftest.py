"""Videos whose pictures and sounds carry a number, and a scorer that compares the two."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from moca.calibration.scoring import PairScores
from moca.core.step import Step
from moca.corpus.sources import ReadingConfig, Source
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig

RATE_HZ = 1000


@dataclass(frozen=True, kw_only=True)
class FakeVideo(Source):
    """Frames of grey `number`; its sound is a tone of `heard` Hz, or silence where that is 0."""

    number: int
    heard: int | None = None
    count: int = 4
    broken: bool = False
    reads: list = field(default_factory=list)

    @property
    def files(self):
        return ()

    def expected_steps(self, reading):
        return self.count

    def steps(self, reading):
        self.reads.append(self.name)
        if self.broken:
            raise InputError(f"{self.name} cannot be decoded: mend or replace it.")
        heard = self.number if self.heard is None else self.heard
        for index in range(self.count):
            time = np.arange(RATE_HZ) / RATE_HZ
            audio = (0.3 * np.sin(2 * np.pi * heard * time) if heard else np.zeros(RATE_HZ)).astype(np.float32)
            frame = np.full((8, 8, 3), self.number, np.uint8)
            yield Step(
                index=index, start_s=float(index), end_s=index + 1.0, frame_s=index + 0.5, frame=frame, audio=audio,
                sample_rate_hz=RATE_HZ,
            )  # fmt: skip


@dataclass
class FakeScorer:
    """A pair's first score is 1 / (1 + |grey - tone in Hz| / 4), a second one its square root, where there are two."""

    gates: tuple[str, ...] = ("gate",)
    config: SegmentConfig = field(default_factory=SegmentConfig)
    fingerprints: dict = field(default_factory=lambda: {"encoder": "e" * 16})
    by_crops: bool = False
    levels: bool = True
    calls: list = field(default_factory=list)
    stop_after: int | None = None

    def score(self, steps):
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(len(steps))
        values = np.array([self._one(step) for step in steps])
        scores = np.stack([values ** (1 / (1 + kind)) for kind in range(len(self.gates))], axis=1)
        patches = np.repeat(values, 4).reshape(-1, 2, 2).astype(np.float32)
        patches[:, 1] /= 2
        return PairScores(scores, patches)

    @staticmethod
    def _one(step):
        spectrum = np.abs(np.fft.rfft(step.audio))
        return 1 / (1 + abs(int(step.frame[0, 0, 0]) - float(spectrum.argmax())) / 4)


def _videos(count=12, **fields):
    return [FakeVideo(name=f"v{number}", number=20 + 15 * number, **fields) for number in range(count)]


@pytest.fixture
def fakes():
    """FakeVideo, FakeScorer, videos(count), and how they are read."""
    reading = ReadingConfig(image_size=16, sample_rate_hz=RATE_HZ, steps_per_video=10)
    return SimpleNamespace(Video=FakeVideo, Scorer=FakeScorer, videos=_videos, reading=reading, replace=replace)
