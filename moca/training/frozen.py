"""What the frozen encoder says about the rows of a corpus; nothing here is trained.

Shape legend: B rows, N patches in a G x G grid, E joint space, D image width.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from moca.adapters import Reading, fingerprint
from moca.corpus.corpus import Corpus
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from moca.segmentation.config import SegmentConfig

BATCH_ROWS = 64


def sounding_rows(corpus: Corpus, *, silence_dbfs: float = SegmentConfig.silence_dbfs) -> np.ndarray:
    """Rows that are loud enough to say anything, int64; their level is all that is looked at."""
    loud = [corpus.sound(slice(first, first + 1024)).std(1) for first in range(0, len(corpus), 1024)]
    return np.flatnonzero(np.concatenate(loud) > 10 ** (silence_dbfs / 20))


def frozen_print(encoder: ImageBind) -> str:
    """16 hex digits of all that frozen features depend on: the encoder's weights and its settings."""
    settings = json.dumps(asdict(encoder.config), sort_keys=True)
    return hashlib.sha256(f"{fingerprint(encoder.state_dict())} {settings}".encode()).hexdigest()[:16]


class FrozenReader:
    """Frozen features of frames and sounds, on the encoder's device, without graphs."""

    def __init__(
        self, encoder: ImageBind, *, reader: PatchReader | None = None, reading: Reading | None = None
    ) -> None:
        """reader: how patch features are read, on the encoder's own grid; None takes the encoder's own way. reading:
        another reading in its place. Raises InputError for proxy without a DINO."""
        self.encoder = encoder
        self.reader = (reader or PatchReader.of(encoder.config)).as_reading(reading)
        self.side = encoder.config.image_grid[0]

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return next(self.encoder.parameters()).device

    def mels(self, waves: np.ndarray) -> Tensor:
        """Log-mels of (B, samples) float32 waves."""
        return log_mel(torch.from_numpy(waves), self.encoder.config.log_mel).to(self.device)

    def pixels(self, frames: np.ndarray) -> Tensor:
        """The image tower's input for (B, S, S, 3) uint8 frames."""
        return preprocess_frames(frames, self.encoder.config.image_size).to(self.device)

    @torch.no_grad()
    def sounds(self, corpus: Corpus, rows: np.ndarray) -> np.ndarray:
        """Audio embeddings of unit length, (rows, E) float32."""
        parts = [
            self.encoder.audio_direction(self.encoder.embed_audio(self.mels(corpus.sound(part)))).float().cpu()
            for part in _batches(rows)
        ]
        return torch.cat(parts).numpy()

    def likeness(self, frames: np.ndarray) -> Tensor | None:
        """What the reading needs of (B, S, S, 3) uint8 frames besides their pixels, one feature a patch of the encoder;
        see `PatchReader`. None where it needs nothing."""
        return self.reader.likeness(frames, side=self.side)

    @torch.no_grad()
    def patches(self, pixels: Tensor, frames: np.ndarray | None = None) -> Tensor:
        """Joint-space patch features (B, N, E) of unit length, averaged with those of the mirrored frames.

        pixels: of the frames, as `pixels` gives them; frames: needed under reading proxy alone.
        """
        mirror = None if frames is None else frames[:, :, ::-1]
        plain, mirrored = self._joint(pixels, frames), self._joint(pixels.flip(-1), mirror)
        flipped = mirrored.unflatten(1, (self.side, self.side)).flip(2).flatten(1, 2)
        return F.normalize((plain + flipped).float(), dim=-1)

    @torch.no_grad()
    def pictures(self, pixels: Tensor) -> Tensor | None:
        """Class-token embeddings (B, E) of unit length; None for an encoder that was trained by its patches."""
        if self.encoder.config.pooling != "class":
            return None
        tower = self.encoder.image_tower
        return self.encoder.class_direction(tower(tower.tokens(pixels))).float()

    def _joint(self, pixels: Tensor, frames: np.ndarray | None) -> Tensor:
        tower = self.encoder.image_tower
        how = self.reader.keywords(None if frames is None else self.likeness(frames), device=self.device)
        return self.encoder.project_image(tower(tower.tokens(pixels), **how))

    @torch.no_grad()
    def middle(self, pixels: Tensor) -> Tensor:
        """Unit patch tokens (B, N, D) from two thirds up the trunk, where parts of things are told apart best."""
        tower = self.encoder.image_tower
        x = tower.tokens(pixels)
        for block in range(max(1, 2 * tower.depth // 3)):
            x = x + tower.attend(block, x)
            x = x + tower.feed(block, x)
        return F.normalize(x[:, 1:].float(), dim=-1)


def _batches(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, math.ceil(len(rows) / BATCH_ROWS)))
