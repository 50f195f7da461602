"""Stand-ins for the frozen models, behind the same roles."""

import numpy as np
import pytest

from moca.baselines.loading import Card
from moca.core.step import Step
from moca.foundation.roles import Boxes, Masks


class FakeObjects:
    """Finds the boxes it was given, in pixels of whatever it is shown."""

    def __init__(self, xyxy, scores):
        self.xyxy, self.scores, self.seen = np.array(xyxy, np.float32).reshape(-1, 4), np.array(scores, np.float32), []

    def detect(self, frames, *, threshold, limit, nms_iou):
        self.seen += [frame.shape for frame in frames]
        chosen = np.flatnonzero(self.scores >= threshold)[:limit]
        return [Boxes(xyxy=self.xyxy[chosen], scores=self.scores[chosen]) for _ in frames]


class FakeMasks:
    """A box's mask is the box; a point's masks are squares of 8, 16 and 24 pixels around it."""

    def __init__(self):
        self.encoded = 0

    def encode(self, frames):
        self.encoded += len(frames)
        return [frame.shape[:2] for frame in frames]

    def from_boxes(self, encoded, boxes):
        masks = np.zeros((len(boxes), *encoded), bool)
        for mask, (x0, y0, x1, y1) in zip(masks, np.round(boxes).astype(int), strict=True):
            mask[y0:y1, x0:x1] = True
        return Masks(masks=masks, scores=np.full(len(boxes), 0.9, np.float32), stability=np.ones(len(boxes)))

    def from_points(self, encoded, points):
        boxes = [(x - r, y - r, x + r, y + r) for x, y in points for r in (4, 8, 12)]
        answers = self.from_boxes(encoded, np.clip(boxes, 0, encoded[0]))
        scores = np.tile(np.array([0.9, 0.95, 0.5], np.float32), len(points))
        return Masks(masks=answers.masks, scores=scores, stability=answers.stability)


class BrightFilter:
    """The brighter a crop, the better it goes with any sound: a cosine of 1 for white, 0 for black."""

    image_size = 32

    def __init__(self):
        self.crops = []

    def hear(self, steps):
        return np.zeros((len(steps), 1))

    def cosines(self, crops, sound):
        self.crops += crops
        return np.array([crop.mean() / 255 for crop in crops], np.float32)


@pytest.fixture
def fakes():
    """Classes of the stand-ins."""
    return FakeObjects, FakeMasks, BrightFilter


@pytest.fixture
def card():
    return Card(model="tiny", licence="none", notice="made of stand-ins", fingerprints={"masks": "12ab"})


@pytest.fixture
def make_step():
    """Factory of one-second steps of a black picture with white rectangles (x0, y0, x1, y1, grey level)."""

    def make(index=0, *, size=(224, 224), marks=(), audio="tone"):
        frame = np.zeros((*size, 3), np.uint8)
        for x0, y0, x1, y1, level in marks:
            frame[y0:y1, x0:x1] = level
        if isinstance(audio, str):
            tone = 0.3 * np.sin(np.arange(16_000) / 9).astype(np.float32)
            audio = tone if audio == "tone" else np.zeros_like(tone)
        return Step(
            index=index, start_s=float(index), end_s=index + 1.0, frame_s=index + 0.5, frame=frame, audio=audio,
            sample_rate_hz=16_000,
        )  # fmt: skip

    return make
