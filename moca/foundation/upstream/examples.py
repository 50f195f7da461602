"""ImageBind's own example: three pictures and three sounds, and the table that its README prints for them.

The files are those of its .assets folder. They are read as ImageBind reads them: pictures resized by their short side
and cut to the middle square, of each sound three clips of two seconds. Source: ImageBind README.md and data.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile
from torch import Tensor

from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import clip_samples, log_mel
from moca.media.resampling import sinc_resample

EXAMPLES = ("dog", "car", "bird")
PUBLISHED = ((0.8070, 0.1088, 0.0842), (0.1036, 0.7884, 0.1079), (0.0018, 0.0022, 0.9960))
"""Rows are pictures, columns sounds, in the order of EXAMPLES: softmax over the sounds."""
ALLOWED = 1e-3


def example_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Pictures and sounds in the order of EXAMPLES; InputError, naming those that are missing."""
    pictures = [folder / f"{name}_image.jpg" for name in EXAMPLES]
    sounds = [folder / f"{name}_audio.wav" for name in EXAMPLES]
    if absent := [path.name for path in (*pictures, *sounds) if not path.is_file()]:
        raise InputError(
            f"the examples must be ImageBind's six files in {folder}, of which {', '.join(absent)} are missing; copy "
            "them from the .assets folder of its repository."
        )
    return pictures, sounds


def read_pictures(paths: Sequence[Path], size: int) -> Tensor:
    """Pictures as ImageBind reads them, (B, 3, size, size) float32."""
    return preprocess_frames([np.asarray(Image.open(path).convert("RGB")) for path in paths], size, fit="crop")


def read_sounds(paths: Sequence[Path], model: ImageBind) -> Tensor:
    """Clips of WAV files as ImageBind reads them: (B, 3, 1, mel bins, frames) float32."""
    config, clips = model.config.log_mel, []
    for path in paths:
        rate_hz, samples = wavfile.read(path)
        wave = sinc_resample(_to_float(path, samples), rate_hz, config.sample_rate_hz)
        clips.append(log_mel(clip_samples(wave, config), config))
    return torch.stack(clips)


@torch.no_grad()
def example_embeddings(model: ImageBind, folder: Path) -> tuple[Tensor, Tensor]:
    """Embeddings of the three pictures and of the three sounds, (3, E) each, as `ImageBind` gives them."""
    pictures, sounds = example_files(folder)
    device = next(model.parameters()).device
    pixels = read_pictures(pictures, model.config.image_size).to(device)
    return model.embed_image(pixels), model.embed_audio(read_sounds(sounds, model).to(device))


def agreement_table(pictures: Tensor, sounds: Tensor) -> np.ndarray:
    """Softmax over sounds of the products of embeddings, (3, 3) float32: what the README prints."""
    return torch.softmax(pictures @ sounds.T, dim=-1).float().cpu().numpy()


def table_text(table: np.ndarray | Sequence[Sequence[float]]) -> str:
    """A table on one line, with four digits as the README has."""
    return "[" + ", ".join("[" + ", ".join(f"{value:.4f}" for value in row) + "]" for row in table) + "]"


def _to_float(path: Path, samples: np.ndarray) -> Tensor:
    """Samples as stored, (S,) or (S, C), to (C, S) float32 in [-1, 1)."""
    if samples.dtype.kind not in "iuf":
        raise InputError(f"{path} must be a WAV file of numbers, got {samples.dtype}; copy it again.")
    wave = torch.from_numpy(np.ascontiguousarray(np.atleast_2d(samples.T), np.float64))
    if samples.dtype == np.uint8:
        wave = (wave - 128) / 128
    elif samples.dtype.kind == "i":
        wave = wave / -float(np.iinfo(samples.dtype).min)
    return wave.float()
