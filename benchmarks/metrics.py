"""A pass of all metrics over a test set as large as S4's, against the reference ways in the same run.

    OMP_NUM_THREADS=1 python -m benchmarks.metrics [--clips 740] [-o docs/results]

Clips of 5 frames of 224 x 224 are drawn in memory and scored as `moca evaluate` does: masks (`score_video` and the
table row), class labels (padded to 10 frames, as AVSS has it) and, one frame per clip, maps against boxes. Drawing is
not timed. The reference ways are one pass per threshold (torch, after the official evaluation), one pass per class,
and scikit-learn; they run on the first few clips only, must agree to 1e-6 there or the benchmark fails, and their time
for all clips is scaled up from those. Everything runs on one thread, and seconds are those of the processor: a single
pass on a busy machine would mostly measure its other work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from benchmarks.fscore import loop_torch, make_frames
from moca.core.files import write_text_whole
from moca.metrics.accumulators import AVSBenchScores, score_video
from moca.metrics.localisation import LocalisationScores, score_map
from moca.metrics.semantic import CLASSES, SemanticScores, pad_frames, score_labels

CLIPS, FRAMES, SIDE = 740, 5, 224
REFERENCE_CLIPS = 10
TARGET_S = 60.0


def masks_by_loop(masks: np.ndarray, heats: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """mIoU and F of one video in the official way."""
    mask, true = torch.from_numpy(masks), torch.from_numpy(truth)
    iou = [(m & t).sum() / ((m | t).sum() + 1e-7) for m, t in zip(mask, true, strict=True)]
    return float(torch.stack(iou).mean()), loop_torch(heats, truth)


def labels_by_loop(pred: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Mean over the classes of the sums of IoU and F of one video, one class after the other."""
    iou = f = 0.0
    for p, t in zip(pred, truth, strict=True):
        for index in range(CLASSES):
            predicted, labelled = p == index, t == index
            hits = np.count_nonzero(predicted & labelled)
            if hits:
                areas = np.count_nonzero(predicted), np.count_nonzero(labelled)
                iou, f = iou + hits / (sum(areas) - hits), f + 1.3 * hits / (0.3 * areas[1] + areas[0])
    return iou / CLASSES, f / CLASSES


def map_by_loop(heat: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """cIoU, average precision and AVGN's PIAP of one frame, with full sorts and scikit-learn."""
    chosen = (heat >= np.sort(heat.ravel())[heat.size // 2]).astype(float)
    ciou = (chosen * truth).sum() / (truth.sum() + (chosen * (truth == 0)).sum())
    flat, true = heat.ravel(), truth.ravel()
    return ciou, average_precision_score(true, flat), average_precision_score(chosen.ravel(), true)


def draw(index: int) -> dict[str, tuple]:
    """The arguments of each kind of scoring for one clip, seeded by its index."""
    heats, truth = make_frames(FRAMES, SIDE, seed=index)
    label = 1 + index % (CLASSES - 1)
    masks, labels = heats > 0.5, pad_frames(truth * np.uint8(label))
    predicted = pad_frames(masks * np.uint8(label if index % 3 else 1 + label % (CLASSES - 1)))
    return {"masks": (masks, heats, truth), "labels": (predicted, labels), "boxes": (heats[0], truth[0].astype(float))}


def of_masks(scored: Any) -> tuple[float, float]:
    return scored.iou / scored.frames, max(scored.f_curve) / scored.sounding


def of_labels(scored: Any) -> tuple[float, float]:
    return sum(scored.iou) / CLASSES, sum(scored.f) / CLASSES


def of_map(scored: Any) -> tuple[float, float, float]:
    return scored.ciou, scored.ap_pixel, scored.piap_reversed


KINDS: dict[str, tuple[Callable, Callable, Callable]] = {
    "masks": (score_video, masks_by_loop, of_masks),
    "labels": (score_labels, labels_by_loop, of_labels),
    "boxes": (score_map, map_by_loop, of_map),
}
"""Kind of scoring -> ours, the reference way, and what of ours the reference way gives too."""


def timed(call: Callable, *arguments: Any) -> tuple[Any, float]:
    """What a call returns and the processor seconds it took."""
    start = time.process_time()
    result = call(*arguments)
    return result, time.process_time() - start


def measure(clips: int, reference_clips: int) -> list[dict[str, float | str]]:
    """One row per kind of scoring; raises SystemExit where ours and the reference way differ."""
    collected = {
        "masks": AVSBenchScores(),
        "labels": SemanticScores([str(index) for index in range(CLASSES)]),
        "boxes": LocalisationScores(),
    }
    ours_s, reference_s, compared_s = (dict.fromkeys(KINDS, 0.0) for _ in range(3))
    for index in range(clips):
        for kind, arguments in draw(index).items():
            ours, reference, common = KINDS[kind]
            scored, seconds = timed(ours, *arguments)
            collected[kind].add(scored)
            ours_s[kind] += seconds
            if index < reference_clips:
                values, taken = timed(reference, *arguments)
                reference_s[kind] += taken
                compared_s[kind] += seconds
                if not np.allclose(common(scored), values, rtol=0, atol=1e-6):
                    raise SystemExit(
                        f"{kind}: the reference gives {values}, ours {common(scored)}: not the same metric"
                    )
    rows = []
    for kind, scores in collected.items():
        _, table_s = timed(scores.compute)
        ratio = reference_s[kind] / compared_s[kind]
        estimate = reference_s[kind] * clips / min(reference_clips, clips)
        rows.append(
            {"kind": kind, "score_s": ours_s[kind], "table_s": table_s, "ratio": ratio, "reference_s": estimate}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=CLIPS, help="clips in the test set (740: S4)")
    parser.add_argument("--reference-clips", type=int, default=REFERENCE_CLIPS, help="clips the reference ways score")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results"), help="folder of bench_metrics.json")
    options = parser.parse_args()
    if not 1 <= options.reference_clips <= options.clips:
        parser.error(f"--reference-clips must be 1 to --clips ({options.clips}), got {options.reference_clips}")
    torch.set_num_threads(1)
    rows = measure(options.clips, options.reference_clips)
    total = sum(row["score_s"] + row["table_s"] for row in rows)
    print(f"{options.clips} clips of {FRAMES} frames of {SIDE} x {SIDE}")
    print(f"{'':10}{'scoring':>10}{'table':>10}{'reference':>12}{'slower by':>11}")
    for row in rows:
        cells = f"{row['score_s']:8.2f} s{row['table_s']:8.2f} s{row['reference_s']:10.1f} s{row['ratio']:10.1f}x"
        print(f"{row['kind']:10}{cells}")
    print(f"all metrics: {total:.1f} s; target {TARGET_S:.0f} s: {'met' if total < TARGET_S else 'missed'}")
    figures = {"clips": options.clips, "frames": FRAMES, "side": SIDE, "reference_clips": options.reference_clips}
    text = json.dumps({**figures, "total_s": total, "target_s": TARGET_S, "rows": rows}, indent=1) + "\n"
    write_text_whole(options.out / "bench_metrics.json", text)


if __name__ == "__main__":
    main()
