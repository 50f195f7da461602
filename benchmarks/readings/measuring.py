"""What a reading finds on frames whose masks are known.

Shape legend: N frames, G x G patches, E joint space, S sounds.

Scores of patches are their cosines with the frame's sound: "raw" as they are, "centred" minus the mean cosine with the
sounds of all frames of the same kind, which nothing but the picture decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from moca.core.maps import resize_maps
from moca.foundation.imagebind.reader import PatchReader
from moca.foundation.imagebind.reading import PatchReading
from moca.foundation.roles import ImageFeatures, Masks
from moca.pipeline.loading import Pipeline
from moca.segmenter import Segmenter
from moca.training.calibrate import steps_of
from moca.training.frozen import FrozenReader
from recipes.stage_pairs import Pairs

BATCH = 20
SCALES = ("raw", "centred")
LEVELS = 40
"""Levels that are tried: quantiles of all scores."""
SOUNDING_SHARE = 0.5
"""Of a proposal, from which it counts as sounding."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of the patches of N frames of one kind, (N, G, G), under their own and under the next frame's sound."""

    own: np.ndarray
    swapped: np.ndarray


def score_frames(
    pipeline: Pipeline, config: PatchReading, images: ImageFeatures | None, pairs: Pairs
) -> dict[str, Scored]:
    """Scores of every frame by the frozen encoder, "raw" and "centred".

    pipeline: without adapters. images: for reading proxy.
    """
    reading = PatchReader(config=config, images=images)
    segmenter = Segmenter(replace(pipeline, reading=reading), config=replace(pipeline.segment, mirror=False))
    sounds, rows = sound_directions(pipeline, pairs), np.arange(len(pairs.frames))
    mean, other = sounds.mean(0), np.roll(sounds, 1, axis=0)
    raw, centred = ([], []), ([], [])
    for first in range(0, len(rows), BATCH):
        part = rows[first : first + BATCH]
        patches, _ = segmenter.features(steps_of(pairs, part))
        common = patches @ mean
        for kept, centre, heard in zip(raw, centred, (sounds, other), strict=True):
            kept.append(np.einsum("nhwe,ne->nhw", patches, heard[part]))
            centre.append(kept[-1] - common)
    return {scale: Scored(*map(np.concatenate, both)) for scale, both in zip(SCALES, (raw, centred), strict=True)}


def sound_directions(pipeline: Pipeline, pairs: Pairs) -> np.ndarray:
    """Audio embeddings of all frames' sounds, (N, E) of unit length."""
    encoder, reader, found = pipeline.encoder, FrozenReader(pipeline.encoder), []
    for first in range(0, len(pairs.frames), BATCH):
        mels = reader.mels(pairs.sound(slice(first, first + BATCH)))
        found.append(encoder.audio_direction(encoder.embed_audio(mels).detach()).float().cpu().numpy())
    return np.concatenate(found)


def proposal_auc(scored: Scored, proposals: list[Masks], truth: np.ndarray) -> float:
    """Chance that a proposal that sounds, by at least half of it, has a higher mean score than one that does not.

    All proposals of all frames are compared; nan where all of them sound, or none.
    """
    from sklearn.metrics import roc_auc_score

    scores, sounding = [], []
    for heat, found, true in zip(scored.own, proposals, truth, strict=True):
        fine = resize_maps(heat, true.shape)
        for mask in found.masks:
            if mask.any():
                scores.append(fine[mask].mean())
                sounding.append(true[mask].mean() >= SOUNDING_SHARE)
    return float(roc_auc_score(sounding, scores)) if 0 < sum(sounding) < len(sounding) else float("nan")


def levels_of(*scored: Scored) -> np.ndarray:
    """Levels to try: quantiles of the scores of all kinds together."""
    return np.quantile(np.concatenate([each.own.ravel() for each in scored]), np.linspace(0, 1, LEVELS + 1))


def level_ious(heats: np.ndarray, truth: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """mIoU of the pixels that reach each level, (levels,), rising levels; heats (N, G, G), truth (N, H, W) bool, each
    frame's true in some pixel."""
    ious = []
    for heat, true in zip(heats, truth, strict=True):
        reached = np.searchsorted(levels, resize_maps(heat, true.shape).ravel(), side="right")  # levels of each pixel
        counts, hits = (np.bincount(part, minlength=len(levels) + 1) for part in (reached, reached[true.ravel()]))
        area, both = (part[:0:-1].cumsum()[::-1] for part in (counts, hits))
        ious.append(both / (area + true.sum() - both))
    return np.mean(ious, axis=0)


def pointing(heats: np.ndarray, truth: np.ndarray) -> float:
    """Share of frames whose highest score lies on a sounding pixel."""
    peaks = [int(resize_maps(heat, truth.shape[1:]).argmax()) for heat in heats]
    return float(np.mean([mask.ravel()[peak] for mask, peak in zip(truth, peaks, strict=True)]))


def measure(
    pipeline: Pipeline,
    config: PatchReading,
    images: ImageFeatures | None,
    pairs: dict[str, Pairs],
    proposals: dict[str, list[Masks]],
) -> dict[str, dict]:
    """Of one reading, by scale and kind: AUC of proposals, mIoU of the best level, pointing, and both with the next
    frame's sound. The level is one for all kinds: the best for the mean of them on these very frames."""
    truths = {kind: np.asarray(each.masks) > 0 for kind, each in pairs.items()}
    scores = {kind: score_frames(pipeline, config, images, each) for kind, each in pairs.items()}
    result: dict[str, dict] = {}
    for scale in SCALES:
        found = {kind: scores[kind][scale] for kind in pairs}
        levels = levels_of(*found.values())
        ious = {kind: level_ious(each.own, truths[kind], levels) for kind, each in found.items()}
        best = int(np.mean(list(ious.values()), axis=0).argmax())
        result[scale] = {"level": float(levels[best])}
        for kind, each in found.items():
            result[scale][kind] = {
                "auc": proposal_auc(each, proposals[kind], truths[kind]),
                "iou": float(ious[kind][best]),
                "pointing": pointing(each.own, truths[kind]),
                "swapped iou": float(level_ious(each.swapped, truths[kind], levels[best : best + 1])[0]),
                "swapped pointing": pointing(each.swapped, truths[kind]),
            }
    return result
