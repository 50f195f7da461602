"""A short clip, and small segmenters with and without mask proposals."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from moca.foundation.roles import Masks
from moca.media import write_video
from moca.segmentation.config import ProposalConfig
from moca.segmentation.proposals import Proposer
from moca.segmenter import Segmenter

RATE_HZ = 8


def _write_clip(path, *, seconds=3, loud=(True, False, True), size=(36, 52), sound=True):
    """A clip of moving noise whose seconds are loud or silent."""
    generator = np.random.default_rng(5)
    picture = cv2.GaussianBlur(generator.integers(0, 256, (*size, 3), dtype=np.uint8), (5, 5), 0)
    frames = [np.roll(picture, shift, axis=1) for shift in range(seconds * RATE_HZ)]
    audio = None
    if sound:
        second = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
        audio = np.concatenate([second if loud[i % len(loud)] else np.zeros(16_000) for i in range(seconds)])
        audio = audio.astype(np.float32)
    write_video(path, iter(frames), rate_hz=RATE_HZ, audio=audio, sample_rate_hz=16_000)
    return path


@pytest.fixture(scope="session")
def write_clip():
    """write_clip(path, ...): see `_write_clip`."""
    return _write_clip


@pytest.fixture
def segmenter(pipeline):
    return Segmenter(pipeline, batch_steps=2)


@pytest.fixture
def clip(tmp_path):
    return _write_clip(tmp_path / "clip.mp4")


class Halves:
    """A mask predictor whose masks are the left part of the frame, the right part and a corner."""

    def encode(self, frames):
        return [frame.shape[:2] for frame in frames]

    def from_points(self, size, points, **settings):
        masks = np.zeros((3, *size), bool)
        masks[0, :, : size[1] // 3] = masks[1, :, size[1] // 3 :] = masks[2, :4, :4] = True
        figures = np.array([0.9, 0.95, 0.99], np.float32)
        return Masks(masks=masks, scores=figures, stability=np.ones(3, np.float32))


@pytest.fixture
def proposing(pipeline):
    """A segmenter with three proposals a frame, any of which matches where it touches the coarse mask."""
    config = ProposalConfig(kind="grid", points_per_side=1, rule="cover", match=0.0)
    return Segmenter(replace(pipeline, proposer=Proposer(config, Halves())), batch_steps=2)
