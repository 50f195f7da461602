"""What a pipeline's towers say of steps: patch features, their agreement with the sound, and what gates need."""

from __future__ import annotations

import math
from collections.abc import Iterator
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moca.adapters import AudioContext
from moca.core.step import Step
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from moca.pipeline.bank import sound_bank
from moca.pipeline.comparing import compare_pictures
from moca.pipeline.loading import Pipeline
from moca.segmentation.config import CROPS, SegmentConfig
from moca.segmentation.deciding import Look
from moca.segmentation.relative import Comparison, SoundBank, compare


class Looker:
    """Looks at steps with a pipeline's towers, and with a bank of other sounds where something needs one.

    Looking changes nothing of it: several threads may share one. config: of which the gates, the mirror and the kind of
    scores are used. device: of the towers.
    """

    def __init__(self, pipeline: Pipeline, config: SegmentConfig, device: torch.device) -> None:
        self.pipeline, self.config, self.device = pipeline, config, device
        self._bank, self._lock = pipeline.bank, Lock()

    @property
    def relative(self) -> bool:
        """Whether agreement is counted relative to a bank: a learnt read-out needs none."""
        return self.config.scores == "relative" and self.pipeline.towers.readout is None

    @property
    def compares(self) -> bool:
        """Whether steps are compared with a bank of other sounds."""
        return self.relative or self.by_crops or self.config.gate_rank > 0 or self.pipeline.bank is not None

    @property
    def by_crops(self) -> bool:
        """Whether proposals are chosen by their crops."""
        return self.pipeline.proposer is not None and self.pipeline.proposer.config.rule == CROPS

    @property
    def bank(self) -> SoundBank:
        """The bank of other sounds: the pipeline's own, or the synthesised one, which is made on first use."""
        with self._lock:
            if self._bank is None:
                self._bank = sound_bank(self.pipeline.encoder, self.pipeline.fingerprints.get("encoder"))
            return self._bank

    @torch.no_grad()
    def look(self, steps: list[Step]) -> Iterator[Look]:
        """What the towers say of steps that all have sound."""
        views, context = self.enter(steps)
        patches, agreement, compared, sounds = self._read(steps, views, context)
        presences = [None] * len(steps)
        of_pictures = compared is None and self.config.gate_rank > 0
        if self.config.gate_frozen > -1 or of_pictures:
            frozen = [self.pipeline.towers.suffix(tokens, context, adapted=False) for tokens in views]
            presences = self._presences(frozen, context)
            if of_pictures:
                compared = compare_pictures(self.pipeline.encoder, frozen, sounds, self.bank)
        for n in range(len(steps)):
            yield Look(
                patches=patches[n],
                agreement=agreement[n],
                absolute=not self.relative and self.pipeline.towers.readout is None,
                presence=presences[n],
                compared=None if compared is None else compared[n],
                sound=sounds[n].float().cpu().numpy(),
                names=self.bank.names if self.compares else (),
            )

    @torch.no_grad()
    def features(self, steps: list[Step]) -> tuple[np.ndarray, np.ndarray]:
        """Audio-enhanced patch features and their agreement with the sound.

        Returns (patches (B, G, G, E) float32 of unit length, agreement (B, G, G) float32: what the adapters' read-out
        says, in [0, 1]; or cosines in [-1, 1]; or, where scores are relative, cosines in standard deviations of the
        bank above its mean). The grid is the encoder's, or, read by proxy, that of the other model. Every step must
        have audio.
        """
        return self._read(steps, *self.enter(steps))[:2]

    @torch.no_grad()
    def frozen_presence(self, steps: list[Step]) -> np.ndarray:
        """Does anything in the frame go with the step's sound, says the frozen encoder: (B,) in [-1, 1]."""
        views, context = self.enter(steps)
        frozen = [self.pipeline.towers.suffix(tokens, context, adapted=False) for tokens in views]
        return np.array(self._presences(frozen, context))

    def enter(self, steps: list[Step]) -> tuple[list[Tensor], AudioContext]:
        """The frozen part: tokens entering the adapted blocks, of the frames and of their mirror images."""
        towers = self.pipeline.towers
        size = self.pipeline.encoder.config.image_size
        pixels = preprocess_frames([step.frame for step in steps], size, fit="stretch").to(self.device)
        pictures = [pixels, pixels.flip(-1)] if self.config.mirror else [pixels]
        views = [towers.prefix(picture) for picture in pictures]
        return views, towers.hear(self._mels(steps).to(self.device))

    def _read(
        self, steps: list[Step], views: list[Tensor], context: AudioContext
    ) -> tuple[np.ndarray, np.ndarray, list[Comparison] | None, Tensor]:
        """Patches and agreement as `features` gives them; the patches beside the bank, None where no cosine decides or
        nothing needs it; and the sounds' embeddings (B, E)."""
        towers, patches = self.pipeline.towers, self._patches(steps, views, context)
        sounds = self.pipeline.encoder.audio_direction(context.tokens)
        flat, compared = patches.float().cpu().numpy(), None
        if towers.readout is not None:
            agreement = torch.sigmoid(towers.score(patches))
        else:
            agreement = torch.einsum("bhwe,be->bhw", patches, sounds)
        agreement = agreement.float().cpu().numpy()
        if towers.readout is None and self.compares:
            heard = sounds.float().cpu().numpy()
            compared = [compare(picture, sound, self.bank) for picture, sound in zip(flat, heard, strict=True)]
            if self.relative:
                scores = [found.scores.reshape(agreement.shape[1:]) for found in compared]
                agreement = np.stack(scores).astype(np.float32)
        return flat, agreement, compared, sounds

    def _presences(self, frozen: list[Tensor], context: AudioContext) -> list[float]:
        """The frozen presence of steps, from the frozen tokens of every view."""
        encoder = self.pipeline.encoder
        return torch.stack([encoder.presence(tokens, context.tokens) for tokens in frozen]).mean(0).tolist()

    def _patches(self, steps: list[Step], views: list[Tensor], context: AudioContext) -> Tensor:
        """Audio-enhanced features (B, G, G, E) of unit length, averaged over the views of each frame."""
        encoder, towers, reader = self.pipeline.encoder, self.pipeline.towers, self.pipeline.reader
        frames, features = [step.frame for step in steps], []
        for tokens, seen in zip(views, (frames, [frame[:, ::-1] for frame in frames]), strict=False):
            how = reader.keywords(reader.likeness(seen), device=self.device)
            patches = encoder.project_image(towers.suffix(tokens, context, **how))
            side = math.isqrt(patches.shape[1])
            features.append(patches.unflatten(1, (side, side)))
        if len(features) == 1:
            return features[0]
        own, mirrored = features
        return functional.normalize(own + mirrored.flip(2), dim=-1)

    def _mels(self, steps: list[Step]) -> Tensor:
        config = self.pipeline.encoder.config.log_mel
        waves = [torch.from_numpy(np.ascontiguousarray(step.audio, np.float32)) for step in steps]
        if len({wave.numel() for wave in waves}) == 1:
            return log_mel(torch.stack(waves), config)
        return torch.cat([log_mel(wave[None], config) for wave in waves])
