"""Pseudo-labels: which patches of a frame a sound belongs to, as far as the frozen encoder can tell.

For every sounding frame and a few sounds (its own; others that were drawn at random):

1. presence: does anything in the frame agree with the sound? Read the way the encoder was trained: by the best patches,
   or by the class token. Below what the frames' own sounds reach, the sound is absent and every patch is labelled
   silent; a doubtful one teaches nothing.
2. score = cosine * z(agreement of each patch with the sound) + contrast * z(match contrast), z over the frame. Match
   contrast: how well a patch matches its best patch in frames that sound alike, minus the same in frames that do
   not. What a sound has in common across videos is its source; the rest is chance.
3. region: the score above its Otsu threshold, snapped to the frame's edges.
4. target: the share of every patch that the region covers.

No mask and no label is read. The notion of labelling a frame for sounds that it does not contain is what makes
adapters listen: their read-out does not hear the sound, so it must come through them.

Shape legend: A anchors, S sounds of each, N = G x G patches, K bank rows, D width, E joint space.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from moca.core.maps import resize_maps
from moca.core.progress import Progress, silent
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.reader import PatchReader
from moca.segmentation.edges import snap_to_edges
from moca.segmentation.gate import support
from moca.segmentation.kmeans import otsu_threshold
from moca.training.config import LabelConfig
from moca.training.frozen import FrozenReader

BLOCK_ROWS = 128
"""Anchors that are labelled at a time, the most that a stopped build loses."""
BANK_ROWS = 4_000
"""Frames that matches are sought in; more cost memory and change little."""
CENTRE_PERCENTILE = 88.0
"""Of the patches' agreement: about the share of a picture that does not sound."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Which patches of A frames sound, for S sounds each."""

    rows: np.ndarray
    """(A,) int64: the frames, as rows of the corpus."""
    sounds: np.ndarray
    """(A, S) int64: the rows whose sound is meant, the frame's own first."""
    targets: np.ndarray
    """(A, S, G, G) uint8: share of the patch that sounds, 255 for all of it."""
    weights: np.ndarray
    """(A, S) float32: 0 for a sound of which it is not known whether it is in the frame, else 1."""
    centre: float
    """The cosine that a cosine read-out should call undecided."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bank:
    """Frames that anchors are compared with, and what the frames' own sounds say of presence."""

    middle: Tensor
    """(K, N, D) half: unit patch tokens of the frames, from the middle of the trunk."""
    absent: float
    """Presence below which a sound counts as absent."""
    present: float
    """Presence from which another clip's sound counts as present."""
    centre: float
    """See `Labels`."""


def match_contrast(patches: Tensor, alike: Tensor, unlike: Tensor) -> Tensor:
    """Mean best-match cosine in `alike` minus the mean in `unlike`, per patch.

    patches: (N, D); alike: (P, N, D); unlike: (Q, N, D), all of unit length. Returns (N,) in [-2, 2].
    """

    def best(frames: Tensor) -> Tensor:
        return torch.einsum("nd,kmd->nkm", patches, frames).amax(-1).mean(1)

    return best(alike) - best(unlike)


