"""Frames of the proposal study, and the proposals of every frame, found once and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from moca.core.files import write_text_whole, written_whole
from moca.foundation.roles import Masks
from moca.segmentation.proposals import Proposer
from recipes.stage_pairs import Pairs, PairsConfig, draw_pairs

KINDS = ("s4", "ms3")
SIZE = 224
CHUNK = 16


def draw_frames(cache: Path, split: str, count: int) -> dict[str, Pairs]:
    """`count` frames of 224 pixels with a second of sound for S4 and MS3 each; splits share no random stream."""
    return {
        kind: draw_pairs(
            PairsConfig(count=count, split=f"proposals-{split}-{kind}", size=SIZE, mix=((kind, 1.0),)), cache
        )
        for kind in KINDS
    }


@dataclass(frozen=True)
class Kept:
    """Proposals of N frames: masks packed to bits (M, S * S / 8), scores and stability (M,), and where each frame's
    end, (N,)."""

    bits: np.ndarray
    scores: np.ndarray
    stability: np.ndarray
    ends: np.ndarray

    def __iter__(self) -> Iterator[Masks]:
        """The masks of every frame."""
        for begin, end in zip([0, *self.ends[:-1]], self.ends, strict=True):
            masks = np.unpackbits(self.bits[begin:end], axis=1).reshape(-1, SIZE, SIZE).astype(bool)
            yield Masks(masks=masks, scores=self.scores[begin:end], stability=self.stability[begin:end])


def kept_proposals(proposer: Proposer, pairs: Pairs, prints: dict[str, str], place: Path) -> Kept:
    """Proposals of all frames, from place.npz where the same models and settings left them."""
    made_of = json.dumps({"config": proposer.config.used(), "prints": prints, "frames": len(pairs.frames)})
    marker, file = (place.with_name(place.name + end) for end in (".json", ".npz"))  # names hold thresholds: dots
    if not (marker.is_file() and marker.read_text() == made_of):
        place.parent.mkdir(parents=True, exist_ok=True)
        proposals = []
        for first in track(range(0, len(pairs.frames), CHUNK), f"proposals, {place.name}"):
            proposals += proposer.propose(list(pairs.frames[first : first + CHUNK]))
        arrays = {
            "bits": np.concatenate([np.packbits(f.masks.reshape(len(f), SIZE * SIZE), axis=1) for f in proposals]),
            "scores": np.concatenate([f.scores for f in proposals]),
            "stability": np.concatenate([f.stability for f in proposals]),
            "ends": np.cumsum([len(f) for f in proposals]),
        }
        with written_whole(file) as temporary:
            np.savez(temporary, **arrays)
        write_text_whole(marker, made_of)
    with np.load(file) as stored:
        return Kept(**{name: stored[name] for name in ("bits", "scores", "stability", "ends")})
