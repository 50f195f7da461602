"""The paper's loss in a step: who is matched with whom, and the pixel matching loss of these triplets.

Shape legend: N sounding rows, B anchors, C channels, G x G patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moca.core.progress import Progress, silent
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.mining import MiningConfig, NeighbourTable, build_table, mine_triplets, mining_features, table_fingerprint
from moca.training.config import TrainConfig
from moca.training.losses.adapted import AdaptedReader
from moca.training.losses.pixel_matching import triplet_loss
from moca.training.stored import array_digest, content_name, stored_array

IMAGE_ROWS = 256
"""Frames whose image features are computed at a time."""


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """What finds pictures that look alike, such as a DINO."""

    features: Callable[[np.ndarray], np.ndarray]
    """Frames (B, S, S, 3) uint8 to features (B, D), any float."""
    fingerprint: str
    """Changes whenever the features of a frame do: they are kept under this name."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Mined:
    """Who may be whose positive and negative; rows are numbered among the N sounding ones."""

    table: NeighbourTable
    """Positives of every row."""
    hard_features: np.ndarray | None
    """(N, D) by which the hardest negative is found; None draws negatives at random."""
    videos: np.ndarray | None
    """(N,) the video of every row, which gives it no positive and no negative; None where videos do not count."""


def mine(
    corpus: Corpus,
    rows: np.ndarray,
    sounds: np.ndarray,
    config: MiningConfig,
    folder: Path,
    *,
    images: ImageFeatures | None = None,
    progress: Progress = silent,
) -> Mined:
    """Find the neighbours of every sounding row, or read them from `folder` where they were found before.

    rows: (N,) of the corpus. sounds: (N, E) their audio embeddings. images: needed unless config.source is "audio".
    Raises InputError where it is missing, and for too few rows.
    """
    image = None
    if config.source != "audio":
        if images is None:
            raise InputError(f"mining by {config.source} needs image features; name a DINO model, or mine by audio.")
        image = _image_features(images, corpus, rows, folder, progress)
    features = mining_features(config, image=image, audio=sounds)
    videos = corpus.videos[rows] if config.exclude_same_video else None
    table_folder = folder / f"neighbours-{table_fingerprint(features, config, videos)}"
    table = build_table(features, config, table_folder, videos=videos, progress=progress)
    return Mined(table=table, hard_features=features if config.hard_negatives else None, videos=videos)


def _image_features(
    images: ImageFeatures, corpus: Corpus, rows: np.ndarray, folder: Path, progress: Progress
) -> np.ndarray:
    """(N, D) float32, kept in folder."""

    def read() -> np.ndarray:
        parts = []
        for part in np.array_split(rows, math.ceil(len(rows) / IMAGE_ROWS)):
            parts.append(images.features(corpus.frames[part]))
            progress("image features", sum(map(len, parts)), len(rows))
        return np.concatenate(parts).astype(np.float32)

    name = content_name("images", features=images.fingerprint, corpus=corpus.fingerprint, rows=array_digest(rows))
    return stored_array(folder / f"{name}.npy", read)


class PixelMatching:
    """Anchors, their positives and their negatives, all under the anchor's sound, by the cost of matching pixels."""

    def __init__(self, adapted: AdaptedReader, rows: np.ndarray, mined: Mined, config: TrainConfig) -> None:
        """rows: (N,) of the corpus, the ones that `mined` numbers."""
        self.adapted, self.rows, self.mined, self.config = adapted, rows, mined, config

    def loss(self, step: int, *, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """The loss of every `parts`-th anchor of a step's batch, from `part` on, and the share of active triplets."""
        roles = [self.rows[numbers[part::parts]] for numbers in self._triplets(step)]
        anchors = roles[0]
        distinct, where = np.unique(np.concatenate(roles), return_inverse=True)  # an image may play several roles
        context = self.adapted.hear(self.adapted.corpus.sound(anchors)).select(torch.arange(len(anchors)).repeat(3))
        entering = self.adapted.prefix(distinct)[torch.from_numpy(where)]
        tokens = self.adapted.suffix(entering, context, likeness=self.adapted.likeness(np.concatenate(roles)))[:, 1:]
        side = self.adapted.reader.side
        maps = tokens.transpose(1, 2).unflatten(2, (side, side)).split(len(anchors))  # three of (B, C, G, G)
        return triplet_loss(*maps, self.config.pixel_matching)

    def _triplets(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Anchors, positives and negatives of the whole batch, each (B,), a function of the seed and the step."""
        generator = np.random.default_rng([self.config.seed, 1, step])
        anchors = generator.choice(len(self.rows), self.config.batch, replace=False)
        positives, negatives = mine_triplets(
            anchors,
            self.mined.table.indices,
            generator,
            videos=self.mined.videos,
            hard_features=self.mined.hard_features,
        )
        return anchors, positives, negatives
