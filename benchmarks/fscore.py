"""AVSBench's F at all 255 thresholds: one histogram per frame against a pass per threshold.

    OMP_NUM_THREADS=2 python -m benchmarks.fscore [--json]

`loop (torch)` follows the official evaluation: float maps, one reduction after another. It runs on one
thread: its maps are too small to share, and on a busy machine sharing them costs far more than it gains.
`loop (numpy)` uses booleans and counts, about the best a loop can do. All three must agree to 1e-6, or the
benchmark fails.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from benchmarks.timing import shortest_s
from moca.metrics import THRESHOLDS, f_measure

FRAMES, SIDE = 20, 224
S4_TEST_FRAMES = 740 * 5


def make_frames(frames: int, side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth scores (frames, side, side) float32 in [0, 1] and a blob of truth in each frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    centre = rng.uniform(0.3, 0.7, (frames, 2, 1, 1))
    distance = np.hypot(y - centre[:, 0], x - centre[:, 1])
    noise = rng.normal(0, 0.15, (frames, side, side))
    scores = 1 / (1 + np.exp(12 * (distance - 0.25) + 4 * noise))
    return scores.astype(np.float32), distance < 0.22


def loop_torch(scores: np.ndarray, truth: np.ndarray) -> float:
    """The official way: for each frame and threshold, a float map and its sums."""
    thresholds = torch.from_numpy(np.array(THRESHOLDS))
    curves = []
    for score, true in zip(torch.from_numpy(scores), torch.from_numpy(truth).float(), strict=True):
        precision, recall = torch.zeros(len(thresholds)), torch.zeros(len(thresholds))
        for index, threshold in enumerate(thresholds):
            chosen = (score >= threshold).float()
            hits = (chosen * true).sum()
            precision[index], recall[index] = hits / (chosen.sum() + 1e-20), hits / (true.sum() + 1e-20)
        curves.append((1.3 * precision * recall / (0.3 * precision + recall)).nan_to_num(0.0))
    return float(torch.stack(curves).mean(0).max())


def loop_numpy(scores: np.ndarray, truth: np.ndarray) -> float:
    """The same passes on booleans, with counts instead of float sums."""
    total = np.zeros(len(THRESHOLDS))
    for score, true in zip(scores, truth, strict=True):
        positives = np.count_nonzero(true)
        for index, threshold in enumerate(THRESHOLDS):
            chosen = score >= threshold
            hits = np.count_nonzero(chosen & true)
            if hits:
                precision, recall = hits / np.count_nonzero(chosen), hits / positives
                total[index] += 1.3 * precision * recall / (0.3 * precision + recall)
    return float(total.max() / len(scores))


def measure(frames: int, side: int) -> list[dict[str, object]]:
    """One row per way of computing F, the histogram first; raises if their results differ."""
    scores, truth = make_frames(frames, side)
    ways = {"histogram": (f_measure, 30), "loop (numpy)": (loop_numpy, 5), "loop (torch)": (loop_torch, 5)}
    rows = []
    for name, (way, repeats) in ways.items():
        value = way(scores, truth)
        if rows and abs(value - rows[0]["f"]) > 1e-6:
            raise SystemExit(f"{name} gives F {value:.8f}, the histogram {rows[0]['f']:.8f}: not the same metric")
        taken = shortest_s(lambda way=way: way(scores, truth), repeats)
        rows.append({"way": name, "f": value, "ms_per_frame": 1000 * taken / frames})
    for row in rows:
        row["s4_test_set_s"] = row["ms_per_frame"] * S4_TEST_FRAMES / 1000
        row["times_slower"] = row["ms_per_frame"] / rows[0]["ms_per_frame"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames in one call (20: four clips)")
    parser.add_argument("--side", type=int, default=SIDE, help="height and width of a frame")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(options.frames, options.side)
    if options.json:
        size = {"frames": options.frames, "side": options.side}
        print(json.dumps({**size, "rows": rows}, indent=1))
        return
    print(f"F at {len(THRESHOLDS)} thresholds, {options.frames} frames of {options.side} x {options.side}")
    print(f"{'':14}{'ms/frame':>10}{'740 S4 clips':>14}{'slower by':>11}{'F':>13}")
    for row in rows:
        slower = f"{row['times_slower']:.1f}x"
        cells = f"{row['ms_per_frame']:10.3f}{row['s4_test_set_s']:12.2f} s{slower:>11}{row['f']:13.8f}"
        print(f"{row['way']:14}{cells}")


if __name__ == "__main__":
    main()
