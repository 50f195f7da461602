"""The user's door: a video in, one mask per step out, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moca.adapters import AudioContext
from moca.core.device import resolve_device
from moca.core.maps import resize_maps
from moca.core.step import Step, StepResult, empty_result, result_of
from moca.foundation.preprocessing import preprocess_frames
from moca.media.logmel import log_mel
from moca.media.video import read_steps
from moca.pipeline.loading import Pipeline, load_pipeline
from moca.segmentation.coarse import coarse_mask, heat_map
from moca.segmentation.config import OVERLAPS, ProposalConfig, SegmentConfig
from moca.segmentation.gate import support, why_silent
from moca.segmentation.mpm import match_step


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the towers say of one step."""

    patches: np.ndarray
    """(G, G, E) float32, audio-enhanced features of unit length."""
    agreement: np.ndarray
    """(G, G) float32, how well each patch agrees with the sound."""
    presence: float | None
    """The frozen presence in [-1, 1], None where no gate needs it."""


class Segmenter:
    """Finds the pixels that make the sound, step by step.

    Segmenting changes nothing of it: several threads may share one, and each gets the bits that it would get alone.

    >>> segmenter = Segmenter.load("mini")                          # doctest: +SKIP
    >>> for step in segmenter.segment("clip.mp4"):                  # doctest: +SKIP
    ...     step.start_s, step.mask.mean(), step.score, step.reason
    """

    name = "moca"

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        config: SegmentConfig | None = None,
        batch_steps: int = 8,
        device: str = "cpu",
    ) -> None:
        self.pipeline = pipeline
        self.config = config or pipeline.segment
        self.batch_steps = batch_steps
        self.device = torch.device(device)

    @classmethod
    def load(
        cls,
        model: str | Path = "mini",
        *,
        adapters: str | Path | None = "default",
        weights: str = "trained",
        device: str = "auto",
        batch_steps: int = 8,
        proposals: str | ProposalConfig | None = None,
        rule: str | None = None,
        match: float | None = None,
        unmatched: str | None = None,
        calibration: str | Path | None = None,
        **segment: Any,
    ) -> Segmenter:
        """Load a model by name or folder; see `load_pipeline` for model, adapters and weights.

        device: "auto" takes a GPU when there is one. proposals: "none", "boxes" or "grid", or more settings of them;
        rule, match, unmatched: the same fields of `ProposalConfig`; None takes the model's own, and another rule's
        own threshold. calibration: a file of `moca calibrate` for this model. Further keywords replace fields of
        `SegmentConfig`.
        """
        device = resolve_device(device)
        settings = {"kind": proposals, "rule": rule, "match": match, "unmatched": unmatched}
        requested = {name: value for name, value in settings.items() if value is not None}
        if isinstance(proposals, ProposalConfig):
            requested = {**proposals.used(), **requested, "kind": proposals.kind}
        pipeline = load_pipeline(
            model, adapters=adapters, weights=weights, device=device, proposals=requested, calibration=calibration
        )
        config = replace(pipeline.segment, **segment)
        return cls(pipeline, config=config, batch_steps=batch_steps, device=device)

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides the video: model, fingerprints, licence and every setting."""
        return {
            "model": self.pipeline.name,
            "adapted": self.pipeline.adapted,
            "fingerprints": dict(self.pipeline.fingerprints),
            "licence": self.pipeline.licence,
            "segment": asdict(self.config),
            "proposals": (proposer.config if (proposer := self.pipeline.proposer) else ProposalConfig()).used(),
        }

    @property
    def notice(self) -> str | None:
        """What a user must know before believing the masks, or None."""
        return self.pipeline.notice

    @property
    def licence(self) -> str:
        """What may be done with the results."""
        return self.pipeline.licence

    def segment(self, path: str | Path, **reading: Any) -> Iterator[StepResult]:
        """Yield the result of every step of a video; keywords go to `moca.media.read_steps`."""
        yield from self.segment_steps(read_steps(path, **reading))

    def segment_steps(self, steps: Iterable[Step]) -> Iterator[StepResult]:
        """Yield one result per step, in order; at most `batch_steps` frames are held at a time.

        Where the model makes mask proposals, those of one frame are held besides.
        """
        iterator = iter(steps)
        while batch := list(islice(iterator, self.batch_steps)):
            yield from self._segment_batch(batch)

    def _segment_batch(self, steps: list[Step]) -> Iterator[StepResult]:
        reasons = [why_silent(step, self.config.silence_dbfs) for step in steps]
        sounding = [step for step, reason in zip(steps, reasons, strict=True) if reason is None]
        results = self._segment_sounding(sounding) if sounding else iter(())
        for step, reason in zip(steps, reasons, strict=True):
            yield empty_result(step, reason) if reason else next(results)

    def _segment_sounding(self, steps: list[Step]) -> Iterator[StepResult]:
        """Results of steps that all have sound."""
        looks = list(self._look(steps))
        if self.pipeline.proposer is None:
            return (self._decide(step, look, self.config) for step, look in zip(steps, looks, strict=True))
        return self._match(steps, looks)

    def _match(self, steps: list[Step], looks: list[_Look]) -> Iterator[StepResult]:
        """Results made of the proposals that match; none are made for a frame without a coarse mask.

        Where the border of the coarse mask does not count, it is snapped to edges only if it becomes the result:
        snapping takes longer than all the rest.
        """
        proposer = self.pipeline.proposer
        snaps_late = self.config.refine and proposer.config.rule not in OVERLAPS
        first = replace(self.config, refine=False) if snaps_late else self.config
        results = [self._decide(step, look, first) for step, look in zip(steps, looks, strict=True)]
        frames = [step.frame for step, result in zip(steps, results, strict=True) if result.mask.any()]
        proposals = proposer.each(frames)
        for step, look, result in zip(steps, looks, results, strict=True):
            if result.mask.any():
                masks, agreement = next(proposals), resize_maps(look.agreement, result.mask.shape)
                result = match_step(result, masks, agreement, proposer.config)
                if snaps_late and not result.proposals.matched and result.mask.any():
                    snapped = self._decide(step, look, self.config)
                    result = match_step(snapped, masks, agreement, proposer.config) if snapped.mask.any() else snapped
            yield result

    @torch.no_grad()
    def _look(self, steps: list[Step]) -> Iterator[_Look]:
        """What the towers say of steps that all have sound."""
        views, context = self._enter(steps)
        gated = self.config.gate_frozen > -1
        presences = self._frozen_presence(views, context) if gated else [None] * len(steps)
        for patches, agreement, presence in zip(*self._read(views, context), presences, strict=True):
            yield _Look(patches=patches, agreement=agreement, presence=presence)

    @torch.no_grad()
    def features(self, steps: list[Step]) -> tuple[np.ndarray, np.ndarray]:
        """Audio-enhanced patch features and their agreement with the sound.

        Returns (patches (B, G, G, E) float32 of unit length, agreement (B, G, G) float32: cosines in [-1, 1], or
        what the adapters' read-out says, in [0, 1]). Every step must have audio.
        """
        return self._read(*self._enter(steps))

    @torch.no_grad()
    def frozen_presence(self, steps: list[Step]) -> np.ndarray:
        """Does anything in the frame go with the step's sound, says the frozen encoder: (B,) in [-1, 1]."""
        return np.array(self._frozen_presence(*self._enter(steps)))

    def _enter(self, steps: list[Step]) -> tuple[list[Tensor], AudioContext]:
        """The frozen part: tokens entering the adapted blocks, of the frames and of their mirror images."""
        towers = self.pipeline.towers
        size = self.pipeline.encoder.config.image_size
        pixels = preprocess_frames([step.frame for step in steps], size, fit="stretch").to(self.device)
        pictures = [pixels, pixels.flip(-1)] if self.config.mirror else [pixels]
        views = [towers.prefix(picture) for picture in pictures]
        return views, towers.hear(self._mels(steps).to(self.device))

    def _read(self, views: list[Tensor], context: AudioContext) -> tuple[np.ndarray, np.ndarray]:
        towers, patches = self.pipeline.towers, self._patches(views, context)
        if towers.readout is not None:
            agreement = torch.sigmoid(towers.score(patches))
        else:
            agreement = self._cosines(patches, context)
        return patches.float().cpu().numpy(), agreement.float().cpu().numpy()

    def _frozen_presence(self, views: list[Tensor], context: AudioContext) -> list[float]:
        encoder, towers = self.pipeline.encoder, self.pipeline.towers
        frozen = [towers.suffix(tokens, context, adapted=False) for tokens in views]
        return torch.stack([encoder.presence(tokens, context.tokens) for tokens in frozen]).mean(0).tolist()

    def _cosines(self, patches: Tensor, context: AudioContext) -> Tensor:
        return torch.einsum("bhwe,be->bhw", patches, self.pipeline.encoder.audio_direction(context.tokens))

    def _patches(self, views: list[Tensor], context: AudioContext) -> Tensor:
        """Audio-enhanced features (B, G, G, E) of unit length, averaged over the views of each frame."""
        encoder, towers = self.pipeline.encoder, self.pipeline.towers
        features = []
        for tokens in views:
            patches = encoder.project_image(towers.suffix(tokens, context, reading=encoder.config.reading))
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

    def _decide(self, step: Step, look: _Look, config: SegmentConfig) -> StepResult:
        """The coarse result of a step: the gates, then the clusters or the level."""
        size, score = step.frame.shape[:2], support(look.agreement)
        if score < config.gate:
            reason = f"no region supports the sound: score {score:.2f}, below {config.gate:.2f}"
            return empty_result(step, reason, score=score)
        if look.presence is not None and look.presence < config.gate_frozen:
            reason = f"nothing in the picture goes with the sound: {look.presence:.2f}, below {config.gate_frozen:.2f}"
            return empty_result(step, reason, score=score)
        mask, segments = coarse_mask(look.patches, look.agreement, step.frame, config)
        if not mask.any():
            return empty_result(step, f"no region reaches the level {config.level:.2f}", score=score)
        heat = heat_map(look.agreement, size, config)
        return result_of(step, mask=mask, heat=heat, score=score, segments=segments)
