"""The user's door: a video in, one mask per step out, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moca.core.device import resolve_device
from moca.core.maps import resize_maps
from moca.core.step import Step, StepResult, empty_result
from moca.errors import InputError
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.roles import Masks
from moca.media.video import read_steps
from moca.pipeline.comparing import CropScorer
from moca.pipeline.loading import Pipeline, load_pipeline
from moca.pipeline.looking import Looker
from moca.segmentation.config import OVERLAPS, ProposalConfig, SegmentConfig, rescored
from moca.segmentation.deciding import Look, decide, decide_by_crops, why_absent
from moca.segmentation.gate import why_silent
from moca.segmentation.mpm import match_step
from moca.segmentation.relative import SoundBank


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
        self.looker = Looker(pipeline, self.config, self.device)
        if self.relative and self.config.sounding == "level":
            raise InputError(
                "sounding level compares cosines as they are, which needs scores absolute, got scores relative; choose "
                "sounding best, ratio or otsu, or scores absolute."
            )
        if self.looker.compares:
            _ = self.bank  # made now, so that threads that share a segmenter, and refusals, need not wait for it

    @property
    def relative(self) -> bool:
        """Whether agreement is counted relative to a bank: a learnt read-out needs none."""
        return self.looker.relative

    @property
    def by_crops(self) -> bool:
        """Whether proposals are chosen by their crops."""
        return self.looker.by_crops

    @property
    def bank(self) -> SoundBank:
        """The bank of other sounds: the pipeline's own, or the synthesised one, which is made on first use."""
        return self.looker.bank

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
        delta: float | None = None,
        crop_batch: int | None = None,
        bank: str | Path | None = None,
        calibration: str | Path | None = None,
        **further: Any,
    ) -> Segmenter:
        """Load a model by name or folder; see `load_pipeline` for model, adapters and weights.

        device: "auto" takes a GPU when there is one. proposals: "none", "boxes" or "grid", or more settings of them;
        rule, match, unmatched, delta, crop_batch: the same fields of `ProposalConfig`; None takes the model's own, and
        another rule's own threshold. bank: a folder of clips that are the other sounds; None takes synthesised ones.
        calibration: a file of `moca calibrate` for this model. Further keywords replace fields of `PatchReading`, which
        need the frozen encoder alone, and of `SegmentConfig`.
        """
        device = resolve_device(device)
        settings = {"kind": proposals, "rule": rule, "match": match, "unmatched": unmatched, "delta": delta}
        settings["crop_batch"] = crop_batch
        requested = {name: value for name, value in settings.items() if value is not None}
        if isinstance(proposals, ProposalConfig):
            batch = {} if proposals.kind == "none" else {"crop_batch": proposals.crop_batch}
            requested = {**batch, **proposals.used(), **requested, "kind": proposals.kind}
        reading = {name: further.pop(name) for name in PatchReading.__dataclass_fields__ if name in further}
        pipeline = load_pipeline(
            model,
            adapters=adapters,
            weights=weights,
            device=device,
            proposals=requested,
            reading=reading,
            bank=bank,
            calibration=calibration,
        )
        change = rescored if pipeline.towers.readout is None else replace
        config = change(pipeline.segment, **further)
        return cls(pipeline, config=config, batch_steps=batch_steps, device=device)

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides the video: model, fingerprints, licence and every setting."""
        bank = {"bank": self.bank.fingerprint} if self.looker.compares else {}
        return {
            "model": self.pipeline.name,
            "adapted": self.pipeline.adapted,
            "fingerprints": self.pipeline.fingerprints | bank,
            "licence": self.pipeline.licence,
            "reading": self.pipeline.reader.config.to_json(),
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
        looks = list(self.looker.look(steps))
        if self.pipeline.proposer is None:
            return (decide(step, look, self.config) for step, look in zip(steps, looks, strict=True))
        return self._choose(steps, looks) if self.by_crops else self._match(steps, looks)

    def _match(self, steps: list[Step], looks: list[Look]) -> Iterator[StepResult]:
        """Results made of the proposals that match; none are made for a frame without a coarse mask.

        Where the border of the coarse mask does not count, it is snapped to edges only if it becomes the result:
        snapping takes longer than all the rest.
        """
        proposer = self.pipeline.proposer
        snaps_late = self.config.refine and proposer.config.rule not in OVERLAPS
        first = replace(self.config, refine=False) if snaps_late else self.config
        results = [decide(step, look, first) for step, look in zip(steps, looks, strict=True)]
        frames = [step.frame for step, result in zip(steps, results, strict=True) if result.mask.any()]
        proposals = proposer.each(frames)
        for step, look, result in zip(steps, looks, results, strict=True):
            if result.mask.any():
                masks = next(proposals)
                agreement = result.heat if self.relative else resize_maps(look.agreement, result.mask.shape)
                result = match_step(result, masks, agreement, proposer.config)
                if snaps_late and not result.proposals.matched and result.mask.any():
                    snapped = decide(step, look, self.config)
                    result = match_step(snapped, masks, agreement, proposer.config) if snapped.mask.any() else snapped
            yield result

    def _choose(self, steps: list[Step], looks: list[Look]) -> Iterator[StepResult]:
        """Results made of the proposals whose crops fit the sound; none where the frozen encoder's gate closes."""
        proposer, config = self.pipeline.proposer, self.config
        reasons = [why_absent(look, config) for look in looks]
        seen = [(step, look) for step, look, reason in zip(steps, looks, reasons, strict=True) if reason is None]
        waiting: deque[Masks] = deque()

        def regions() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for (step, look), proposed in zip(seen, proposer.each([step.frame for step, _ in seen]), strict=True):
                waiting.append(proposed)
                yield step.frame, proposed.masks, look.sound

        found = CropScorer(self.pipeline.encoder, self.bank, batch=proposer.config.crop_batch).each(regions())
        for step, look, reason in zip(steps, looks, reasons, strict=True):
            if reason:
                yield decide(step, look, config)
            else:
                compared = next(found)
                yield decide_by_crops(step, look, waiting.popleft(), compared, config, proposer.config)

    def features(self, steps: list[Step]) -> tuple[np.ndarray, np.ndarray]:
        """Audio-enhanced patch features and their agreement with the sound.

        Returns (patches (B, G, G, E) float32 of unit length, agreement (B, G, G) float32: what the adapters' read-out
        says, in [0, 1]; or cosines in [-1, 1]; or, where scores are relative, cosines in standard deviations of the
        bank above its mean). The grid is the encoder's, or, read by proxy, that of the other model. Every step must
        have audio.
        """
        return self.looker.features(steps)

    def frozen_presence(self, steps: list[Step]) -> np.ndarray:
        """Does anything in the frame go with the step's sound, says the frozen encoder: (B,) in [-1, 1]."""
        return self.looker.frozen_presence(steps)
