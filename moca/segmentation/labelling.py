"""Which class does each mask belong to, where the method itself gives none: asked of the sound.

AVSS counts classes per pixel; MoCA and most of its baselines only say where it sounds. The paper takes the labels from
its SAM-BIND baseline without saying how that has any; ImageBind's text tower is not part of this toolkit, so here an
audio tagger (AST) names them.
Shapes: H x W the frame, C tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moca.core.step import Segment, StepResult
from moca.data.avss_words import AVSS_WORDS
from moca.errors import InputError
from moca.foundation.roles import AudioTagger
from moca.segmentation.mpm import overlaps

if TYPE_CHECKING:
    from moca.core.step import Step

KEPT_APART = 0.3
"""Masks whose IoU is below this are different objects. Source: the paper's supplement, on AVSS."""
WINDOW_S = 0.025
"""Analysis window of a tagger; a shorter sound is padded to it."""


class TagLabeller:
    """Gives every segment of a step the class whose tags are most probable in the step's sound.

    tagger: names what is heard. words: for every class the tags that stand for it, at least one, all known to the
    tagger; a class is as probable as its most probable tag, and of two equally probable ones the first wins.

    One step has one sound, so all its unlabelled segments get the same class: several sources in one step are not told
    apart. A segment that has a label keeps it when it names a class or one of a class's tags (capitals, hyphens and
    underscores do not count); any other label is replaced, as only these classes are asked for. A step whose
    segments are unlabelled and which has no sound stays so.
    """

    def __init__(self, tagger: AudioTagger, words: Mapping[str, Sequence[str]]):
        known = {tag: number for number, tag in enumerate(tagger.labels)}
        self.classes = tuple(words)
        self._numbers = []
        for name, tags in words.items():
            if not tags or not set(tags) <= set(known):
                strange = [tag for tag in tags if tag not in known]
                raise InputError(
                    f"every class must have at least 1 tag, all known to the tagger, class {name!r} has "
                    f"{', '.join(map(repr, strange)) + ', which it does not know' if strange else 'none'}; "
                    f"its {len(known)} tags begin with {', '.join(map(repr, tagger.labels[:3]))}."
                )
            self._numbers.append([known[tag] for tag in tags])
        self.tagger = tagger
        self._named = _class_by_word(words)

    @property
    def how(self) -> str:
        """Where the labels come from, in one sentence for a table's notes."""
        return (
            "labels: a segment the method gives no label has the class whose tag the audio tagger finds most probable "
            f"in the step's sound, of {len(self.classes)} classes; all such segments of a step share it"
        )

    def label(self, step: Step, result: StepResult) -> StepResult:
        """The result with a label on every segment. step: the one it belongs to, whose sound is asked."""
        result = self.named(result)
        if step.audio is None or all(segment.label for segment in result.segments):
            return result
        name = self.heard(step.audio, step.sample_rate_hz)
        return _relabelled(result, lambda segment: segment.label or name)

    def named(self, result: StepResult) -> StepResult:
        """The result with the labels that its method gave as classes, None where they name none."""
        return _relabelled(result, lambda segment: segment.label and self._named.get(_plain(segment.label)))

    def heard(self, wave: np.ndarray, sample_rate_hz: int) -> str:
        """The most probable class of a sound: mono float in [-1, 1], of any length."""
        least = ceil(WINDOW_S * sample_rate_hz)
        padded = np.pad(wave, (0, max(0, least - len(wave))))
        probabilities = self.tagger.tag([padded], sample_rate_hz=sample_rate_hz)[0]
        return self.classes[int(np.argmax([probabilities[numbers].max() for numbers in self._numbers]))]


def labeller_for(names: Sequence[str], tagger: str | Path = "mini", *, device: str = "auto") -> TagLabeller:
    """A labeller for a data set's classes.

    names: of the classes by their number, the background first, as `AVSSClasses` has them. tagger: as in
    `load_tagger`; "mini" knows Soundstage's classes, "ast" AVSS's. device: auto, cpu, cuda or cuda:N.
    """
    from moca.core.device import resolve_device
    from moca.foundation.ast_tagger import load_tagger

    loaded = load_tagger(tagger, device=resolve_device(device))
    return TagLabeller(loaded, words_for(names[1:], loaded.labels))


def words_for(names: Sequence[str], labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The tags that stand for classes, for `TagLabeller`.

    names: classes, without the background; labels: the tagger's. A class of a tag's own name takes that tag (Soundstage
    with mini's tagger); any other takes AudioSet's names of AVSS's class (`AVSS_WORDS`). InputError, in one line, for
    classes that the tagger has no tag for.
    """
    known = set(labels)
    words = {name: (name,) if name in known else AVSS_WORDS.get(name, ()) for name in names}
    lost = [name for name, tags in words.items() if not tags or not set(tags) <= known]
    if lost:
        more = ", ..." if len(lost) > 5 else ""
        raise InputError(
            f"the tagger must have a tag for every class, it has none for {len(lost)} of {len(names)} "
            f"({', '.join(lost[:5])}{more}); take a tagger that knows them (ast knows AVSS's classes, mini "
            "Soundstage's)."
        )
    return words


def label_map(result: StepResult, names: Mapping[str, int]) -> np.ndarray:
    """The step as (H, W) int64 class numbers, 0 where no class sounds.

    names: number of every class. Segments are taken best first. One whose IoU with an object found before, by that
    object's best segment, is at least 0.3 is a part of it; the others are kept apart as objects of their own (the
    paper's rule). An object has the label of its best segment that has one among names; without any it is left out.
    Objects are painted in ascending order of score, so that where two overlap the better is seen.
    """
    size = result.mask.shape
    objects: list[list[Segment]] = []
    for segment in sorted(result.segments, key=lambda segment: -segment.score):
        leaders = np.stack([parts[0].mask for parts in objects]) if objects else np.zeros((0, *size), bool)
        same = np.flatnonzero(overlaps(segment.mask, leaders) >= KEPT_APART) if segment.mask.any() else []
        if len(same):
            objects[same[0]].append(segment)
        else:
            objects.append([segment])
    labels = np.zeros(size, np.int64)
    for parts in reversed(objects):
        number = next((names[part.label] for part in parts if part.label in names), None)
        if number is not None:
            labels[np.logical_or.reduce([part.mask for part in parts])] = number
    return labels


def _class_by_word(words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The class that each plain word names: its own name, and each tag of a single class."""
    tags = [(_plain(tag), name) for name, own in words.items() for tag in set(own)]
    times = Counter(tag for tag, _ in tags)  # a tag of several classes does not say which
    return {tag: name for tag, name in tags if times[tag] == 1} | {_plain(name): name for name in words}


def _plain(word: str) -> str:
    return " ".join(word.casefold().replace("-", " ").replace("_", " ").split())


def _relabelled(result: StepResult, label: Callable[[Segment], str | None]) -> StepResult:
    segments = tuple(replace(segment, label=label(segment)) for segment in result.segments)
    return replace(result, segments=segments)
