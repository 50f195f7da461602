"""What a pipeline achieves on drawn Soundstage frames; reads the stage's masks, so never used for training."""

from __future__ import annotations

import numpy as np

from moca.media.video import Step
from moca.metrics.segmentation import frame_iou
from moca.segmenter import Segmenter
from recipes.stage_pairs import Pairs

SILENT_KINDS = ("silent", "noise", "offscreen")


def steps_of(pairs: Pairs, rows: np.ndarray, *, heard: np.ndarray | None = None) -> list[Step]:
    """One step per row; heard: the rows whose sound is played instead."""
    sources = rows if heard is None else heard
    steps = []
    for index, (row, source) in enumerate(zip(rows, sources, strict=True)):
        steps.append(
            Step(
                index=index,
                start_s=float(index),
                end_s=index + 1.0,
                frame_s=index + 0.5,
                frame=np.asarray(pairs.frames[row]),
                audio=pairs.sound(source),
                sample_rate_hz=16_000,
            )
        )
    return steps


def measure(segmenter: Segmenter, pairs: Pairs, *, swapped: bool = False) -> dict[str, float]:
    """Scores per kind of scene: mean IoU, pointing accuracy, share of steps the gate opens, mask area.

    Only "iou" of kinds with a true mask means something; for silent kinds, area is the false-positive area.
    swapped: every frame hears the next frame's sound.
    """
    scores: dict[str, float] = {}
    for kind in sorted(set(pairs.kinds)):
        rows = np.flatnonzero(pairs.kinds == kind)
        heard = np.roll(rows, 1) if swapped else None
        results = list(segmenter.segment_steps(steps_of(pairs, rows, heard=heard)))
        masks = np.stack([result.mask for result in results])
        scores[f"{kind}.open"] = float(np.mean([result.reason is None for result in results]))
        scores[f"{kind}.area"] = float(masks.mean())
        if kind not in SILENT_KINDS:
            truth = np.asarray(pairs.masks[rows]) > 0
            scores[f"{kind}.iou"] = float(np.mean(frame_iou(masks, truth)))
            scores[f"{kind}.pointing"] = float(
                np.mean([_points(r.heat, t) for r, t in zip(results, truth, strict=True)])
            )
    return scores


def _points(heat: np.ndarray, truth: np.ndarray) -> bool:
    return bool(truth.ravel()[int(heat.argmax())]) if heat.max() > 0 else False
