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

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from moca.core.files import written_whole
from moca.core.maps import resize_maps
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.segmentation.edges import snap_to_edges
from moca.segmentation.gate import support
from moca.segmentation.kmeans import otsu_threshold
from moca.training.config import LabelConfig
from moca.training.frozen import FrozenReader

LABELS_FORMAT = 1
BLOCK_ROWS = 128
BANK_ROWS = 4_000  # frames that matches are sought in; more cost memory and change little
CENTRE_PERCENTILE = 88.0  # of the patches' agreement: about the share of a picture that does not sound
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Labels:
    """rows (A,) int64: anchors. sounds (A, S) int64: rows whose sound is meant, the anchor's own first. targets
    (A, S, G, G) uint8: share of the patch that sounds, 255 for all of it. weights (A, S) float32: 0 for a sound
    nothing is known about. centre: the cosine that a cosine read-out should call undecided.
    """

    rows: np.ndarray
    sounds: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    centre: float


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
        self, encoder: ImageBind, corpus: Corpus, rows: np.ndarray, sounds: np.ndarray, config: LabelConfig
    ) -> None:
        """rows: (A,) sounding rows of the corpus; sounds: (A, E) their audio embeddings."""
        self.reader = FrozenReader(encoder, reading=config.reading)
        self.corpus, self.rows, self.config = corpus, rows, config
        self.sounds = torch.from_numpy(sounds)
        generator = np.random.default_rng([config.seed, 11])
        self.bank = np.sort(generator.permutation(len(rows))[:BANK_ROWS])
        self._check_size()
        self.middle: Tensor | None = None

    def _check_size(self) -> None:
        """Every anchor needs enough frames of other videos; refused before anything is read."""
        videos = self.corpus.videos[self.rows]
        config = self.config
        compared = config.alike + config.unlike if config.contrast else 0
        others, in_bank = (len(part) - np.bincount(part).max(initial=0) for part in (videos, videos[self.bank]))
        if others < config.other_sounds or in_bank < compared:
            raise InputError(
                f"labels need {max(compared, config.other_sounds)} frames with sound of other videos for every frame "
                f"(alike + unlike, and other_sounds), got {min(others, in_bank)}; add videos, or lower these settings."
            )

    def prepare(self, report: Report | None = None) -> None:
        """Read the bank: its features, and how well frames agree with their own sound."""
        kept, cosines, presences = [], [], []
        for first in range(0, len(self.bank), BLOCK_ROWS):
            part = self.bank[first : first + BLOCK_ROWS]
            pixels = self.reader.pixels(self.corpus.frames[self.rows[part]])
            kept.append(self.reader.middle(pixels).half().cpu())
            cosines.append(torch.einsum("bne,be->bn", self.reader.patches(pixels).cpu(), self.sounds[part]).numpy())
            pictures = self._pictures(pixels)
            presences += [
                self._presence(frame, pictures, place, sound)
                for place, (frame, sound) in enumerate(zip(cosines[-1], part, strict=True))
            ]
            if report:
                report("reading frames to compare with", first + len(part), len(self.bank))
        own = np.concatenate(cosines)
        self.middle = torch.cat(kept)
        self.absent, self.present = np.percentile(presences, [self.config.absent, self.config.present])
        self.centre = float(np.percentile(own, CENTRE_PERCENTILE))

    def block(self, first: int) -> dict[str, np.ndarray]:
        """Sounds, targets and weights of anchors first .. first + BLOCK_ROWS."""
        places = np.arange(first, min(first + BLOCK_ROWS, len(self.rows)))
        generator = np.random.default_rng([self.config.seed, 12, first])
        others = np.stack([self._others(place, generator) for place in places])
        sounds = np.concatenate([places[:, None], others], axis=1).astype(np.int64)
        frames = self.corpus.frames[self.rows[places]]
        pixels = self.reader.pixels(frames)
        patches, middle = self.reader.patches(pixels).cpu(), self.reader.middle(pixels).cpu()
        pictures = self._pictures(pixels)
        targets = np.zeros((*sounds.shape, self.reader.side, self.reader.side), np.uint8)
        weights = np.ones(sounds.shape, np.float32)
        for anchor, heard in enumerate(sounds):
            for place, sound in enumerate(heard):
                cosines = (patches[anchor] @ self.sounds[sound]).numpy()
                best = self._presence(cosines, pictures, anchor, sound)
                if best < self.absent:
                    continue
                if best < self.present and place:
                    weights[anchor, place] = 0
                    continue
                score = self._score(cosines, middle[anchor], places[anchor], sound, generator)
                targets[anchor, place] = region_target(frames[anchor], score, self.config)
        return {"sounds": sounds, "targets": targets, "weights": weights}

    def _others(self, place: int, generator: np.random.Generator) -> np.ndarray:
        """Places of sounds of other videos, (other_sounds,)."""
        found = generator.choice(len(self.rows), self.config.other_sounds, replace=False)
        videos = self.corpus.videos[self.rows]
        if (videos[found] == videos[place]).any():
            found = generator.choice(np.flatnonzero(videos != videos[place]), self.config.other_sounds, replace=False)
        return found

    def _pictures(self, pixels: Tensor) -> Tensor | None:
        pictures = self.reader.pictures(pixels)
        return None if pictures is None else pictures.cpu()

    def _presence(self, cosines: np.ndarray, pictures: Tensor | None, place: int, sound: int) -> float:
        return support(cosines) if pictures is None else float(pictures[place] @ self.sounds[sound])

    def _score(
        self, cosines: np.ndarray, middle: Tensor, anchor: int, sound: int, generator: np.random.Generator
    ) -> np.ndarray:
        score = self.config.cosine * _standard(cosines)
        if self.config.contrast:
            found = match_contrast(middle, *self._compared(anchor, sound, generator))
            score = score + self.config.contrast * _standard(found.numpy())
        return score.reshape(self.reader.side, self.reader.side)

    def _compared(self, anchor: int, sound: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Bank features of frames that sound alike and of frames that do not, none of the anchor's own video."""
        videos = self.corpus.videos[self.rows]
        candidates = np.flatnonzero(videos[self.bank] != videos[anchor])
        likeness = (self.sounds[self.bank[candidates]] @ self.sounds[sound]).numpy()
        order = candidates[np.argsort(-likeness, kind="stable")]
        rest = order[max(self.config.alike, len(order) // 2) :]
        unlike = generator.choice(rest, self.config.unlike, replace=len(rest) < self.config.unlike)
        return self.middle[order[: self.config.alike]].float(), self.middle[unlike].float()


def build_labels(
    encoder: ImageBind,
    corpus: Corpus,
    rows: np.ndarray,
    sounds: np.ndarray,
    config: LabelConfig,
    folder: Path,
    *,
    encoder_print: str,
    report: Report | None = None,
) -> Labels:
    """Label all anchors, or read them from `folder` when the same ones were made before.

    Finished blocks are never made again. Raises InputError when there are too few frames to compare with.
    """
    made_of = {"format": LABELS_FORMAT, "config": asdict(config), "block": BLOCK_ROWS, "bank": BANK_ROWS}
    made_of |= {"encoder": encoder_print, "corpus": corpus.fingerprint, "rows": len(rows)}
    name = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    folder = folder / f"labels-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    labeller = Labeller(encoder, corpus, rows, sounds, config)
    paths = {first: folder / f"{first:08d}.npz" for first in range(0, len(rows), BLOCK_ROWS)}
    centre = folder / "centre.json"
    for done, (first, path) in enumerate(paths.items()):
        if centre.is_file() and _read_block(path) is not None:
            continue
        if labeller.middle is None:
            labeller.prepare(report)
            with written_whole(centre) as partial:
                partial.write_text(json.dumps(labeller.centre) + "\n")
        found = labeller.block(first)
        with written_whole(path) as partial, partial.open("wb") as file:
            np.savez(file, **found)
        if report:
            report("labelling", min((done + 1) * BLOCK_ROWS, len(rows)), len(rows))
    blocks = [_read_block(path) for path in paths.values()]
    joined = {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
    return Labels(rows=rows, centre=json.loads(centre.read_text()), **{**joined, "sounds": rows[joined["sounds"]]})


def _read_block(path: Path) -> dict[str, np.ndarray] | None:
    """A finished block; None where there is none, or only a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in ("sounds", "targets", "weights")}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(float(values.std()), 1e-6)
