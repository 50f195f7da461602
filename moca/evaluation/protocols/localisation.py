"""VGG-SS: heat maps against boxes, at 224 x 224, in the conventions of EZ-VSL and AVGN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from moca.core.step import StepResult
from moca.errors import InputError
from moca.evaluation.controls import Clip
from moca.evaluation.protocols.protocol import Sums, decided_heat
from moca.evaluation.protocols.resampling import ratio, times_drawn
from moca.metrics.column import Column
from moca.metrics.localisation import (
    LEVELS,
    LocalisationScores,
    LocalisedClip,
    box_map,
    detection_ap,
    detection_f1,
    highest_ciou,
    resize_heat,
    score_map,
    success_area,
)

COLUMNS = {
    "ciou_at_50": Column("CIoU", "share of clips whose cIoU is at least 0.5 (EZ-VSL)"),
    "auc": Column("AUC", "area under the share of clips that reach a cIoU (EZ-VSL)"),
    "mean_ciou": Column("mean cIoU", "mean cIoU of the top half of each heat map"),
    "iou_at_10": Column("IoU@0.1", "share of sounding clips whose cIoU is above 0.1 (AVGN)"),
    "iou_at_30": Column("IoU@0.3", "share of sounding clips whose cIoU is above 0.3 (AVGN)"),
    "iou_at_50": Column("IoU@0.5", "share of sounding clips whose cIoU is above 0.5 (AVGN)"),
    "auc_avgn": Column("AUC, AVGN", "AUC over sounding clips (AVGN)"),
    "ap_at_30": Column("AP@0.3", "average precision of finding the source at cIoU 0.3 (AVGN)"),
    "ap_at_50": Column("AP@0.5", "average precision of finding the source at cIoU 0.5 (AVGN)"),
    "f1_at_30": Column("F1@0.3", "F1 of finding the source at cIoU 0.3 and a confidence of 0.5 (AVGN)"),
    "piap_reversed": Column("PIAP, reversed", "as AVGN computes it; for comparing tables only", better=None),
    "ap_pixel": Column("AP of pixels", "mean average precision of heat map pixels over sounding clips"),
    "videos": Column("clips", "clips counted", better=None, count=True),
    "sounding": Column("sounding", "clips among them with a marked source", better=None, count=True),
}


class Localisation:
    """Sums are `LocalisedClip`, metrics those of `LocalisationScores.compute`; clips need `boxes` and have one step."""

    name = "localisation"
    main = "ciou_at_50"
    clip_main = "mean_ciou"

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name}

    @property
    def basis(self) -> dict[str, Any]:
        return {"name": self.name}

    def score(self, clip: Clip, results: Sequence[StepResult]) -> Sums:
        if len(results) != 1:
            raise InputError(
                f"localisation is scored on one annotated step per clip, {clip.name} has {len(results)}; "
                "choose the protocol of the clip's data set."
            )
        # A clip whose boxes are all degenerate counts as a source that nobody finds, as in the published tables.
        truth = box_map(clip.boxes).astype(np.float32)
        return score_map(resize_heat(decided_heat(results[0])), truth, sounding=len(clip.boxes) > 0).to_json()

    def metrics(self, sums: Sequence[Sums]) -> dict[str, float]:
        scores = LocalisationScores()
        for clip in sums:
            scores.add(LocalisedClip.from_json(clip))
        return scores.compute()

    def clip_metrics(self, sums: Sums) -> dict[str, float]:
        """Those that say something of a single clip; ap_pixel is NaN where no source is marked."""
        clip = LocalisedClip.from_json(sums)
        return {
            "ciou_at_50": float(clip.ciou >= 0.5),
            "mean_ciou": clip.ciou,
            "ap_pixel": clip.ap_pixel if clip.sounding else math.nan,
        }

    def resampled(self, sums: Sequence[Sums], draws: np.ndarray) -> dict[str, np.ndarray]:
        """See `EvaluationProtocol`; what is no mean over clips is computed draw by draw."""
        values = {field.name: np.array([clip[field.name] for clip in sums]) for field in fields(LocalisedClip)}
        times = times_drawn(draws, len(sums))
        sounding, marked = values["sounding"].astype(float), values["ciou_any"]
        there = times @ sounding

        def over_sounding(value: np.ndarray) -> np.ndarray:
            return ratio(times @ (value * sounding), there)

        def draw_by_draw(measure, ciou: float) -> np.ndarray:
            parts = (marked, values["confidence"], values["sounding"])
            return np.array([measure(*(part[draw] for part in parts), least_ciou=ciou) for draw in draws])

        clips = draws.shape[1]
        return {
            "ciou_at_50": times @ (values["ciou"] >= 0.5) / clips,
            "auc": times @ _areas(values["ciou"]) / clips,
            "mean_ciou": times @ values["ciou"] / clips,
            **{f"iou_at_{percent}": over_sounding(marked > percent / 100) for percent in (10, 30, 50)},
            "auc_avgn": over_sounding(_areas(marked)),
            "ap_at_30": draw_by_draw(detection_ap, 0.3),
            "ap_at_50": draw_by_draw(detection_ap, 0.5),
            "f1_at_30": draw_by_draw(detection_f1, 0.3),
            "piap_reversed": times @ values["piap_reversed"] / clips,
            "ap_pixel": over_sounding(values["ap_pixel"]),
        }

    @staticmethod
    def column(metric: str) -> Column:
        return COLUMNS[metric]


def ceiling(clips: Sequence[Clip]) -> dict[str, float]:
    """What the best heat maps that there can be score on these clips: iou_at_50 and auc, as in COLUMNS.

    Half of the picture is always chosen, so boxes of less than a quarter of it cannot be found at a cIoU above 0.5.
    """
    best = np.array([highest_ciou(box_map(clip.boxes)) for clip in clips])
    sounding = np.array([len(clip.boxes) > 0 for clip in clips])
    return {
        "iou_at_50": float((best[sounding] > 0.5).mean()) if sounding.any() else math.nan,
        "auc": success_area(best),
    }


def _areas(cious: np.ndarray) -> np.ndarray:
    """Area under the success curve of every clip alone (`success_area`); that of a set is their mean."""
    reached = cious[:, None] >= LEVELS
    return (reached[:, 1:].astype(float) + reached[:, :-1]) / 2 @ np.diff(LEVELS)
