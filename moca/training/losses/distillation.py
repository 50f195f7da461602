"""Distillation: adapters learn to tell, of every patch, whether a sound comes from it, as pseudo-labels say.

In a step every anchor is seen twice: under its own sound, and under another one that was labelled for it or, for a
share of them, under steady noise that nothing in a picture makes.

Shape legend: B anchors, S sounds of each (1 or 2), n of the N = G x G patches, E joint space, D image width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from moca.training.config import TrainConfig
from moca.training.losses.adapted import AdaptedReader
from moca.training.losses.pseudo_labels import Labels

COSINE_SCALE = 8.0
"""Logits per unit of cosine when the read-out is the cosine itself."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Draw:
    """What chance decides in a step, for one process' part of the batch."""

    anchors: np.ndarray
    """(B,) indices into the rows of the labels."""
    sounds: np.ndarray
    """(B, S) which of an anchor's labelled sounds are played, its own (0) first."""
    patches: np.ndarray
    """(B, n) which patches are looked at, ascending."""
    noisy: np.ndarray | None
    """(B,) bool, whose second sound is noise instead; None where there is no second one."""
    noise: np.ndarray | None
    """(B, samples) float32, of which only the noisy rows mean anything; None where there is no second sound."""

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the pairs (B, S) into the labels' (anchors, sounds) arrays."""
        return self.anchors[:, None], self.sounds

    @property
    def frame_of_pair(self) -> Tensor:
        """(B S,) the frame of every pair, as an index into the anchors."""
        return torch.arange(len(self.anchors)).repeat_interleave(self.sounds.shape[1])

    @property
    def patches_of_pair(self) -> Tensor:
        """(B S, n) the patches of every pair that are looked at."""
        return torch.from_numpy(self.patches)[self.frame_of_pair]


class Distillation:
    """The loss of a step as a function of the seed, the step and the trained values."""

    def __init__(self, adapted: AdaptedReader, labels: Labels, config: TrainConfig) -> None:
        self.adapted, self.labels, self.config = adapted, labels, config

    def loss(self, step: int, *, part: int = 0, parts: int = 1) -> Tensor:
        """The loss of every `parts`-th anchor of a step's batch, from `part` on."""
        draw = self._draw(step, part, parts)
        targets, weights = self._labels(draw)
        entering, waves = self._tokens(draw), self._waves(draw)
        context = self.adapted.hear(waves.reshape(-1, waves.shape[-1]))
        tokens = self.adapted.suffix(entering, context, likeness=self._likeness(draw))
        logits = self._logits(self.adapted.encoder.project_image(tokens).float(), context.tokens)
        return distillation_loss(
            logits,
            targets.flatten(0, 1).gather(1, draw.patches_of_pair).to(logits.device),
            weights.flatten().to(logits.device),
            dice=self.config.dice,
        )

    def _draw(self, step: int, part: int, parts: int) -> Draw:
        """Drawn for the whole batch and then cut, so that the number of processes changes nothing."""
        generator = np.random.default_rng([self.config.seed, 2, step])
        labelled, batch = self.labels.sounds.shape[1], self.config.batch
        anchors = generator.choice(len(self.labels.rows), batch, replace=False)
        sounds = np.zeros((batch, 1), np.int64)
        if labelled > 1:
            sounds = np.concatenate([sounds, generator.integers(1, labelled, batch)[:, None]], axis=1)
        patches = self._drawn_patches(generator)
        noisy, noise = self._drawn_noise(generator) if labelled > 1 else (None, None)
        share = slice(part, None, parts)
        return Draw(
            anchors=anchors[share],
            sounds=sounds[share],
            patches=patches[share],
            noisy=None if noisy is None else noisy[share],
            noise=None if noise is None else noise[share],
        )

    def _drawn_patches(self, generator: np.random.Generator) -> np.ndarray:
        """(batch, n) ascending indices of the share of patches that a step looks at."""
        patches = self.adapted.reader.side**2
        count = max(1, round(self.config.keep * patches))
        return np.stack([np.sort(generator.permutation(patches)[:count]) for _ in range(self.config.batch)])

    def _drawn_noise(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Who hears noise, (batch,) bool, and the noise of those, (batch, samples) float32."""
        noisy = generator.random(self.config.batch) < self.config.noise
        noise = np.empty((self.config.batch, self.adapted.corpus.waves.shape[1]), np.float32)
        noise[noisy] = coloured_noise(generator, int(noisy.sum()), noise.shape[1])
        return noisy, noise

    def _labels(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """Targets (B, S, N) in [0, 1] and weights (B, S); noise comes from nowhere, for certain."""
        targets = torch.from_numpy(self.labels.targets[draw.pairs]).flatten(2).float() / 255
        weights = torch.from_numpy(self.labels.weights[draw.pairs])
        if draw.noisy is not None:
            targets[draw.noisy, 1], weights[draw.noisy, 1] = 0.0, 1.0
        return targets, weights

    def _tokens(self, draw: Draw) -> Tensor:
        """The class token and the n patches looked at of every pair, (B S, 1 + n, D), each frame read once."""
        tokens = self.adapted.prefix(self.labels.rows[draw.anchors])[draw.frame_of_pair]
        index = draw.patches_of_pair.to(tokens.device)[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, index)], dim=1)

    def _likeness(self, draw: Draw) -> Tensor | None:
        """What the reading needs of the patches looked at of every pair, (B S, n, C); None where it needs nothing."""
        found = self.adapted.likeness(self.labels.rows[draw.anchors])
        if found is None:
            return None
        index = draw.patches_of_pair[..., None].expand(-1, -1, found.shape[-1])
        return found[draw.frame_of_pair].gather(1, index)

    def _waves(self, draw: Draw) -> np.ndarray:
        """What is played to every pair, (B, S, samples) float32."""
        waves = self.adapted.corpus.sound(self.labels.sounds[draw.pairs].ravel()).reshape(*draw.sounds.shape, -1)
        if draw.noisy is not None:
            waves[draw.noisy, 1] = draw.noise[draw.noisy]
        return waves

    def _logits(self, patches: Tensor, heard: Tensor) -> Tensor:
        """Logits (B S, n) that a patch sounds; patches: (B S, n, E); heard: the audio tower's embeddings."""
        if self.adapted.towers.readout is not None:
            return self.adapted.towers.score(patches)
        directions = self.adapted.encoder.audio_direction(heard).float()
        return COSINE_SCALE * (torch.einsum("bne,be->bn", patches, directions) - self.labels.centre)


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
        predicted, wanted = torch.sigmoid(logits), weights * (targets.sum(1) > 0.5)
        overlap = (2 * (predicted * targets).sum(1) + 1) / (predicted.sum(1) + targets.sum(1) + 1)
        loss = loss + dice * ((1 - overlap) * wanted).sum() / wanted.sum().clamp(min=1)
    return loss
