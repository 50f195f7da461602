"""Batches of frames and sounds for the mini ImageBind."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from recipes.encoder_recipe import EncoderRecipe
from recipes.stage_pairs import SILENCE_RMS, Pairs


class Batches:
    """Shuffled batches of (pixels, mels, sounding), in an order ruled by the seed alone.

    Frames are mirrored and sounds rotated in time at random. With sounds (N, E), embedded before, those of a batch
    take the place of its mels.
    """

    def __init__(
        self, pairs: Pairs, config: ImageBindConfig, recipe: EncoderRecipe, sounds: Tensor | None = None
    ) -> None:
        self.pairs, self.config, self.recipe, self.sounds = pairs, config, recipe, sounds
        self.generator = np.random.default_rng([recipe.seed, 1])
        self.single = np.flatnonzero(pairs.kinds == "single")
        self.order = np.empty(0, np.int64)

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of a step's batch, sorted, since they are read from a file; which to mirror; by how much to rotate."""
        batch = self.recipe.batch
        singles = step < self.recipe.singles_until * self.recipe.steps
        if len(self.order) < batch or step == math.ceil(self.recipe.singles_until * self.recipe.steps):
            self.order = self.generator.permutation(self.single if singles else len(self.pairs.frames))
        rows, self.order = self.order[:batch], self.order[batch:]
        return np.sort(rows), self.generator.random(len(rows)) < 0.5, self.generator.integers(0, 16_000, len(rows))

    def load(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rows, mirrored, shifts = self.draw(step)
        frames = np.where(mirrored[:, None, None, None], self.pairs.frames[rows][:, :, ::-1], self.pairs.frames[rows])
        waves = [np.roll(wave, shift) for wave, shift in zip(self.pairs.sound(rows), shifts, strict=True)]
        waves = torch.from_numpy(np.stack(waves))
        sounding = waves.std(-1) > SILENCE_RMS
        pixels = preprocess_frames(frames, self.config.image_size)
        if self.sounds is not None:
            return pixels, self.sounds[rows], sounding
        return pixels, log_mel(waves, self.config.log_mel), sounding
