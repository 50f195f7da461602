"""How well the mini ImageBind finds a frame's own sound, and one of its class."""

from __future__ import annotations

import numpy as np
import torch

from moca.foundation.imagebind.model import ImageBind
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from recipes.encoder_loss import similarities
from recipes.stage_pairs import Pairs, PairsConfig, heard_classes

CANDIDATES = 200
"""Sounds among which a frame's own is looked for."""


def retrieval(model: ImageBind, pairs: Pairs, config: PairsConfig, *, groups: int = 1) -> list[dict[str, float]]:
    """Recall@1 and @5 of a frame's own sound, and whether the sound found first is of its class.

    One measurement for each of some groups of `CANDIDATES` frames of one object, no frame in two groups.
    """
    rows = np.flatnonzero(pairs.kinds == "single")[: groups * CANDIDATES]
    return [_retrieval(model, pairs, config, part) for part in np.array_split(rows, groups)]


@torch.no_grad()
def _retrieval(model: ImageBind, pairs: Pairs, config: PairsConfig, rows: np.ndarray) -> dict[str, float]:
    waves = torch.from_numpy(pairs.sound(rows))
    parts = preprocess_frames(pairs.frames[rows], model.config.image_size).split(64)
    audio = model.audio_direction(model.embed_audio(log_mel(waves, model.config.log_mel)))
    similarity = torch.cat([similarities(model, model.read_image(part), audio, False)[0] for part in parts])
    rank = (similarity > similarity.diagonal()[:, None]).sum(1)
    heard = np.array([classes[0] for classes in heard_classes(config, rows)])
    return {
        "candidates": len(rows),
        "classes": len(set(heard)),
        "recall@1": (rank < 1).float().mean().item(),
        "recall@5": (rank < 5).float().mean().item(),
        "class@1": float(np.mean(heard[similarity.argmax(1).numpy()] == heard)),
    }
