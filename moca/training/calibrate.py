"""Settings of a trained model that are read off its own training frames, without labels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from moca.adapters import AdaptedTowers
from moca.core.step import Step
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support
from moca.segmenter import Segmenter
from moca.training.frozen import sounding_rows

GATE_PERCENTILE = 5.0  # frames that have a sound but are treated as if nothing in the picture made it
HEAT_PERCENTILES = (50.0, 99.5)


class Sounding(Protocol):
    """Frames with their sound: a corpus, or anything with these."""

    frames: np.ndarray
    waves: np.ndarray
    sample_rate_hz: int

    def sound(self, rows: int) -> np.ndarray: ...


def starting_settings(towers: AdaptedTowers) -> SegmentConfig:
    """Settings before calibration: pixels above a level of the read-out, snapped to edges; without one, clusters.

    The level was chosen on Soundstage's validation clips (docs/learning.md), where everything from 0.2 to 0.4 is alike.
    """
    if towers.readout is None:
        return SegmentConfig()
    return SegmentConfig(sounding="level", level=0.3, refine=True)


def calibrate(segmenter: Segmenter, corpus: Corpus, *, count: int = 500) -> SegmentConfig:
    """The segmenter's settings with its gates and the range of its heat maps.

    Gate: the 5th percentile of support over up to `count` frames with sound, evenly spread over the corpus. With a
    read-out there are two gates, the frozen encoder's being the second: both at the percentile at which 5% of the
    frames are stopped by one or the other. Heat: from the median to the 99.5th percentile of the scores.
    """
    rows = sounding_rows(corpus)
    if not len(rows):
        raise InputError("calibration needs frames with sound, got none; add videos that can be heard.")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
    parts = [steps_of(corpus, part) for part in np.array_split(rows, math.ceil(len(rows) / 32))]
    scores = np.concatenate([segmenter.features(part)[1] for part in parts])
    supports = [np.array([support(score) for score in scores])]
    if segmenter.pipeline.towers.readout is not None:
        supports.append(np.concatenate([segmenter.frozen_presence(part) for part in parts]))
    gates = joint_gates(supports)
    low, high = (float(value) for value in np.percentile(scores, HEAT_PERCENTILES))
    return replace(
        segmenter.config,
        gate=gates[0],
        gate_frozen=gates[1] if len(gates) > 1 else segmenter.config.gate_frozen,
        heat_low=round(low, 4),
        heat_high=round(max(high, low + 0.01), 4),
    )


def joint_gates(supports: list[np.ndarray], *, stopped: float = GATE_PERCENTILE) -> list[float]:
    """One gate per kind of support, all at the same percentile, that together stop `stopped` percent of the frames.

    supports: arrays (N,), one number per frame each.
    """
    low, high = 0.0, stopped  # alone, or when all agree, a gate stops its percentile; several stop more
    for _ in range(30):
        middle = (low + high) / 2
        gates = [np.percentile(values, middle) for values in supports]
        shut = np.any([values < gate for values, gate in zip(supports, gates, strict=True)], axis=0).mean() * 100
        low, high = (low, middle) if shut > stopped else (middle, high)
    # Rounded down: rounded up, a gate could stop the very frame it was set on.
    return [math.floor(float(np.percentile(values, low)) * 1e4) / 1e4 for values in supports]


def steps_of(corpus: Sounding, rows: np.ndarray, *, heard: np.ndarray | None = None) -> list[Step]:
    """One step per row; heard: the rows whose sound is played instead."""
    sources = rows if heard is None else heard
    length_s = corpus.waves.shape[1] / corpus.sample_rate_hz
    return [
        Step(
            index=index,
            start_s=index * length_s,
            end_s=(index + 1) * length_s,
            frame_s=(index + 0.5) * length_s,
            frame=np.asarray(corpus.frames[row]),
            audio=corpus.sound(int(source)),
            sample_rate_hz=corpus.sample_rate_hz,
        )
        for index, (row, source) in enumerate(zip(rows, sources, strict=True))
    ]
