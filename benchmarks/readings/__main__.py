"""How well each reading of a frozen encoder finds what sounds, on validation frames of Soundstage.

    python -m benchmarks.readings                                       # mini as it ships
    python -m benchmarks.readings --name new --encoder FOLDER --images FOLDER

Writes docs/results/readings/NAME.json, and docs/readings.md from all that lie there. No adapters, no training; masks
are read to score alone. Any model that makes mask proposals can be measured: --model RUN, or huge once its weights are
here.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.proposals.world import KINDS, SIZE, kept_proposals
from benchmarks.readings.measuring import measure
from benchmarks.readings.page import write_page
from benchmarks.readings.rows import READINGS
from moca.adapters import fingerprint
from moca.core.files import write_text_whole
from moca.foundation.catalogue import CATALOGUE, load_role
from moca.pipeline.encoder import base_model, frozen_towers
from moca.pipeline.loading import Pipeline, load_pipeline
from moca.pipeline.models import load_models
from recipes.stage_pairs import Pairs, PairsConfig, draw_pairs

SPLIT = "zoo-val"


def frames_of(cache: Path, count: int) -> dict[str, Pairs]:
    """Validation frames of each kind, on which choices may be made."""
    configs = {kind: PairsConfig(count=count, split=f"{SPLIT}-{kind}", size=SIZE, mix=((kind, 1.0),)) for kind in KINDS}
    return {kind: draw_pairs(config, cache, workers=1) for kind, config in configs.items()}


def with_encoder(pipeline: Pipeline, folder: Path | None) -> Pipeline:
    """The pipeline, frozen, with the encoder of a folder instead of its own."""
    if folder is None:
        return pipeline
    encoder = load_role("encoder", folder)
    prints = {**pipeline.fingerprints, "encoder": fingerprint(encoder.state_dict())}
    return replace(pipeline, encoder=encoder, towers=frozen_towers(encoder), fingerprints=prints)


def main() -> None:
    """Measure every reading that is not there yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", help="of the results; the model's by default")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--encoder", type=Path, help="folder of another encoder than the model's")
    parser.add_argument("--images", help="another DINO than the model's: a name, a folder or a hub id")
    parser.add_argument("--readings", nargs="+", choices=list(READINGS), default=list(READINGS))
    parser.add_argument("--frames", type=int, default=200, help="of S4 and of MS3 each")
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/readings"))
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/readings"))
    options = parser.parse_args()
    pairs = frames_of(options.cache, options.frames)
    pipeline = load_pipeline(options.model, adapters=None, proposals={"kind": "boxes"})
    proposals = {
        kind: list(
            kept_proposals(pipeline.proposer, each, _makers(pipeline), options.work / f"{SPLIT}-{kind}-{options.model}")
        )
        for kind, each in pairs.items()
    }
    pipeline = with_encoder(pipeline, options.encoder)
    named = options.images or CATALOGUE[base_model(options.model) or options.model].images
    images, prints = load_models({"images": named}, "cpu")
    target = options.out / f"{options.name or Path(options.model).name}.json"
    known = {
        "pooling": pipeline.encoder.config.pooling,
        "frames": options.frames,
        "proposals": {kind: sum(map(len, found)) for kind, found in proposals.items()},
        "true area": {kind: float((np.asarray(each.masks) > 0).mean()) for kind, each in pairs.items()},
        "fingerprints": {"encoder": pipeline.fingerprints["encoder"], **prints},
    }
    done = json.loads(target.read_text()) if target.is_file() else {}
    rows = done["readings"] if {name: done.get(name) for name in known} == known else {}
    for name in options.readings:
        if name not in rows:
            rows[name] = measure(pipeline, READINGS[name], images["images"], pairs, proposals)
            write_text_whole(target, json.dumps({**known, "readings": rows}, indent=1) + "\n")
            print(name, {kind: rows[name]["centred"][kind]["auc"] for kind in KINDS}, flush=True)
    write_page(options.out, Path("docs/readings.md"))


def _makers(pipeline: Pipeline) -> dict[str, str]:
    """Fingerprints of what makes proposals, by which those that were kept are known."""
    return {role: pipeline.fingerprints[role] for role in ("masks", "objects")}


if __name__ == "__main__":
    main()
