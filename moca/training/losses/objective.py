"""What a step of training minimises: pixel matching, pseudo-labels, or both.

Shape legend: B anchors, S sounds of each, N = G x G patches, E joint space, D image width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from moca.adapters import AdaptedTowers, AudioContext, fingerprint
from moca.core.files import written_whole
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.mining import NeighbourTable, build_table, mine_triplets, mining_features
from moca.training.config import TrainConfig
from moca.training.frozen import FrozenReader, sounding_rows
from moca.training.losses.pixel_matching import triplet_loss
from moca.training.losses.pseudo_labels import Labels, Report, build_labels

COSINE_SCALE = 8.0  # logits per unit of cosine when the read-out is the cosine itself


class Objective:
    """The loss of a step as a pure function of (config.seed, step) and the trainable values.

    Batches, negatives and dropped patches come from generators made anew for every step, so a run that goes on
    after step n repeats what an uninterrupted run does, and nothing about the sampler needs saving.
    """

    def __init__(
        self,
        encoder: ImageBind,
        towers: AdaptedTowers,
        corpus: Corpus,
        config: TrainConfig,
        folder: Path,
        *,
        image_features: Callable[[np.ndarray], np.ndarray] | None = None,
        image_print: str = "",
        report: Report | None = None,
    ) -> None:
        """Mine and label, or read what was mined and labelled before from `folder`.

        image_features: uint8 frames (B, S, S, 3) to (B, D) features, needed when images are mined by likeness.
        image_print: fingerprint of what makes them, since they are kept. report: called with what is being prepared,
        how much is done, of how much. Raises InputError for too little data.
        """
        self.encoder, self.towers, self.corpus, self.config = encoder, towers, corpus, config
        self.reader, self.folder = FrozenReader(encoder), folder
        self.encoder_print = fingerprint(encoder.state_dict())
        self.rows = sounding_rows(corpus)
        if len(self.rows) < config.batch + 1:
            raise InputError(
                f"training needs more than {config.batch} frames with sound (the batch), got {len(self.rows)} among "
                f"{len(corpus)} frames; add videos or lower --batch."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.sounds = self._cached("sounds", lambda: self.reader.sounds(corpus, self.rows))
        self.table = self._mine(image_features, image_print, report) if config.matching else None
        self.labels = self._label(report) if config.distillation else None

    def loss(self, step: int, *, part: int = 0, parts: int = 1) -> tuple[Tensor, dict[str, float]]:
        """Loss of a step and its parts to log.

        part, parts: this process takes every `parts`-th anchor of the batch, from `part` on.
        """
        total: Tensor | float = 0.0
        logged: dict[str, float] = {}
        if self.table is not None:
            matching, active = self._matching(self.table, step, part, parts)
            total = total + self.config.matching * matching
            logged |= {"matching": float(matching.detach()), "active": float(active)}
        if self.labels is not None:
            distilled = self._distillation(self.labels, step, part, parts)
            total = total + self.config.distillation * distilled
            logged["distillation"] = float(distilled.detach())
        return total, logged

    def _cached(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        path = self.folder / f"{name}-{self.encoder_print[:8]}-{self.corpus.fingerprint[:8]}.npy"
        if not path.is_file():
            with written_whole(path) as partial, partial.open("wb") as file:
                np.save(file, make())
        return np.load(path, allow_pickle=False)

    def _mine(
        self, image_features: Callable[[np.ndarray], np.ndarray] | None, image_print: str, report: Report | None
    ) -> NeighbourTable:
        mining, image = self.config.mining, None
        if mining.source != "audio":
            if image_features is None:
                raise InputError(
                    f"mining by {mining.source} needs image features; name a DINO model, or mine by audio."
                )

            def read() -> np.ndarray:
                parts = []
                for rows in np.array_split(self.rows, math.ceil(len(self.rows) / 256)):
                    parts.append(image_features(self.corpus.frames[rows]))
                    if report:
                        report("image features", sum(map(len, parts)), len(self.rows))
                return np.concatenate(parts).astype(np.float32)

            image = self._cached(f"images{image_print[:8]}", read)
        features = mining_features(mining, image=image, audio=self.sounds)
        self.mined = features if mining.hard_negatives else None
        self.videos = self.corpus.videos[self.rows] if mining.exclude_same_video else None
        return build_table(
            features,
            mining,
            self.folder / "neighbours",
            videos=self.videos,
            progress=(lambda done, count: report("neighbours", done, count)) if report else None,
        )

    def _label(self, report: Report | None) -> Labels:
        config = self.config
        return build_labels(
            self.encoder,
            self.corpus,
            self.rows,
            self.sounds,
            config.labels,
            self.folder,
            encoder_print=self.encoder_print,
            report=report,
        )

    def _anchors(self, count: int, generator: np.random.Generator) -> np.ndarray:
        return generator.choice(count, self.config.batch, replace=False)

    def _prefix(self, rows: np.ndarray) -> Tensor:
        return self.towers.prefix(self.reader.pixels(self.corpus.frames[rows]))

    def _hear(self, waves: np.ndarray) -> AudioContext:
        return self.towers.hear(self.reader.mels(waves))

    def _matching(self, table: NeighbourTable, step: int, part: int, parts: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng([self.config.seed, 1, step])
        anchors = self._anchors(len(self.rows), generator)
        positives, negatives = mine_triplets(
            anchors, table.indices, generator, videos=self.videos, hard_features=self.mined
        )
        roles = [self.rows[role[part::parts]] for role in (anchors, positives, negatives)]
        distinct, where = np.unique(np.concatenate(roles), return_inverse=True)  # an image may play several roles
        context = self._hear(self.corpus.sound(roles[0])).select(torch.arange(len(roles[0])).repeat(3))
        entering = self._prefix(distinct)[torch.from_numpy(where)]
        with self._differentiated():
            tokens = self.towers.suffix(entering, context)[:, 1:]
        maps = tokens.transpose(1, 2).unflatten(2, (self.reader.side, self.reader.side)).split(len(roles[0]))
        return triplet_loss(*maps, self.config.pixel_matching)

    def _distillation(self, labels: Labels, step: int, part: int, parts: int) -> Tensor:
        generator = np.random.default_rng([self.config.seed, 2, step])
        anchors = self._anchors(len(labels.rows), generator)
        others = generator.integers(1, labels.sounds.shape[1], len(anchors)) if labels.sounds.shape[1] > 1 else None
        kept = self._kept_patches(generator, len(anchors))
        mine = slice(part, None, parts)
        anchors, kept = anchors[mine], kept[mine]
        meant, noisy = np.zeros((len(anchors), 1), np.int64), None
        if others is not None:
            meant = np.stack([meant[:, 0], others[mine]], axis=1)
            noisy = generator.random(self.config.batch) < self.config.noise
        place = anchors[:, None], meant
        targets = torch.from_numpy(labels.targets[place]).flatten(2).float() / 255  # (B, S, N)
        weights = torch.from_numpy(labels.weights[place])
        frames = torch.arange(len(anchors)).repeat_interleave(meant.shape[1])
        index = torch.from_numpy(kept)[frames]  # (B S, n) patches seen
        tokens = self._prefix(labels.rows[anchors])[frames]
        seen = index.to(tokens.device)[..., None].expand(-1, -1, tokens.shape[-1])
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, seen)], dim=1)
        waves = self.corpus.sound(labels.sounds[place].ravel()).reshape(*meant.shape, -1)
        if noisy is not None:
            noise = np.empty((self.config.batch, waves.shape[-1]), np.float32)
            noise[noisy] = coloured_noise(generator, int(noisy.sum()), waves.shape[-1])  # whatever this part is
            noise, noisy = noise[mine], noisy[mine]
            waves[noisy, 1] = noise[noisy]
            targets[noisy, 1], weights[noisy, 1] = 0.0, 1.0
        context = self._hear(waves.reshape(-1, waves.shape[-1]))
        with self._differentiated():
            tokens = self.towers.suffix(tokens, context, reading=self.encoder.config.reading)
        patches = self.encoder.project_image(tokens).float()
        logits = self._logits(patches, context.tokens, labels.centre)
        return distillation_loss(
            logits,
            targets.flatten(0, 1).gather(1, index).to(logits.device),
            weights.flatten().to(logits.device),
            dice=self.config.dice,
        )

    def _differentiated(self):
        # On CPUs the fused attention's backward pass takes longer than all the rest of the step together.
        return sdpa_kernel(SDPBackend.MATH) if self.reader.device.type == "cpu" else nullcontext()

    def _kept_patches(self, generator: np.random.Generator, count: int) -> np.ndarray:
        patches = self.reader.side**2
        kept = max(1, round(self.config.keep * patches))
        return np.stack([np.sort(generator.permutation(patches)[:kept]) for _ in range(count)])

    def _logits(self, patches: Tensor, heard: Tensor, centre: float) -> Tensor:
        if self.towers.readout is not None:
            return self.towers.score(patches)
        cosines = torch.einsum("bne,be->bn", patches, self.encoder.audio_direction(heard).float())
        return COSINE_SCALE * (cosines - centre)


def coloured_noise(generator: np.random.Generator, count: int, samples: int) -> np.ndarray:
    """Steady noise of random colour and level, (count, samples) float32: a sound that nothing in a picture makes.

    Its power falls with frequency to the power of 0 (white) to 2 (brown); its RMS is -30 to -12 dB of full scale.
    """
    spectrum = np.fft.rfft(generator.standard_normal((count, samples)))
    frequency = np.arange(spectrum.shape[1]) + 1.0
    wave = np.fft.irfft(spectrum * frequency ** -generator.uniform(0, 1, (count, 1)), samples)
    level = 10 ** (generator.uniform(-30, -12, (count, 1)) / 20)
    return (wave / wave.std(1, keepdims=True) * level).clip(-1, 1).astype(np.float32)


def distillation_loss(logits: Tensor, targets: Tensor, weights: Tensor, *, dice: float) -> Tensor:
    """Cross-entropy per patch plus `dice` times one minus the soft overlap of the regions.

    logits, targets: (B, N), targets in [0, 1]; weights: (B,). Pairs of weight 0 count for nothing; the overlap is
    only asked of pairs whose target is not empty (of an empty one any overlap is 0). Returns a scalar.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    loss = (entropy * weights).sum() / weights.sum().clamp(min=1)
    if dice:
        found, wanted = torch.sigmoid(logits), weights * (targets.sum(1) > 0.5)
        overlap = (2 * (found * targets).sum(1) + 1) / (found.sum(1) + targets.sum(1) + 1)
        loss = loss + dice * ((1 - overlap) * wanted).sum() / wanted.sum().clamp(min=1)
    return loss
