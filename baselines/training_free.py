"""What the training-free methods share: steps in, silence, frames at the paper's size, masks back at the frame's own.

Shapes: N regions of a frame, S side of the square that frames are resized to, H x W the frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from moca.baselines.loading import Card, load_parts, mini_settings
from moca.core.frames import resized
from moca.core.maps import resize_maps
from moca.core.settings import Settings, setting
from moca.core.step import Segment, Step, StepResult, empty_result, result_of
from moca.foundation.catalogue import BUNDLED, CATALOGUE
from moca.segmentation.gate import why_silent

BATCH_STEPS = 8  # frames held at a time; it changes memory, not results


@dataclass(frozen=True, kw_only=True)
class TrainingFreeConfig(Settings):
    """Settings of every training-free method."""

    side: int = setting(
        224,
        help="Side in pixels of the square that every frame is first resized to; the paper's 224.",
        least=16,
        most=4096,
    )
    silence_dbfs: float = setting(
        -60.0, help="RMS level, in dB of full scale, below which a step is silent.", most=0, unit="dBFS", option=True
    )


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Regions of one frame that belong to its sound, or why there are none.

    masks (N, S, S) bool; scores (N,) float, 0 to 1; labels: a word each, or None where the method knows no words.
    score: the step's; reason: None where there are regions; missed: the threshold on cosines that no region reaches,
    where that is why there are none.
    """

    masks: np.ndarray
    scores: np.ndarray
    score: float
    labels: tuple[str, ...] | None = None
    reason: str | None = None
    missed: float | None = None

    @classmethod
    def none(cls, reason: str, score: float = float("nan"), *, missed: float | None = None) -> Self:
        """No regions."""
        return cls(masks=np.zeros((0, 1, 1), bool), scores=np.zeros(0), score=score, reason=reason, missed=missed)


class TrainingFree(ABC):
    """A method of frozen models; see `moca.core.method.Method`. What remains to a method is `find`."""

    name: ClassVar[str]
    config_class: ClassVar[type[TrainingFreeConfig]]
    roles: ClassVar[tuple[str, ...]]
    """The parts it is made of, by their roles in `moca.foundation.catalogue.ROLES`."""
    unscaled: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that differ from the paper's for models whose scores nobody has seen."""

    def __init__(self, config: TrainingFreeConfig, card: Card) -> None:
        self.config, self.card = config, card

    @classmethod
    def defaults(cls, model: str) -> TrainingFreeConfig:
        """Where every part is the bundled one, the settings that suit them, see `MINI_SETTINGS`; else the paper's, but
        for `unscaled`. The paper's alone are those of `config_class()`."""
        row = CATALOGUE.get(model)
        bundled = row is not None and all(row.entry(role) == BUNDLED for role in cls.roles)
        return replace(cls.config_class(), **(mini_settings(cls.name) if bundled else cls.unscaled))

    @classmethod
    def load(cls, model: str = "mini", *, device: str = "cpu", config: TrainingFreeConfig | None = None) -> Self:
        """The method with the models of a row of the catalogue; config: None takes the model's `defaults`.

        Raises InputError, in one line, for another model and for weights that have not been fetched.
        """
        parts, card = load_parts(cls.name, model, cls.roles, device)
        return cls(config or cls.defaults(model), card, **parts)

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides the video."""
        card = self.card
        return {
            "model": card.model,
            "fingerprints": dict(card.fingerprints),
            "licence": card.licence,
            "config": asdict(self.config),
        }

    @property
    def notice(self) -> str | None:
        """What a user must know before believing the masks, or None."""
        return self.card.notice

    @property
    def licence(self) -> str:
        """What may be done with the results."""
        return self.card.licence

    @abstractmethod
    def find(self, pictures: list[np.ndarray], steps: list[Step]) -> Iterator[Regions]:
        """The regions of every picture, in order, that belong to the sound of its step.

        pictures: the steps' frames as RGB uint8 (S, S, 3). Every step has sound; there is at least one.
        """

    def segment_steps(self, steps: Iterable[Step]) -> Iterator[StepResult]:
        """Yield one result per step, in order; at most BATCH_STEPS frames, and one's masks, are held at a time."""
        iterator = iter(steps)
        while batch := list(islice(iterator, BATCH_STEPS)):
            reasons = [why_silent(step, self.config.silence_dbfs) for step in batch]
            heard = [step for step, reason in zip(batch, reasons, strict=True) if reason is None]
            side = self.config.side
            regions = self.find([resized(step.frame, side, side) for step in heard], heard) if heard else iter(())
            for step, reason in zip(batch, reasons, strict=True):
                yield empty_result(step, reason) if reason else as_result(step, next(regions))


def as_result(step: Step, regions: Regions) -> StepResult:
    """Regions at the frame's own size. The heat of a pixel is the best score of the regions that cover it."""
    if regions.reason is not None:
        return replace(empty_result(step, regions.reason, score=regions.score), missed=regions.missed)
    size = step.frame.shape[:2]
    labels = regions.labels or (None,) * len(regions.masks)
    segments, heat = [], np.zeros(size, np.float32)
    for mask, score, label in zip(regions.masks, regions.scores, labels, strict=True):
        mask, score = _enlarged(mask, size), float(np.clip(score, 0, 1))
        if mask.any():
            segments.append(Segment(mask=mask, score=score, label=label))
            np.maximum(heat, np.float32(score), out=heat, where=mask)
    if not segments:
        return empty_result(step, "what goes with the sound is smaller than a pixel", score=regions.score)
    segments.sort(key=lambda segment: -segment.score)
    mask = np.logical_or.reduce([segment.mask for segment in segments])
    return result_of(step, mask=mask, heat=heat, score=regions.score, segments=tuple(segments))


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A (S, S) bool mask at size (H, W), its border between the pixels that it lies between."""
    return mask if mask.shape == size else resize_maps(mask.astype(np.float32), size) >= 0.5
