"""Where does the sound come from, scored against boxes: the numbers of the EZ-VSL and AVGN line.

Sources: EZ-VSL (stoneMo/EZ-VSL, test.py and utils.py) and AVGN (stoneMo/AVGN, utils.py), which evaluate one frame
per clip at 224 x 224; both reproduced to 1e-6 and named where they differ. Maps are described in `moca.metrics.maps`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from moca.errors import InputError
from moca.metrics.collecting import ByPlace
from moca.metrics.maps import (
    average_precision,
    box_map,
    checked_pair,
    ciou,
    ciou_of,
    consensus_map,
    highest_ciou,
    resize_heat,
    top_half,
)
from moca.metrics.sources import cap, piap

__all__ = [
    "LocalisationScores",
    "LocalisedClip",
    "average_precision",
    "box_map",
    "cap",
    "ciou",
    "consensus_map",
    "detection_ap",
    "detection_f1",
    "highest_ciou",
    "piap",
    "resize_heat",
    "score_map",
    "success_area",
    "top_half",
]

LEVELS = 0.05 * np.arange(21)
"""cIoU that a clip must reach, for the area under the success curve."""
CONFIDENT = 0.5
"""Confidence from which AVGN's F1 takes a sound source as found."""


@dataclass(frozen=True, kw_only=True)
class LocalisedClip:
    """What one clip's frame contributes to every metric in `LocalisationScores.compute`; all but one in [0, 1]."""

    ciou: float
    """EZ-VSL's cIoU; ground truth of 0.5 counts half."""
    ciou_any: float
    """AVGN's cIoU: ground truth is what anyone marked."""
    confidence: float
    """Mean of the highest quarter of the heat map, in the map's own units."""
    ap_pixel: float
    """Average precision of the heat map's pixels; 0 where the ground truth is empty."""
    piap_reversed: float
    """AVGN's PIAP: average precision with prediction and ground truth in each other's place."""
    sounding: bool
    """Whether somebody marked a source in this clip."""

    def __post_init__(self) -> None:
        shares = (self.ciou, self.ciou_any, self.ap_pixel, self.piap_reversed)
        if not (all(0 <= share <= 1 + 1e-9 for share in shares) and math.isfinite(self.confidence)):
            raise InputError(
                f"a clip's localisation needs shares in 0..1 and a finite confidence, got {shares} and "
                f"{self.confidence}; score the clip again."
            )

    def to_json(self) -> dict[str, object]:
        """A JSON-able dict; floats survive the round trip bit for bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> LocalisedClip:
        """The inverse of `to_json`; raises InputError for missing or unknown keys."""
        names = {field.name for field in fields(cls)}
        if set(stored) != names:
            raise InputError(
                f"a clip's localisation has the keys {sorted(names)}, got {sorted(stored)}; score it again."
            )
        return cls(**stored)


def score_map(heat: np.ndarray, truth: np.ndarray, *, sounding: bool | None = None) -> LocalisedClip:
    """What one frame contributes: heat and truth (H, W), of the same size; 224 x 224 for published numbers.

    sounding: whether a source was marked; by default whether truth has any. Pass True for a clip whose boxes are all
    degenerate: the published tables count it as a source that nobody finds.
    """
    heat, truth = checked_pair(heat, truth)
    chosen, marked = top_half(heat), truth > 0
    quarter = -(-heat.size // 4)
    return LocalisedClip(
        ciou=ciou_of(chosen, truth),
        ciou_any=ciou_of(chosen, marked),
        confidence=float(np.partition(heat, -quarter, axis=None)[-quarter:].mean()),
        ap_pixel=average_precision(marked, heat),
        piap_reversed=average_precision(chosen, marked),
        sounding=bool(marked.any()) if sounding is None else sounding,
    )


class LocalisationScores(ByPlace[LocalisedClip]):
    """Collects clips (`score_map`) and gives all numbers at once.

    >>> import numpy as np
    >>> truth = np.zeros((8, 8)); truth[:4] = 1
    >>> scores = LocalisationScores()
    >>> scores.add(score_map(truth + np.linspace(0, 0.1, 64).reshape(8, 8), truth))
    >>> scores.compute()["ciou_at_50"], scores.compute()["ap_pixel"]
    (1.0, 1.0)
    """

    def compute(self) -> dict[str, float]:
        """Every metric of the clips so far; in [0, 1], best 1 and worst 0.

        ciou_at_50: EZ-VSL's "CIoU", the share of clips whose cIoU is at least 0.5; auc: the area under that share as
        the limit goes from 0 to 1 in 21 points; mean_ciou: the mean cIoU.
        iou_at_10, iou_at_30, iou_at_50: AVGN's, the share of sounding clips whose cIoU is strictly above the limit;
        auc_avgn: `auc` over those. NaN without sounding clips.
        ap_at_30, ap_at_50, f1_at_30: AVGN's precision and recall of finding the source at that cIoU, see
        `detection_ap` and `detection_f1`; clips with confidence below 0.5 count as silent for F1.
        piap_reversed: as AVGN computes it, for comparing tables only: a map without any information scores 1.
        ap_pixel: mean average precision of heat map pixels over the sounding clips; the one to trust.
        videos, sounding: how many were counted.
        """
        clips = self.in_order()
        columns = {
            field.name: np.array([getattr(clip, field.name) for clip in clips]) for field in fields(LocalisedClip)
        }
        sounding, marked = columns["sounding"], columns["ciou_any"][columns["sounding"]]
        detections = (columns["ciou_any"], columns["confidence"], sounding)
        any_marked = len(marked) > 0
        strict = {
            f"iou_at_{percent}": float((marked > percent / 100).mean()) if any_marked else math.nan
            for percent in (10, 30, 50)
        }
        return {
            "ciou_at_50": float((columns["ciou"] >= 0.5).mean()),
            "auc": success_area(columns["ciou"]),
            "mean_ciou": float(columns["ciou"].mean()),
            **strict,
            "auc_avgn": success_area(marked) if any_marked else math.nan,
            "ap_at_30": detection_ap(*detections, least_ciou=0.3),
            "ap_at_50": detection_ap(*detections, least_ciou=0.5),
            "f1_at_30": detection_f1(*detections, least_ciou=0.3),
            "piap_reversed": float(columns["piap_reversed"].mean()),
            "ap_pixel": float(columns["ap_pixel"][sounding].mean()) if any_marked else math.nan,
            "videos": len(clips),
            "sounding": int(sounding.sum()),
        }


def success_area(cious: np.ndarray) -> float:
    """Area under (share of clips with cIoU >= limit) over 21 limits from 0 to 1, trapezoidal; best 1, worst 0.025."""
    reached = (np.asarray(cious)[:, None] >= LEVELS).mean(axis=0)
    return float(((reached[1:] + reached[:-1]) / 2 * np.diff(LEVELS)).sum())


def detection_ap(cious: np.ndarray, confidence: np.ndarray, sounding: np.ndarray, *, least_ciou: float) -> float:
    """AVGN's AP@: is a source found (confidence) and in its place (cIoU >= least_ciou), all (N,).

    The confidences, every (N // 200)-th from the second highest down, are the thresholds; precision is the highest
    from there on. As implemented: nothing is counted left of the first threshold, so perfect clips reach 1 - 2 / N.
    """
    thresholds = np.sort(confidence)[:-1][:: -max(1, len(cious) // 200)]
    if not len(thresholds):
        return 0.0
    precision, recall = _detections(cious, confidence, sounding, thresholds, least_ciou)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision[:-1] * np.diff(recall)).sum())


def detection_f1(cious: np.ndarray, confidence: np.ndarray, sounding: np.ndarray, *, least_ciou: float) -> float:
    """AVGN's F1@ where a source is taken as found from a confidence of 0.5; best 1, worst 0."""
    precision, recall = (
        value[0] for value in _detections(cious, confidence, sounding, np.array([CONFIDENT]), least_ciou)
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0


def _detections(cious, confidence, sounding, thresholds, least_ciou):
    """Precision and recall per threshold; 1 where nothing is claimed, or nothing was there to find."""
    order = np.argsort(confidence)
    right = (np.asarray(sounding) & (cious >= least_ciou))[order]
    # Claimed at a threshold: the clips from the first one whose confidence reaches it. Recall sees, beside the right
    # ones, sounding clips that are not claimed; those claimed in the wrong place only cost precision.
    first = np.searchsorted(np.asarray(confidence)[order], thresholds, side="left")
    right_from = np.append(right[::-1].cumsum()[::-1], 0)[first]
    missed = np.append(0, np.asarray(sounding)[order].cumsum())[first]
    claimed, there = len(order) - first, right_from + missed
    precision = np.divide(right_from, claimed, out=np.ones(len(first)), where=claimed > 0)
    return precision, np.divide(right_from, there, out=np.ones(len(first)), where=there > 0)
