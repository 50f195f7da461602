"""What a pipeline achieves on drawn Soundstage frames; reads the stage's masks, so never used for training."""

from __future__ import annotations

import numpy as np

from moca.metrics.segmentation import frame_iou
from moca.segmenter import Segmenter
from moca.training.calibrate import steps_of
from recipes.stage_pairs import Pairs

SILENT_KINDS = ("silent", "noise", "offscreen")


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
