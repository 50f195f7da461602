"""Small pipelines and steps behind the real interfaces."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from moca.adapters import fingerprint
from moca.core.step import Step
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.foundation.imagebind.weights import save_imagebind
from moca.media.logmel import LogMelConfig
from moca.pipeline.encoder import frozen_towers
from moca.pipeline.loading import Pipeline
from moca.segmentation.config import SegmentConfig


def tiny_config() -> ImageBindConfig:
    """An ImageBind of a few thousand parameters: 32-pixel pictures in 4 x 4 patches, about a second of sound."""
    return ImageBindConfig(
        image_size=32, patch=8, image_width=16, image_blocks=3, image_heads=2,
        audio_patch=8, audio_stride=8, audio_width=12, audio_blocks=2, audio_heads=2, embed_dim=8,
        log_mel=LogMelConfig(mel_bins=16, target_frames=96),
    )  # fmt: skip


@pytest.fixture
def pipeline() -> Pipeline:
    """A random pipeline whose gate is open: what it masks is decided by its clusters alone."""
    encoder = random_imagebind(tiny_config(), seed=3)
    return Pipeline(
        name="tiny",
        encoder=encoder,
        towers=frozen_towers(encoder, blocks=2),
        adapted=False,
        segment=SegmentConfig(gate=-1.0, heat_low=-1.0),
        licence="none",
        fingerprints={"encoder": fingerprint(encoder.state_dict())},
    )


@pytest.fixture
def randomise():
    """Give the adapters of towers a non-zero exit, so that they change something."""

    def change(towers, seed: int = 3):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in towers.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        return towers

    return change


@pytest.fixture
def make_step():
    """Factory of one-second steps with a random picture; see `_make_step`."""
    return _make_step


def _make_step(index: int = 0, *, size=(24, 40), audio="tone", seed: int = 0) -> Step:
    """One second with a random picture; audio: "tone", "silence" (digital), None, or samples."""
    generator = np.random.default_rng([seed, index])
    frame = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
    if isinstance(audio, str):
        time = np.arange(16_000) / 16_000
        audio = 0.3 * np.sin(2 * np.pi * (300 + 50 * index) * time) if audio == "tone" else np.zeros(16_000)
    samples = None if audio is None else np.asarray(audio, np.float32)
    return Step(
        index=index, start_s=float(index), end_s=index + 1.0, frame_s=index + 0.5, frame=frame, audio=samples,
        sample_rate_hz=16_000,
    )  # fmt: skip


@pytest.fixture
def model(tmp_path, pipeline) -> Path:
    """A model's folder with the tiny random encoder, and nothing to make mask proposals with."""
    folder = tmp_path / "model"
    save_imagebind(folder / "encoder", pipeline.encoder)
    card = {"format": 1, "name": "tiny", "encoder": "encoder", "licence": "Apache-2.0", "notice": "It is random."}
    (folder / "pipeline.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def here(monkeypatch, capsys):
    """Run the installed command's entry point in this process; returns (exit code, stdout, stderr)."""
    from moca.cli.app import main

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["moca", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, *capsys.readouterr()

    return run
