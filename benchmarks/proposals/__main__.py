"""What pixel matching, mask proposal matching and both are worth: twins of the paper's tables 2, 3 and 10.

    python -m benchmarks.proposals.seeds                                   # adapters of two more seeds
    python -m benchmarks.proposals --adapters default .cache/proposals/seed-1 .cache/proposals/seed-2

Every result is a file in docs/results/proposals, and what is there is not done again; docs/proposals.md is written from
them. "coarse" is what the features alone give, "snapped" the same cut along the picture's edges (GrabCut), as mini
ships without proposals.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.proposals.tables import THRESHOLDS, write_page
from benchmarks.proposals.world import KINDS, Kept, draw_frames, kept_proposals
from moca.core.files import write_text_whole
from moca.core.step import StepResult
from moca.metrics import AVSBenchScores
from moca.segmentation.config import MATCH, ProposalConfig
from moca.segmentation.mpm import match_step
from moca.segmenter import Segmenter
from moca.training.calibrate import steps_of
from recipes.stage_pairs import Pairs

BOX_THRESHOLDS = (0.1, 0.3, 0.5)  # tried on validation
Coarse = list[StepResult]


def coarse_results(segmenter: Segmenter, pairs: Pairs, *, swapped: bool = False) -> Coarse:
    """Results without proposals of all frames; swapped: with the next frame's sound."""
    rows = np.arange(len(pairs.frames))
    return list(segmenter.segment_steps(steps_of(pairs, rows, heard=np.roll(rows, 1) if swapped else None)))


def scored(results: Iterator[StepResult], pairs: Pairs) -> dict[str, float]:
    """mIoU and AVSBench's F, every frame being a clip of its own."""
    scores = AVSBenchScores(1)
    for result, truth in zip(results, pairs.masks, strict=True):
        scores.update(result.mask[None], result.heat[None], truth[None])
    means = scores.compute()
    return {"miou": means["miou_batch1"], "f": means["f_batch1"]}


def matched(coarse: Coarse, kept: Kept, config: ProposalConfig) -> Iterator[StepResult]:
    """Results with the proposals that match."""
    for result, proposals in zip(coarse, kept, strict=True):
        yield match_step(result, proposals, result.heat, config) if result.mask.any() else result


def proposals_alone(coarse: Coarse, kept: Kept, *, best: bool) -> Iterator[StepResult]:
    """Results that know nothing of the sound: the proposal that SAM is surest of, or all of them."""
    for result, proposals in zip(coarse, kept, strict=True):
        masks = proposals.masks[:1] if best else proposals.masks
        union = masks.any(0) if len(masks) else np.zeros_like(result.mask)
        yield replace(result, mask=union, heat=union.astype(np.float32), segments=(), reason=None)


def rows_of(
    segmenter: Segmenter, pairs: Pairs, kept: dict[str, Kept], sources: dict[str, ProposalConfig]
) -> dict[str, dict[str, float]]:
    """Scores of one model on one kind of frames: coarse and snapped, alone and with proposals matched by every rule.

    Every threshold is tried for "boxes", the rule's usual one alone for other sources.
    """
    rows = {}
    for name, refine in (("coarse", False), ("snapped", True)):
        looking = Segmenter(segmenter.pipeline, config=replace(segmenter.config, refine=refine), batch_steps=32)
        coarse, other = coarse_results(looking, pairs), coarse_results(looking, pairs, swapped=True)
        rows[name] = scored(iter(coarse), pairs)
        rows[f"{name}, swapped"] = scored(iter(other), pairs)
        for (source, config), (rule, usual) in product(sources.items(), MATCH.items()):
            for threshold in THRESHOLDS if source == "boxes" else (usual,):
                trying = replace(config, rule=rule, match=threshold, unmatched="coarse")
                rows[f"{name} + {source}, {rule} {threshold}"] = scored(matched(coarse, kept[source], trying), pairs)
            plain = replace(config, rule=rule, match=usual, unmatched="coarse")
            key = f"{name} + {source}, {rule} {usual}"
            rows[f"{key}, swapped"] = scored(matched(other, kept[source], plain), pairs)
            empty = replace(plain, unmatched="empty")
            rows[f"{key}, empty"] = scored(matched(coarse, kept[source], empty), pairs)
        if not refine:
            for source, best in product(sources, (True, False)):
                words = "surest of" if best else "all"
                rows[f"{words} {source}, no sound"] = scored(proposals_alone(coarse, kept[source], best=best), pairs)
    return rows


def best_proposals(kept: Kept, pairs: Pairs) -> float:
    """mIoU of the best choice of proposals that knows the truth: those that lie mostly in it."""
    config = ProposalConfig(kind="boxes", rule="cover", unmatched="empty")
    blank = [
        StepResult(
            index=0, start_s=0, end_s=1, frame_s=0, mask=truth > 0, heat=truth.astype(np.float32), score=1, level_dbfs=0
        )
        for truth in np.asarray(pairs.masks)
    ]
    return scored(matched(blank, kept, config), pairs)["miou"]


def main() -> None:
    """Do what is not done yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", nargs="*", help="folders; the first, the shipped seed, is called default")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/proposals"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/proposals"))
    parser.add_argument("--test", type=int, default=200, help="frames each of S4 and MS3; validation has half")
    options = parser.parse_args()
    models = {"frozen": None, **{f"seed {n}": folder for n, folder in enumerate(options.adapters or ["default"])}}
    shipped = {kind: Segmenter.load("mini", proposals=kind).pipeline.proposer.config for kind in ("boxes", "grid")}
    tried = {f"boxes from {least}": replace(shipped["boxes"], box_threshold=least) for least in BOX_THRESHOLDS}
    study(options, "val", options.test // 2, {"seed 0": models["seed 0"]}, {**shipped, **tried})
    study(options, "test", options.test, models, shipped)
    write_page(options.out, Path("docs/proposals.md"))


def study(
    options: argparse.Namespace,
    split: str,
    count: int,
    models: dict[str, Path | str | None],
    sources: dict[str, ProposalConfig],
) -> None:
    """Every model on one split with proposals of every source."""
    frames = draw_frames(options.cache, split, count)
    kept: dict[str, dict[str, Kept]] = {kind: {} for kind in KINDS}
    for source, config in sources.items():
        pipeline = Segmenter.load("mini", proposals=config).pipeline
        for kind, pairs in frames.items():
            place = options.work / f"{split}-{kind}-{source.replace(' ', '-')}"
            kept[kind][source] = kept_proposals(pipeline.proposer, pairs, pipeline.fingerprints, place)
    ceiling = {
        kind: {source: best_proposals(kept[kind][source], pairs) for source in sources}
        for kind, pairs in frames.items()
    }
    write_text_whole(options.out / f"{split}-ceiling.json", json.dumps(ceiling, indent=1) + "\n")
    for name, adapters in models.items():
        target = options.out / f"{split}-{name.replace(' ', '-')}.json"
        if target.is_file():
            continue
        segmenter = Segmenter.load("mini", adapters=adapters, proposals="none")
        rows = {kind: rows_of(segmenter, pairs, kept[kind], sources) for kind, pairs in frames.items()}
        write_text_whole(target, json.dumps({"model": name, "frames": count, **rows}, indent=1) + "\n")
        row = f"snapped + boxes, agreement {MATCH['agreement']}"
        told = {kind: round(rows[kind][row]["miou"], 3) for kind in KINDS}
        print(f"{split}, {name}: {told}", flush=True)


if __name__ == "__main__":
    main()
