"""Settings of a trained model that are read off its own training frames, without labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from moca.adapters import AdaptedTowers
from moca.calibration.gates import heat_range, joint_gates
from moca.calibration.pairs import steps_of
from moca.core.spreading import spread_with_ends
from moca.corpus.corpus import Corpus
from moca.errors import InputError
from moca.segmentation.config import SegmentConfig
from moca.segmentation.gate import support
from moca.segmenter import Segmenter
from moca.training.frozen import sounding_rows


def starting_settings(towers: AdaptedTowers) -> SegmentConfig:
    """Settings before calibration: pixels above a level of the read-out, snapped to edges; without one, clusters by
    relative scores.

    The level was chosen on Soundstage's validation clips (docs/learning.md), where everything from 0.2 to 0.4 is alike.
    """
    if towers.readout is None:
        return SegmentConfig(scores="relative")
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
    rows = rows[spread_with_ends(len(rows), count)]
    parts = [steps_of(corpus, part) for part in np.array_split(rows, math.ceil(len(rows) / 32))]
    scores = np.concatenate([segmenter.features(part)[1] for part in parts])
    supports = [np.array([support(score) for score in scores])]
    if segmenter.pipeline.towers.readout is not None:
        supports.append(np.concatenate([segmenter.frozen_presence(part) for part in parts]))
    gates = joint_gates(supports)
    low, high = heat_range(scores)
    return replace(
        segmenter.config,
        gate=gates[0],
        gate_frozen=gates[1] if len(gates) > 1 else segmenter.config.gate_frozen,
        heat_low=low,
        heat_high=high,
    )
