"""What an encoder says of pictures, whole or regions that are cut out, beside a sound and a bank of others.

Legend: N regions of a frame, E joint embedding, K sounds of the bank, F frames, C crops of one batch, P patches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from moca.foundation.imagebind.config import TOP_SHARE
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.preprocessing import preprocess_frames
from moca.segmentation.crops import cut_regions
from moca.segmentation.relative import Comparison, SoundBank


class CropScorer:
    """Compares the crops of regions with sounds, the way the encoder was trained to compare pictures.

    encoder: frozen, on any device. bank: the other sounds. batch: crops that are looked at together, of one frame or of
    several; it changes memory, not results.
    """

    def __init__(self, encoder: ImageBind, bank: SoundBank, *, batch: int = 32) -> None:
        self.encoder, self.bank, self.batch = encoder, bank, batch

    def each(self, frames: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Iterator[Comparison]:
        """One comparison a frame, in order; each has as many regions as masks.

        frames: picture (H, W, 3) uint8, masks (N, H, W) bool without an empty one, sound (E,) of unit length. Frames
        are taken until they fill a batch of crops, so the masks of as many are held.
        """
        waiting: list[tuple[np.ndarray, np.ndarray]] = []  # crops and sound of a frame
        for picture, masks, sound in frames:
            size = self.encoder.config.image_size
            crops = np.stack(list(cut_regions(picture, masks, size))) if len(masks) else np.zeros((0, size, size, 3))
            waiting.append((crops.astype(np.uint8), sound))
            if sum(len(crops) for crops, _ in waiting) >= self.batch:
                yield from self._compare(waiting)
                waiting = []
        yield from self._compare(waiting)

    def _compare(self, frames: Sequence[tuple[np.ndarray, np.ndarray]]) -> Iterator[Comparison]:
        if not frames:
            return
        counts = [len(crops) for crops, _ in frames]
        sounds = np.concatenate([self.bank.embeddings, np.stack([sound for _, sound in frames])])
        cosines = self.cosines(np.concatenate([crops for crops, _ in frames]), sounds)
        for number, rows in enumerate(np.split(cosines, np.cumsum(counts)[:-1])):
            yield Comparison(own=rows[:, len(self.bank) + number], others=rows[:, : len(self.bank)])

    @torch.inference_mode()
    def cosines(self, crops: np.ndarray, sounds: np.ndarray) -> np.ndarray:
        """Agreement of crops (C, S, S, 3) uint8 with sounds (A, E) of unit length: (C, A) float32 in [-1, 1].

        With pooling "class" the cosine of the class token's embedding; with "dense", which trained no class token, the
        soft maximum over patches that the encoder was trained by (`ImageBind.pooled_similarity`).
        """
        like, config = next(self.encoder.parameters()), self.encoder.config
        heard = torch.from_numpy(sounds).to(like.device)
        found = [np.zeros((0, len(sounds)), np.float32)]
        for start in range(0, len(crops), self.batch):
            pixels = preprocess_frames(crops[start : start + self.batch], config.image_size)
            found.append(self._agreement(pixels.to(like.device, like.dtype), heard).float().cpu().numpy())
        return np.concatenate(found)

    def _agreement(self, pixels: Tensor, sounds: Tensor) -> Tensor:
        if self.encoder.config.pooling == "class":
            return self.encoder.embed_image(pixels) @ sounds.T
        return self.encoder.pooled_similarity(self.encoder.embed_patches(pixels), sounds)


def compare_pictures(encoder: ImageBind, tokens: Sequence[Tensor], sounds: Tensor, bank: SoundBank) -> list[Comparison]:
    """Whole pictures beside their sounds and a bank, each as one region, read as `ImageBind.presence` reads them.

    tokens: final image tokens (F, 1 + P, D) of every view of the pictures, whose cosines are averaged. sounds: (F, E)
    of unit length, one a picture.
    """
    heard = torch.cat([torch.from_numpy(bank.embeddings).to(sounds), sounds])
    cosines = torch.stack([presences(encoder, view, heard) for view in tokens]).mean(0).float().cpu().numpy()
    return [
        Comparison(own=row[len(bank) + number : len(bank) + number + 1], others=row[None, : len(bank)])
        for number, row in enumerate(cosines)
    ]


def presences(encoder: ImageBind, tokens: Tensor, sounds: Tensor) -> Tensor:
    """`ImageBind.presence` of pictures, final tokens (F, 1 + P, D), with every sound (A, E) of unit length: (F, A)."""
    if encoder.config.pooling == "class":
        return encoder.class_direction(tokens) @ sounds.T
    cosines = torch.einsum("fpe,ae->fap", encoder.project_image(tokens), sounds)
    return cosines.topk(max(1, round(TOP_SHARE * cosines.shape[-1])), dim=-1).values.mean(-1)
