"""The splits of the study: drawn once, cached, and never mixed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moca.corpus.corpus import Corpus, corpus_from_arrays
from recipes.stage_pairs import ADAPTER_MIX, Pairs, PairsConfig, draw_pairs, heard_classes

SOUNDING = ("s4", "ms3")
FALSE = ("silent", "noise", "offscreen")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Clips per split: every clip is one second, a frame and its sound."""

    train: int = 3_000
    validation: int = 150
    test: int = 500
    false: int = 200


@dataclass(frozen=True)
class World:
    """train: a corpus, without truth. train_heard, train_masks: its truth, for purity and for the ceiling alone.
    validation, test: pairs of every kind, with truth.
    """

    train: Corpus
    train_heard: list[tuple[str, ...]]
    train_masks: np.ndarray
    validation: dict[str, Pairs]
    test: dict[str, Pairs]


def draw_world(cache: Path, sizes: Sizes, *, workers: int = 2) -> World:
    """Draw, or read from the cache. Splits have streams of their own: no clip is in two of them."""
    mix = tuple(ADAPTER_MIX.items())
    wanted = PairsConfig(count=sizes.train, split="learning-train", mix=mix)
    train = draw_pairs(wanted, cache, workers=workers)

    def kinds(split: str, sounding: int, false: int) -> dict[str, Pairs]:
        counts = dict.fromkeys(SOUNDING, sounding) | dict.fromkeys(FALSE, false)
        return {
            kind: draw_pairs(
                PairsConfig(count=count, split=f"learning-{split}-{kind}", mix=((kind, 1.0),)), cache, workers=workers
            )
            for kind, count in counts.items()
            if count
        }

    return World(
        train=corpus_from_arrays(train.frames, train.waves),
        train_heard=heard_classes(wanted, np.arange(sizes.train)),
        train_masks=train.masks,
        validation=kinds("validation", sizes.validation, 0),
        test=kinds("test", sizes.test, sizes.false),
    )