def region_target(frame: np.ndarray, score: np.ndarray, config: LabelConfig) -> np.ndarray:
    """Share of every patch that the region of high score covers, (G, G) uint8.

    frame: (S, S, 3) uint8; score: (G, G) float.
    """
    size = frame.shape[:2]
    fine = resize_maps(score, size)
    threshold = otsu_threshold(fine) + config.raise_threshold * float(fine.std())
    region = fine > threshold
    if config.refine:
        region = snap_to_edges(frame, fine, region)
    share = cv2.resize(region.astype(np.float32), score.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.round(255 * share).astype(np.uint8)


class Labeller:
    """Labels blocks of anchors; every block is a pure function of the settings, the corpus and the encoder."""

    def __init__(
        self,
        encoder: ImageBind,
        corpus: Corpus,
        rows: np.ndarray,
        sounds: np.ndarray,
        config: LabelConfig,
        *,
        reader: PatchReader | None = None,
    ) -> None:
        """rows: (A,) sounding rows of the corpus; sounds: (A, E) their audio embeddings. reader: how patches are read
        where the configuration names no reading; None is the encoder's own way.

        Raises InputError where an anchor has too few frames of other videos to be compared with.
        """
        self.reader = FrozenReader(encoder, reader=reader, reading=config.reading)
        self.corpus, self.rows, self.config = corpus, rows, config
        self.videos, self.sounds = corpus.videos[rows], torch.from_numpy(sounds)
        self.bank_rows = np.sort(np.random.default_rng([config.seed, 11]).permutation(len(rows))[:BANK_ROWS])
        self._check_size()

    @property
    def starts(self) -> range:
        """The first anchor of every block."""
        return range(0, len(self.rows), BLOCK_ROWS)

    @property
    def rests_on(self) -> dict[str, Any]:
        """Everything that labels depend on besides encoder, corpus and rows, as JSON values."""
        constants = {"block": BLOCK_ROWS, "bank": BANK_ROWS, "centre": CENTRE_PERCENTILE}
        return {"config": asdict(self.config), "reader": self.reader.reader.made_of, **constants}

    def _check_size(self) -> None:
        """Every anchor needs enough frames of other videos; refused before anything is read."""
        config = self.config
        compared = config.alike + config.unlike if config.contrast else 0
        others, in_bank = (
            len(videos) - np.bincount(videos).max(initial=0) for videos in (self.videos, self.videos[self.bank_rows])
        )
        if others < config.other_sounds or in_bank < compared:
            fewest = min(others, in_bank)
            typed = " ".join(f"--set labels.{name}={value}" for name, value in config.within(fewest).items())
            raise InputError(
                f"labels need {max(compared, config.other_sounds)} frames with sound of other videos for every frame "
                f"(labels.alike + labels.unlike, and labels.other_sounds), got {fewest}; add videos"
                + (f", or lower them: {typed}." if typed else ".")
            )

    def read_bank(self, progress: Progress = silent) -> Bank:
        """The features of the frames that anchors are compared with, and how well frames agree with their own sound."""
        middles, cosines, presences = [], [], []
        for first in range(0, len(self.bank_rows), BLOCK_ROWS):
            part = self.bank_rows[first : first + BLOCK_ROWS]
            frames = self.corpus.frames[self.rows[part]]
            pixels = self.reader.pixels(frames)
            middles.append(self.reader.middle(pixels).half().cpu())
            patches = self.reader.patches(pixels, frames).cpu()
            cosines.append(torch.einsum("bne,be->bn", patches, self.sounds[part]).numpy())
            pictures = self._pictures(pixels)
            presences += [
                self._presence(frame, pictures, index, sound)
                for index, (frame, sound) in enumerate(zip(cosines[-1], part, strict=True))
            ]
            progress("reading frames to compare with", first + len(part), len(self.bank_rows))
        absent, present = np.percentile(presences, [self.config.absent, self.config.present])
        centre = float(np.percentile(np.concatenate(cosines), CENTRE_PERCENTILE))
        return Bank(middle=torch.cat(middles), absent=absent, present=present, centre=centre)

    def block(self, first: int, bank: Bank) -> dict[str, np.ndarray]:
        """Sounds, targets and weights of anchors first .. first + BLOCK_ROWS; sounds are numbered among the A rows."""
        anchors = np.arange(first, min(first + BLOCK_ROWS, len(self.rows)))
        generator = np.random.default_rng([self.config.seed, 12, first])
        others = np.stack([self._others(anchor, generator) for anchor in anchors])
        sounds = np.concatenate([anchors[:, None], others], axis=1).astype(np.int64)
        frames = self.corpus.frames[self.rows[anchors]]
        pixels = self.reader.pixels(frames)
        patches, middle = self.reader.patches(pixels, frames).cpu(), self.reader.middle(pixels).cpu()
        pictures = self._pictures(pixels)
        targets = np.zeros((*sounds.shape, self.reader.side, self.reader.side), np.uint8)
        weights = np.ones(sounds.shape, np.float32)
        for index, anchor in enumerate(anchors):
            for column, sound in enumerate(sounds[index]):
                cosines = (patches[index] @ self.sounds[sound]).numpy()
                presence = self._presence(cosines, pictures, index, sound)
                if presence < bank.absent:
                    continue
                if presence < bank.present and column:
                    weights[index, column] = 0
                    continue
                score = self._score(cosines, middle[index], bank, anchor, sound, generator)
                targets[index, column] = region_target(frames[index], score, self.config)
        return {"sounds": sounds, "targets": targets, "weights": weights}

    def _others(self, anchor: int, generator: np.random.Generator) -> np.ndarray:
        """Anchors of other videos whose sounds the anchor is labelled for too, (other_sounds,)."""
        count = self.config.other_sounds
        others = generator.choice(len(self.rows), count, replace=False)
        if (self.videos[others] == self.videos[anchor]).any():
            others = generator.choice(np.flatnonzero(self.videos != self.videos[anchor]), count, replace=False)
        return others

    def _pictures(self, pixels: Tensor) -> Tensor | None:
        pictures = self.reader.pictures(pixels)
        return None if pictures is None else pictures.cpu()

    def _presence(self, cosines: np.ndarray, pictures: Tensor | None, index: int, sound: int) -> float:
        """How well the frame at an index of a block agrees with a sound, the way the encoder was trained."""
        return support(cosines) if pictures is None else float(pictures[index] @ self.sounds[sound])

    def _score(
        self,
        cosines: np.ndarray,
        middle: Tensor,
        bank: Bank,
        anchor: int,
        sound: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """(G, G): how much each patch of an anchor belongs to a sound; middle: (N, D) of its frame."""
        score = self.config.cosine * _standard(cosines)
        if self.config.contrast:
            contrast = match_contrast(middle, *self._compared(bank, anchor, sound, generator))
            score = score + self.config.contrast * _standard(contrast.numpy())
        return score.reshape(self.reader.side, self.reader.side)

    def _compared(self, bank: Bank, anchor: int, sound: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Bank features of frames that sound alike and of frames that do not, none of the anchor's own video."""
        candidates = np.flatnonzero(self.videos[self.bank_rows] != self.videos[anchor])
        likeness = (self.sounds[self.bank_rows[candidates]] @ self.sounds[sound]).numpy()
        order = candidates[np.argsort(-likeness, kind="stable")]
        rest = order[max(self.config.alike, len(order) // 2) :]
        unlike = generator.choice(rest, self.config.unlike, replace=len(rest) < self.config.unlike)
        return bank.middle[order[: self.config.alike]].float(), bank.middle[unlike].float()


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(float(values.std()), 1e-6)
