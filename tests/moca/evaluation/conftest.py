"""Small clips and a method that listens, behind the real interfaces."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from moca.core.step import Step, StepResult
from moca.metrics.accumulators import MEANS

SIZE = (4, 6)
RATE_HZ = 100


@dataclass(frozen=True)
class FakeClip:
    """Its sound is a constant, `level`; the left `level * 10` columns sound, none in the last step."""

    name: str
    level: float
    category: str = ""
    annotated: int = 3

    def steps(self):
        for index in range(3):
            audio = np.full(RATE_HZ, self.level, np.float32)
            yield Step(
                index=index,
                start_s=float(index),
                end_s=index + 1.0,
                frame_s=index + 0.5,
                frame=np.zeros((*SIZE, 3), np.uint8),
                audio=audio,
                sample_rate_hz=RATE_HZ,
            )

    def truths(self):
        for index in range(3):
            truth = np.zeros(SIZE, bool)
            if index < 2:
                truth[:, : round(self.level * 10)] = True
            yield truth if index < self.annotated else None

    def fingerprint(self):
        return f"{self.name} {self.level}"


@dataclass
class Listener:
    """Masks the left columns as the level of the sound says; nothing in the last step or in silence."""

    name: str = "listener"
    settings: dict = field(default_factory=lambda: {"strength": 1})
    scale: float = 10
    heat_when_closed: float = 0.0
    runs: int = 0
    fail_at: int | None = None
    notice = None
    licence = "free"

    def segment_steps(self, steps):
        self.runs += 1
        if self.runs == self.fail_at:
            raise KeyboardInterrupt
        for step in steps:
            mask = np.zeros(SIZE, bool)
            level = 0 if step.audio is None or step.index == 2 else step.audio[0]
            mask[:, : round(float(level) * self.scale)] = True
            open_ = mask.any()
            yield StepResult(
                index=step.index,
                start_s=step.start_s,
                end_s=step.end_s,
                frame_s=step.frame_s,
                mask=mask,
                heat=mask.astype(np.float32) if open_ else np.full(SIZE, self.heat_when_closed, np.float32),
                score=1.0,
                level_dbfs=0.0,
                reason=None if open_ else "nothing sounds",
            )


def _clips(count: int = 6) -> list[FakeClip]:
    return [FakeClip(f"clip{i}", 0.1 + 0.1 * (i % 4), category=str(i % 3)) for i in range(count)]


@pytest.fixture
def world():
    """The classes FakeClip and Listener, and clips(count): so many clips of three categories."""
    return SimpleNamespace(FakeClip=FakeClip, Listener=Listener, clips=_clips)


@pytest.fixture
def video_sums():
    """Factory of random but possible sums of so many videos; nothing sounds in every fifth."""

    def draw(count: int, seed: int = 0) -> list[dict]:
        generator = np.random.default_rng(seed)
        found = []
        for at in range(count):
            sounding = 0 if at % 5 == 4 else int(generator.integers(1, 6))
            values = dict(zip(("iou", "iou_plain", "mask_area"), 5 * generator.random(3), strict=True))
            curve = np.sort(generator.random(255))[::-1] * sounding
            values |= {"f_mask": generator.random() * sounding, "false_area": generator.random() * (5 - sounding)}
            values |= {"masked": generator.random() * 5, "false_alarms": generator.random() * (5 - sounding)}
            for mean in MEANS.values():
                if mean.stored not in values:  # a row that was added since
                    count = {"frames": 5, "sounding": sounding}.get(mean.over, 5 - sounding)
                    values[mean.stored] = generator.random() * count
            values = {name: float(value) for name, value in values.items()}
            found.append({"frames": 5, "sounding": sounding, **values, "f_curve": curve.tolist()})
        return found

    return draw
