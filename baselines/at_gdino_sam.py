"""AT-GDINO-SAM: what is heard as words, boxes of what the words name, and SAM's masks of the boxes.

Source: MoCA (arXiv 2403.14203), section 4.1: AudioSet tags by AST of audio padded to 960 ms, Grounding DINO, SAM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from moca.baselines.loading import Card
from moca.baselines.training_free import Regions, TrainingFree, TrainingFreeConfig
from moca.core.settings import setting
from moca.core.step import Step
from moca.foundation.roles import AudioTagger, Boxes, MaskPredictor, WordDetector


@dataclass(frozen=True, kw_only=True)
class AtGdinoSamConfig(TrainingFreeConfig):
    """Settings of AT-GDINO-SAM; the paper names the first two, the others are Grounding DINO's own."""

    tag_threshold: float = setting(
        0.5, help="Smallest probability of a tag; the paper's tau_AT.", least=0, most=1, hint="the paper uses 0.5"
    )
    pad_ms: int = setting(
        960,
        help="Sounds that are shorter are padded with silence to so many milliseconds; the paper's 960.",
        least=0,
        most=60_000,
    )
    box_threshold: float = setting(0.35, help="What a box must score above.", least=0, most=1)
    text_threshold: float = setting(
        0.25, help="What a word's probability in a box must be above for the box to be called so.", least=0, most=1
    )
    box_nms_iou: float | None = setting(
        None,
        help="Of two boxes whose IoU is above this, the better is kept; none keeps all, as published.",
        least=0,
        most=1,
    )


class AtGdinoSam(TrainingFree):
    """What the words of the sound name; score: the best tag's probability.

    A segment scores what its tag does, and its label is the tag.
    """

    name = "at-gdino-sam"
    config_class = AtGdinoSamConfig
    roles = ("tags", "words", "masks")

    def __init__(
        self, config: AtGdinoSamConfig, card: Card, *, tags: AudioTagger, words: WordDetector, masks: MaskPredictor
    ) -> None:
        super().__init__(config, card)
        self.tags, self.words, self.masks = tags, words, masks

    def find(self, pictures: list[np.ndarray], steps: list[Step]) -> Iterator[Regions]:
        """See `TrainingFree.find`."""
        config, heard = self.config, self._heard(steps)
        phrases_of_steps = [phrases_of(tags, self.tags.labels, config.tag_threshold) for tags in heard]
        boxes = self.words.detect(
            pictures,
            [tuple(phrases) for phrases in phrases_of_steps],
            box_threshold=config.box_threshold,
            text_threshold=config.text_threshold,
            nms_iou=config.box_nms_iou,
        )
        for picture, tags, phrases, frame_boxes in zip(pictures, heard, phrases_of_steps, boxes, strict=True):
            best = int(tags.argmax())
            score = float(tags[best])
            if not phrases:
                label = self.tags.labels[best]
                reason = f"no tag reaches {config.tag_threshold:.2f}: the most probable is {label}, {score:.2f}"
                yield Regions.none(reason, score)
            elif not len(frame_boxes):
                yield Regions.none(f"no box is above {config.box_threshold:.2f} for {', '.join(phrases)}", score)
            else:
                yield self._masked(picture, frame_boxes, phrases, tags)

    def _heard(self, steps: list[Step]) -> np.ndarray:
        """Probability of every tag in every step, (B, C)."""
        chances = []
        for rate_hz, group in groupby(steps, key=lambda step: step.sample_rate_hz):
            waves = [padded(step.audio, round(self.config.pad_ms * rate_hz / 1000)) for step in group]
            chances.append(self.tags.tag(waves, sample_rate_hz=rate_hz))
        return np.concatenate(chances)

    def _masked(self, picture: np.ndarray, boxes: Boxes, phrases: dict[str, int], tags: np.ndarray) -> Regions:
        """Masks of boxes, each with its tag."""
        (encoded,) = self.masks.encode([picture])
        numbers = [phrases[label] for label in boxes.labels]
        return Regions(
            masks=self.masks.from_boxes(encoded, boxes.xyxy).masks,
            scores=tags[numbers],
            score=float(tags.max()),
            labels=tuple(self.tags.labels[number] for number in numbers),
        )


def phrases_of(tags: np.ndarray, labels: tuple[str, ...], threshold: float) -> dict[str, int]:
    """The phrases to ask for, most probable first, and the number of the tag that each stands for.

    tags: (C,) probabilities. AudioSet names a tag by several words with commas between, such as "Violin, fiddle"; each
    is a phrase of its own. One that several tags share stands for the most probable of them.
    """
    phrases: dict[str, int] = {}
    for number in np.argsort(-tags, kind="stable"):
        if tags[number] >= threshold:
            for phrase in labels[number].split(","):
                if words := phrase.strip().lower():
                    phrases.setdefault(words, int(number))
    return phrases


def padded(wave: np.ndarray, samples: int) -> np.ndarray:
    """A sound (S,), with silence at its end where it has fewer samples."""
    return np.pad(wave, (0, max(0, samples - len(wave))))
