"""A neighbour table by inverted lists against the exact search: time as a ratio, and what is lost.

    OMP_NUM_THREADS=1 python -m benchmarks.mining [-o docs/results/bench_mining.json]
    OMP_NUM_THREADS=1 python -m benchmarks.mining --features frames.npy      # on features of your own, (N, D)

Time is that of a whole table: k-means, filling the index, and looking up every row, which is timed on some rows
and scaled up to all. It is processor time, which other work on the machine stretches less than wall time. Recall
is the share of a row's exact neighbours that the inverted lists find as well. The features are drawn: 300
classes, ten frames a video, 384 numbers a frame (as many as DINO ViT-S has). Two constants of
moca/mining/search.py rest on this: PROBES is the smallest power of two with a recall of 0.95 at every size,
IVF_FROM the smallest of the sizes from which on inverted lists save at least half of the time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from moca.core.files import write_text_whole
from moca.mining.search import IVF_FROM, PROBES, NeighbourSearch, train_lists

SIZES = (5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
PROBED = (4, 8, 16, 32, 64)
NEIGHBOURS, QUERIES, REPEATS = 20, 1_024, 2


def draw_features(count: int, *, width: int = 384, seed: int = 0) -> np.ndarray:
    """(count, width) float32 that crowd as pictures do: by class, then by video, mostly along few directions.

    The shares of class, video and frame were chosen so that inverted lists lose as many neighbours of 40,000 rows
    as they lose of the pixels (10 x 10) of 40,000 Soundstage frames: recall 0.93 with 16 probes, 0.98 with 32.
    """
    generator = np.random.default_rng(seed)
    scale = 1 / np.arange(1, 49)
    classes = generator.normal(size=(300, 48))[generator.integers(300, size=-(-count // 10))]
    videos = classes + generator.normal(size=classes.shape)
    frames = videos.repeat(10, axis=0)[:count] + 0.6 * generator.normal(size=(count, 48))
    features = (frames * scale / np.sqrt(np.mean(scale**2))) @ generator.normal(size=(48, width)) / 48**0.5
    features += generator.normal(size=width)
    return features.astype(np.float32) + 0.05 * generator.standard_normal((count, width), np.float32)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Result and processor seconds of one call."""
    start = time.process_time()
    result = run()
    return result, time.process_time() - start


def looked_up(index: NeighbourSearch, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Neighbours of some rows, and the least seconds of a few runs: other work on the machine only ever adds."""
    runs = [timed(lambda: index.nearest(rows)[0]) for _ in range(REPEATS)]
    return runs[0][0], min(seconds for _, seconds in runs)


def measure(features: np.ndarray, probed: tuple[int, ...]) -> list[dict[str, float]]:
    """One row per number of lists looked through."""
    count = len(features)
    rows = np.sort(np.random.default_rng(1).choice(count, min(QUERIES, count), replace=False))
    whole = count / len(rows)
    flat, filling_flat_s = timed(lambda: NeighbourSearch(features, NEIGHBOURS, index="flat"))
    exact, lookup_s = looked_up(flat, rows)
    flat_s = filling_flat_s + whole * lookup_s
    del flat
    centres, training_s = timed(lambda: train_lists(features))
    lists, filling_s = timed(lambda: NeighbourSearch(features, NEIGHBOURS, index="ivf", centres=centres))
    figures = []
    for probes in probed:
        lists.index.nprobe = min(probes, len(centres))
        approximate, lookup_s = looked_up(lists, rows)
        ivf_s = training_s + filling_s + whole * lookup_s
        recall = np.mean([np.isin(one, other).mean() for one, other in zip(exact, approximate, strict=True)])
        figures.append(
            {
                "rows": count,
                "lists": len(centres),
                "probes": probes,
                "recall": float(recall),
                "flat_s": flat_s,
                "ivf_s": ivf_s,
                "training_share": training_s / ivf_s,
                "ratio": flat_s / ivf_s,
            }
        )
    return figures


def main() -> None:
    """Every size with the number of lists in use, the largest with others as well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--features", type=Path, help="an .npy file of features; default: drawn, of several sizes")
    options = parser.parse_args()
    if options.features:
        features = np.load(options.features, mmap_mode="r", allow_pickle=False)
        figures = measure(features, PROBED)
    else:
        features = draw_features(max(SIZES))
        figures = []
        for size in SIZES:
            figures += measure(features[:size], PROBED if size == max(SIZES) else (PROBES,))
    threads = faiss.omp_get_max_threads()
    print(f"table of {NEIGHBOURS} neighbours, {features.shape[1]} numbers a row, {threads} threads")
    print(f"{'rows':>9}{'lists':>7}{'probes':>8}{'recall':>8}{'flat':>10}{'lists':>10}{'ratio':>8}")
    for row in figures:
        cells = f"{row['rows']:9}{row['lists']:7}{row['probes']:8}{row['recall']:8.3f}"
        print(f"{cells}{row['flat_s']:8.1f} s{row['ivf_s']:8.1f} s{row['ratio']:7.1f}x")
    print(f'"auto" takes inverted lists from {IVF_FROM} rows and looks through {PROBES} of them')
    if options.out:
        settings = {"neighbours": NEIGHBOURS, "width": features.shape[1], "threads": threads, "from": IVF_FROM}
        write_text_whole(options.out, json.dumps({**settings, "results": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
