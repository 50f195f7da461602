"""Several sources in one picture: CAP and PIAP.

Source: NoPrior_MultiSSL (VisualAIKHU, train.py), whose test pictures are several frames put together, one source in
each. The papers that introduced the names give no code; there they stand for class-aware and permutation-invariant
average precision. Legend: P predicted maps, S places (frames put together), H x W pixels of a place.
"""

from __future__ import annotations

import math

import numpy as np

from moca.errors import InputError
from moca.metrics.maps import average_precision, ciou_of


def cap(truths: np.ndarray, maps: np.ndarray) -> float:
    """CAP of one picture: average precision of every predicted map at the source it fits best; best 1, worst 0.

    truths: (S, H, W), a source's ground truth per place, non-zero where it is; maps: (P, S, H, W), predicted maps of
    the whole picture, in order of trust. Each takes the place at which its upper half (see `upper_half`) has the
    highest cIoU, the first of equals, whose ground truth is then used up; what is scored is the average precision of
    that upper half. Missing maps count 0, those beyond S score against what is left. NaN without any map: the
    published code leaves such a picture out of its mean.
    """
    truths, maps = _checked(truths, maps)
    if not len(maps):
        return math.nan
    left = truths.copy()
    values = []
    for parts in maps:
        chosen = [upper_half(part) for part in parts]
        place = int(np.argmax([ciou_of(part, truth) for part, truth in zip(chosen, left, strict=True)]))
        values.append(average_precision(left[place], chosen[place]))
        left[place] = False
    return math.fsum(values) / max(len(values), len(truths))


def piap(truths: np.ndarray, maps: np.ndarray) -> float:
    """PIAP of one picture: average precision of the sum of all predicted maps, over all pixels; best 1, worst 0.

    truths, maps as for `cap`; which map belongs to which source does not matter. The upper half of the sum at every
    place is what is scored. NaN without any map.
    """
    truths, maps = _checked(truths, maps)
    if not len(maps):
        return math.nan
    return average_precision(truths, np.stack([upper_half(part) for part in maps.sum(axis=0)]))


def upper_half(part: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels above the value at place HW // 2 of the sorted map, so at most half of them.

    If that value is the highest, the pixels that have it; nothing if the map is constant.
    """
    middle = np.partition(part, part.size // 2, axis=None)[part.size // 2]
    above = part > middle
    return above if above.any() else (part == middle) & (part.min() < middle)


def _checked(truths: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truths, maps = np.asarray(truths), np.asarray(maps, dtype=np.float64)
    maps = maps.reshape(0, *truths.shape) if maps.size == 0 else maps
    if truths.ndim != 3 or truths.size == 0 or maps.shape[1:] != truths.shape or not np.isfinite(maps).all():
        raise InputError(
            "ground truth must be (places, height, width) and predicted maps (maps, places, height, width), finite, "
            f"got {truths.shape} and {maps.shape}; cut every map into the frames that were put together."
        )
    return truths != 0, maps
