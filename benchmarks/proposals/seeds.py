"""Adapters of more seeds, trained as mini's own were, for the study of proposals.

    python -m benchmarks.proposals.seeds --seeds 1,2          # .cache/proposals/seed-1, .cache/proposals/seed-2

The rule by which pixels sound is the shipped one, chosen with the first seed; the gates are set anew, without labels.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from moca.adapters import fingerprint, save_adapters
from moca.corpus.corpus import corpus_from_arrays
from moca.pipeline.loading import load_pipeline
from moca.segmenter import Segmenter
from moca.training.calibrate import calibrate
from moca.training.config import preset
from recipes.stage_pairs import ADAPTER_MIX, PairsConfig, draw_pairs
from recipes.train_mini_adapters import train_seed


def main() -> None:
    """Train, set the gates, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path(".cache/proposals"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/mini-adapters"))
    parser.add_argument("--frames", type=int, default=6_000)
    parser.add_argument("--seeds", default="1,2")
    options = parser.parse_args()
    wanted = PairsConfig(count=options.frames, split="adapters-train", mix=tuple(ADAPTER_MIX.items()))
    pairs = draw_pairs(wanted, options.cache)
    corpus = corpus_from_arrays(pairs.frames, pairs.waves)
    shipped = load_pipeline("mini", proposals={"kind": "none"})
    for seed in map(int, options.seeds.split(",")):
        towers, _ = train_seed(shipped.encoder, corpus, preset("moca", seed=seed), options.work)
        pipeline = replace(shipped, towers=towers.eval())
        open_gates = replace(shipped.segment, gate=-1.0, gate_frozen=-1.0)
        settings = calibrate(Segmenter(pipeline, config=open_gates, batch_steps=32), corpus)
        save_adapters(
            options.out / f"seed-{seed}",
            towers,
            fingerprint=fingerprint(shipped.encoder.state_dict()),
            extra={"segment": asdict(settings)},
        )
        print(f"seed {seed}: gates {settings.gate}, {settings.gate_frozen}", flush=True)


if __name__ == "__main__":
    main()
