"""What makes adapters learn: train and score every row of the study, then write its tables.

    python -m benchmarks.learning --class-encoder .cache/learning/class-token

Each result is one file; what is there is not done again. Two processes share the work with --part 0/2 and --part
1/2. `python -m benchmarks.learning.tables` writes docs/learning.md from the files.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.learning.looking import Looker
from benchmarks.learning.rows import ROWS, Row, for_encoder
from benchmarks.learning.scoring import score, settle
from benchmarks.learning.world import Sizes, World, draw_world
from moca.adapters import count_trainable, fingerprint
from moca.core.files import write_text_whole
from moca.foundation.dino import load_dino
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.weights import load_imagebind
from moca.foundation.manifest import bundled_weights
from moca.mining import purity
from moca.pipeline.encoder import frozen_towers
from moca.training.frozen import FrozenReader, sounding_rows
from moca.training.loop import train
from moca.training.losses.objective import Objective
from moca.training.losses.preparing import prepare
from moca.training.losses.pseudo_labels import Labels
from moca.training.losses.triplets import ImageFeatures
from moca.training.processes import make_accelerator
from moca.training.run import make_towers


def jobs(seeds: list[int], only: list[str] | None) -> list[tuple[str, str, int]]:
    """(encoder, row, seed): all seeds of the main rows, then the first seed of everything; frozen ones have none."""
    listed = [
        (encoder, name, seed)
        for seed in seeds
        for name, row in ROWS.items()
        for encoder in row.encoders
        if (row.config or seed == seeds[0]) and not (only and name not in only)
    ]
    return sorted(listed, key=lambda job: ROWS[job[1]].scored != "all")  # stable: nothing else changes its place


def run(encoder: ImageBind, row: Row, world: World, work: Path, *, mirror: bool) -> dict:
    """Train one row with one seed and score it."""
    began, facts, config = time.monotonic(), {}, row.config
    if row.reading:
        encoder.config = replace(encoder.config, reading=row.reading)
    if config is None:
        towers = frozen_towers(encoder)
    else:
        towers = make_towers(encoder, config)
        dino = load_dino("mini")
        images = ImageFeatures(features=dino.features, fingerprint=fingerprint(dino.model.state_dict()))
        prepared = prepare(encoder, world.train, config, work / "prepared", images=images)
        if row.ceiling:
            prepared = replace(prepared, labels=with_true_masks(prepared.labels, world.train_masks))
        if prepared.mined is not None:
            heard = [world.train_heard[row] for row in prepared.rows]
            facts["purity"] = purity(prepared.mined.table.indices, heard)
        objective = Objective(encoder, towers, world.train, config, prepared)
        folder = work / "runs" / str(time.time_ns())
        history = train(objective, config, folder, accelerator=make_accelerator("cpu"))
        facts["last"] = {name: history.recent(name) for name in history.columns if name != "step"}
        facts["config"] = config.to_dict()
        facts["trainable"] = count_trainable(towers)
    facts["train_s"] = round(time.monotonic() - began, 1)
    rows = sounding_rows(world.train)
    mean = FrozenReader(encoder).sounds(world.train, rows[:1_000]).mean(0)
    looker = Looker(
        encoder,
        towers.eval(),
        mean / np.linalg.norm(mean),
        mirror=mirror,
    )
    settled = settle(looker, world.validation, gated=row.scored != "brief")
    return {**facts, "validation": settled.scores, "test": score(looker, settled, world, scored=row.scored)}


def with_true_masks(labels: Labels, masks: np.ndarray) -> Labels:
    """The labels of the frames' own sounds replaced by the share of each patch that really sounds."""
    targets, side = labels.targets.copy(), labels.targets.shape[-1]
    for index, row in enumerate(labels.rows):
        share = cv2.resize((masks[row] > 0).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        targets[index, 0] = np.round(255 * share).astype(np.uint8)
    weights = labels.weights.copy()
    weights[:, 0] = 1
    return replace(labels, targets=targets, weights=weights)


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/learning"))
    parser.add_argument("--class-encoder", type=Path, default=Path(".cache/learning/class-token"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/learning"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", nargs="*", help="names of rows; all of them by default")
    parser.add_argument("--encoders", nargs="*", default=["dense", "class"])
    parser.add_argument("--part", default="0/1", help="i/n: this process does every n-th job, from i on")
    parser.add_argument("--mirror", action="store_true", help="average every frame with its mirror image")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    torch.manual_seed(0)
    world = draw_world(options.cache, Sizes())
    folders = {"dense": bundled_weights() / "mini" / "imagebind", "class": options.class_encoder}
    for encoder, folder in folders.items():
        write_text_whole(options.out / f"{encoder}.json", (folder / "training.json").read_text())
    wanted = [job for job in jobs([int(seed) for seed in options.seeds.split(",")], options.rows)]
    wanted = [job for job in wanted if job[0] in options.encoders]
    for encoder, name, seed in wanted[part::parts]:
        target = options.out / encoder / f"{name.replace(', ', ' - ')} - {seed}.json"
        if target.is_file():
            continue
        row = for_encoder(ROWS[name], encoder, seed)
        result = run(load_imagebind(folders[encoder]), row, world, options.work / encoder, mirror=options.mirror)
        text = json.dumps({"encoder": encoder, "row": name, "seed": seed, **result}, indent=1) + "\n"
        write_text_whole(target, text)
        own = {kind: round(result["test"][kind]["own"]["iou"], 3) for kind in ("s4", "ms3")}
        print(f"{encoder}: {name}, seed {seed}: {own}, {result['train_s']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
