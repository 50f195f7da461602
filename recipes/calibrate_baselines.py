"""Choose the settings of the training-free methods for mini.

    python -m recipes.calibrate_baselines -o baselines/mini.json

The paper's thresholds are for models that have seen the world; cosines and scores of mini's small models lie elsewhere.
Among a few settings, those with the best mean IoU over drawn validation frames are kept; test frames are never read.
A frame in which nothing sounds counts 1 for an empty mask. This uses the frames' masks, as the paper must have.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from moca.baselines.at_gdino_sam import AtGdinoSam
from moca.baselines.loading import MINI_SETTINGS
from moca.baselines.owod_bind import OwodBind
from moca.baselines.sam_bind import SamBind
from moca.baselines.training_free import TrainingFree
from moca.core.files import write_text_whole
from moca.core.step import Step, StepResult
from moca.errors import InputError
from moca.metrics.segmentation import frame_iou_plain
from moca.training.calibrate import steps_of
from recipes.stage_pairs import PairsConfig, draw_pairs

MIX = (("s4", 0.4), ("ms3", 0.4), ("offscreen", 0.1), ("noise", 0.1))
SPLIT = "baselines-val"
COSINES = tuple(round(0.1 + 0.02 * step, 2) for step in range(41))
GRID = {"points_per_side": 8}
OWOD = [{"box_threshold": least} for least in (0.2, 0.3, 0.5)]
SAM = [
    {**GRID, "pred_iou": iou, "stability": stable, "crop": crop}
    for (iou, stable), crop in product(((0.4, 0.5), (0.3, 0.5)), ("masked", "box"))
]
WORDS = [
    {"tag_threshold": tag, "box_threshold": box, "text_threshold": min(box, 0.25), "box_nms_iou": 0.5}
    for tag, box in product((0.3, 0.5), (0.1, 0.15, 0.2, 0.25, 0.3, 0.35))
]
TRIED: dict[type[TrainingFree], list[dict[str, Any]]] = {OwodBind: OWOD, SamBind: SAM, AtGdinoSam: WORDS}
BOUND = (OwodBind, SamBind)
"""Methods whose threshold on cosines can be swept over what is found without one."""


def try_all(method: TrainingFree, steps: list[Step], truths: np.ndarray) -> list[dict[str, Any]]:
    """Mean IoU of every setting tried.

    truths: (N, H, W) bool. Of a method that binds, also of every threshold on cosines.
    """
    tried = []
    for settings in TRIED[type(method)]:
        if not isinstance(method, BOUND):
            method.config = method.config_class(**settings)
            tried.append({**settings, "iou": mean_iou(list(method.segment_steps(steps)), truths, 0.0)})
            continue
        method.config = method.config_class(**settings, bind_threshold=min(COSINES))
        results = list(method.segment_steps(steps))
        tried += [
            {**settings, "bind_threshold": threshold, "iou": mean_iou(results, truths, threshold)}
            for threshold in COSINES
        ]
    return tried


def mean_iou(results: list[StepResult], truths: np.ndarray, least: float) -> float:
    """Mean IoU of the segments that score at least so much."""
    masks = np.zeros_like(truths)
    for mask, result in zip(masks, results, strict=True):
        for segment in result.segments:
            if segment.score >= least:
                mask |= segment.mask
    return round(float(frame_iou_plain(masks, truths).mean()), 4)


def best_of(tried: list[dict[str, Any]]) -> dict[str, Any]:
    """Settings of the best mean IoU; of equal thresholds in a row the middle one."""
    most = max(trial["iou"] for trial in tried)
    equal = [trial for trial in tried if trial["iou"] == most]
    same = [trial for trial in equal if _others(trial) == _others(equal[0])]
    return {name: value for name, value in same[(len(same) - 1) // 2].items() if name != "iou"}


def _others(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in ("bind_threshold", "iou")}


def main() -> None:
    """Draw the frames, try the settings, write the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=MINI_SETTINGS)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument(
        "--methods", nargs="*", choices=[method_class.name for method_class in TRIED], help="those to do; default: all"
    )
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    pairs = draw_pairs(
        PairsConfig(count=options.frames, split=SPLIT, size=224, mix=MIX), options.cache, workers=options.workers
    )
    steps, truths = steps_of(pairs, np.arange(options.frames)), np.asarray(pairs.masks) > 0
    record = json.loads(options.out.read_text()) if options.out.is_file() else {"format": 1, "methods": {}, "how": {}}
    for kind in TRIED:
        if options.methods and kind.name not in options.methods:
            continue
        try:
            method = kind.load("mini", config=kind.config_class())
        except InputError as error:
            print(f"{kind.name} is left as it was: {error}")
            continue
        tried = try_all(method, steps, truths)
        best = best_of(tried)
        record["methods"][kind.name] = best
        scored = next(trial["iou"] for trial in tried if {**trial, "iou": 0} == {**best, "iou": 0})
        record["how"][kind.name] = {
            "chosen": "best mean IoU over frames, in which an empty mask counts 1 where nothing sounds",
            "frames": options.frames,
            "split": SPLIT,
            "mean_iou": scored,
            "tried": len(tried),
            "fingerprints": method.card.fingerprints,
        }
        write_text_whole(options.out, json.dumps(record, indent=1) + "\n")
        print(f"{kind.name}: {best}, mean IoU {scored:.3f}")


if __name__ == "__main__":
    main()
