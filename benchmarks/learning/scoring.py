"""From trained adapters to scores: every control on every clip, the gate, and the truth it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.learning.looking import CONTROLS, Looker, Maps
from benchmarks.learning.world import FALSE, SOUNDING, World
from moca.core.loudness import level_dbfs
from moca.core.maps import resize_maps
from moca.metrics.segmentation import frame_iou
from moca.segmentation.coarse import coarse_mask
from moca.segmentation.config import SegmentConfig
from moca.training.calibrate import joint_gates
from recipes.stage_pairs import Pairs

RULES = tuple(
    [SegmentConfig(sounding=rule) for rule in ("ratio", "otsu")]
    + [SegmentConfig(sounding="level", level=level) for level in np.arange(0.1, 0.65, 0.05).round(2).tolist()]
)


def masks_of(maps: Maps, pairs: Pairs, config: SegmentConfig) -> np.ndarray:
    """(N, H, W) bool."""
    return np.stack(
        [
            coarse_mask(patches.astype(np.float32), agreement, np.asarray(frame), config)[0]
            for patches, agreement, frame in zip(maps.patches, maps.agreement, pairs.frames, strict=True)
        ]
    )


@dataclass(frozen=True)
class Settled:
    """What was decided on validation clips: the rule, and gates that keep 95% of them (one per kind of support)."""

    rule: SegmentConfig
    gates: list[float]
    supports: list[np.ndarray]
    scores: dict[str, float]


def settle(looker: Looker, validation: dict[str, Pairs], *, gated: bool) -> Settled:
    """The rule with the best mean of S4 and MS3 IoU on validation clips; every row of the study gets this choice.

    gated: settle the gates too.
    """
    maps = {kind: looker.look(validation[kind], ("own",))["own"] for kind in SOUNDING}
    scores = {
        rule: {kind: _iou(masks_of(maps[kind], validation[kind], rule), validation[kind]) for kind in SOUNDING}
        for rule in RULES
    }
    best = max(scores, key=lambda rule: sum(scores[rule].values()))
    if not gated:
        return Settled(best, [], [], scores[best])
    parts = [looker.supports(validation[kind], maps[kind]) for kind in SOUNDING]
    supports = [np.concatenate(both) for both in zip(*parts, strict=True)]
    return Settled(best, joint_gates(supports), supports, scores[best])


def score(looker: Looker, settled: Settled, world: World, *, scored: str) -> dict:
    """Everything that is measured on the test clips."""
    controls, rule = CONTROLS if scored == "all" else ("own", "adapters swapped"), settled.rule
    result: dict = {"rule": {"sounding": rule.sounding, "clusters": rule.clusters, "level": rule.level}}
    supports = []
    for kind in SOUNDING:
        pairs = world.test[kind]
        truth = np.asarray(pairs.masks) > 0
        seen = looker.look(pairs, controls)
        scores = {}
        for control, maps in seen.items():
            masks = masks_of(maps, pairs, rule)
            ious = frame_iou(masks, truth)
            scores[control] = {
                "iou": float(ious.mean()),
                "error": float(ious.std() / len(ious) ** 0.5),
                "area": float(masks.mean()),
                "pointing": _pointing(maps, truth),
            }
        scores["true area"] = float(truth.mean())
        result[kind] = scores
        if scored == "brief":
            continue
        snapped = masks_of(seen["own"], pairs, replace(rule, refine=True))
        scores["own, snapped"] = {"iou": _iou(snapped, pairs), "area": float(snapped.mean())}
        supports.append(looker.supports(pairs, seen["own"]))
    if scored == "brief":
        return result
    sounding = [np.concatenate(both) for both in zip(*supports, strict=True)]
    result["false"] = _false(looker, settled, world, sounding)
    return result


def _false(looker: Looker, settled: Settled, world: World, sounding: list[np.ndarray]) -> dict:
    """Where nothing in the picture sounds: area behind the gates, share of open gates, and the gates' ROC."""
    rule = settled.rule
    sounding_share = standing(sounding, settled.supports)
    figures: dict = {"gates": settled.gates, "recall": float(_open(sounding, settled.gates).mean())}
    figures["standing"] = sounding_share.round(4).tolist()
    for kind in FALSE:
        pairs = world.test[kind]
        maps = looker.look(pairs, ("own",))["own"]
        loud = np.array([level_dbfs(pairs.sound(row)) >= rule.silence_dbfs for row in range(len(pairs.frames))])
        supports = looker.supports(pairs, maps)
        opened = _open(supports, settled.gates) & loud
        stands = np.where(loud, standing(supports, settled.supports), -1.0)
        figures[kind] = {
            "area": float((masks_of(maps, pairs, rule) & opened[:, None, None]).mean()),
            "open": float(opened.mean()),
            "auroc": _auroc(sounding_share, stands),
            "standing": stands.round(4).tolist(),
        }
    return figures


def standing(supports: list[np.ndarray], reference: list[np.ndarray]) -> np.ndarray:
    """Share of reference clips that a clip surpasses in its weakest kind of support, (N,) in [0, 1]."""
    shares = [
        np.searchsorted(np.sort(sounding), values) / len(sounding)
        for values, sounding in zip(supports, reference, strict=True)
    ]
    # Beyond the reference's best and worst clips the share alone would tie.
    return np.min(shares, axis=0) + 1e-3 * supports[0]


def _open(supports: list[np.ndarray], gates: list[float]) -> np.ndarray:
    return np.all([values >= gate for values, gate in zip(supports, gates, strict=True)], axis=0)


def _auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a sounding clip has more support than one in which nothing sounds."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    return float(roc_auc_score(truth, np.concatenate([positive, negative])))


def _iou(masks: np.ndarray, pairs: Pairs) -> float:
    return float(frame_iou(masks, np.asarray(pairs.masks) > 0).mean())


def _pointing(maps: Maps, truth: np.ndarray) -> float:
    """Share of clips whose highest agreement lies on a sounding pixel."""
    size = truth.shape[1:]
    peaks = [int(resize_maps(frame, size).argmax()) for frame in maps.agreement]
    return float(np.mean([mask.ravel()[peak] for mask, peak in zip(truth, peaks, strict=True)]))
