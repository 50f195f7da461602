"""A tiny random encoder, its towers, and a corpus of drawn frames, some of them without sound."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from moca.adapters import AdaAVConfig, AdaptedTowers, make_plan
from moca.corpus.corpus import Corpus, corpus_from_arrays
from moca.stage import sample_frame

VIDEOS, STEPS = 14, 2
SILENT = (4, 5, 11)  # both rows of one video, one row of another


@pytest.fixture
def encoder(pipeline):
    """ImageBind with random weights: 32-pixel pictures in 4 x 4 patches, a joint space of 8."""
    return pipeline.encoder


@pytest.fixture
def attach(encoder):
    """attach(readout=8) -> towers with fresh adapters in the last two of three image blocks."""

    def build(readout: int | None = 8) -> AdaptedTowers:
        return AdaptedTowers(
            encoder.image_tower,
            encoder.audio_tower,
            make_plan("last", 2, 3, 2),
            AdaAVConfig(bottleneck=6, latents=3),
            readout=readout,
            generator=torch.Generator().manual_seed(0),
        )

    return build


@pytest.fixture(scope="session")
def drawn() -> SimpleNamespace:
    """frames, waves and videos of 14 drawn videos of two seconds; the rows in `SILENT` have digital silence."""
    samples = [sample_frame(row, "s4", 32) for row in range(VIDEOS * STEPS)]
    waves = np.stack([(frame.audio * 32_000).round().astype(np.int16) for frame in samples])
    waves[list(SILENT)] = 0
    return SimpleNamespace(
        frames=np.stack([frame.frame for frame in samples]),
        waves=waves,
        videos=np.repeat(np.arange(VIDEOS), STEPS),
        silent=SILENT,
    )


@pytest.fixture
def corpus(drawn) -> Corpus:
    """28 rows, 25 of them with sound."""
    return corpus_from_arrays(drawn.frames, drawn.waves, drawn.videos)


@pytest.fixture
def silent_corpus(drawn) -> Corpus:
    """The same frames without a sound."""
    return corpus_from_arrays(drawn.frames, np.zeros_like(drawn.waves), drawn.videos)


@pytest.fixture
def one_video(drawn) -> Corpus:
    """The same rows, all from one video."""
    return corpus_from_arrays(drawn.frames, drawn.waves, np.zeros_like(drawn.videos))
