"""Rows of the corpus through the towers with their adapters.

Shape legend: B rows or pairs of a frame and a sound, N = G x G patches, D image width.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from moca.adapters import AdaptedTowers, AudioContext
from moca.corpus.corpus import Corpus
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.training.frozen import FrozenReader


class AdaptedReader:
    """What both losses look at: the frozen prefix of frames, the context of sounds, and the adapted suffix of pairs."""

    def __init__(
        self, encoder: ImageBind, towers: AdaptedTowers, corpus: Corpus, *, reader: PatchReader | None = None
    ) -> None:
        """towers: around the encoder's own, with the adapters that are trained. reader: as in `FrozenReader`."""
        self.encoder, self.towers, self.corpus = encoder, towers, corpus
        self.reader = FrozenReader(encoder, reader=reader)

    def prefix(self, rows: np.ndarray) -> Tensor:
        """Tokens (B, 1 + N, D) of the frames of some rows before the first adapted block, without a graph."""
        return self.towers.prefix(self.reader.pixels(self.corpus.frames[rows]))

    def hear(self, waves: np.ndarray) -> AudioContext:
        """What adapters read of (B, samples) float32 waves."""
        return self.towers.hear(self.reader.mels(waves))

    def likeness(self, rows: np.ndarray) -> Tensor | None:
        """What the reading needs of the frames of some rows, (B, N, C), each frame read once; None for nothing."""
        distinct, where = np.unique(rows, return_inverse=True)
        found = self.reader.likeness(self.corpus.frames[distinct])
        return None if found is None else found[torch.from_numpy(where)]

    def suffix(self, tokens: Tensor, context: AudioContext, *, likeness: Tensor | None = None) -> Tensor:
        """The adapted blocks on tokens (B, 1 + n, D) under one sound each, with a graph, read as when segmenting.

        likeness: (B, n, C) of the same patches where the reading needs it.
        """
        how = self.reader.reader.keywords(likeness, device=self.reader.device)
        with self._attention():
            return self.towers.suffix(tokens, context, **how)

    def _attention(self) -> AbstractContextManager:
        # On CPUs the fused attention's backward pass takes longer than all the rest of the step together.
        return sdpa_kernel(SDPBackend.MATH) if self.reader.device.type == "cpu" else nullcontext()
