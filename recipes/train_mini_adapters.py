"""Train the MoCA adapters of the mini ImageBind by the preset `moca`, and measure them with their controls.

    python -m recipes.train_mini_adapters -o weights/mini

Training sees frames and sounds alone: no mask, no label. The gate and the heat map's range are percentiles over
sounding training frames. The rule that turns scores into masks is chosen on validation frames, the card's figures
come from test frames. A seed that was trained before is not trained again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from moca.adapters import AdaptedTowers, count_trainable, fingerprint, load_adapters, save_adapters
from moca.cli.console import progress_bar
from moca.core.progress import named
from moca.core.settings import allowed_words
from moca.corpus.corpus import Corpus, corpus_from_arrays
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.imagebind.weights import load_imagebind
from moca.metrics.segmentation import mean_iou
from moca.pipeline.card import PIPELINE_FORMAT
from moca.pipeline.encoder import frozen_towers
from moca.pipeline.loading import Pipeline
from moca.pipeline.parts import ENTRIES
from moca.segmentation.coarse import coarse_mask
from moca.segmentation.config import SegmentConfig
from moca.segmenter import Segmenter
from moca.training.calibrate import calibrate, steps_of
from moca.training.config import TrainConfig, preset
from moca.training.loop import train
from moca.training.losses.objective import Objective
from moca.training.losses.preparing import prepare
from moca.training.processes import make_accelerator
from moca.training.run import make_towers
from recipes.cards import write_adapter_card
from recipes.measure import measure
from recipes.stage_pairs import ADAPTER_MIX, Pairs, PairsConfig, draw_pairs

NOTICE = "mini only knows Soundstage's drawn classes: on real videos its masks mean little."
LEVELS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Splits:
    """What is trained on, what choices are made on, and what is reported."""

    train: Corpus
    validation: Pairs
    test: Pairs


def train_seed(encoder: ImageBind, corpus: Corpus, config: TrainConfig, work: Path) -> tuple[AdaptedTowers, dict]:
    """Adapters of one seed and how their training went, or those that an earlier call left in work."""
    folder, record = work / f"seed-{config.seed}", work / f"seed-{config.seed}" / "record.json"
    encoder_print = fingerprint(encoder.state_dict())
    wanted = {"config": config.to_dict(), "corpus": corpus.fingerprint, "encoder": encoder_print}
    if record.is_file() and (stored := json.loads(record.read_text()))["made_of"] == wanted:
        towers = load_adapters(folder, encoder.image_tower, encoder.audio_tower, encoder_print)
        return towers, stored["made"]
    towers = make_towers(encoder, config)
    began = time.monotonic()
    with progress_bar() as progress:
        prepared = prepare(encoder, corpus, config, work / "prepared", progress=progress)
        history = train(
            Objective(encoder, towers, corpus, config, prepared),
            config,
            folder,
            resume=True,
            accelerator=make_accelerator("cpu"),
            fingerprints={"corpus": corpus.fingerprint, "encoder": encoder_print},
            progress=named(f"adapters, seed {config.seed}", progress),
        )
    losses = {name: history.recent(name) for name in history.columns if name != "step"}
    figures = {"minutes": round((time.monotonic() - began) / 60, 1), "last": losses}
    save_adapters(folder, towers, fingerprint=encoder_print)
    record.write_text(json.dumps({"made_of": wanted, "made": figures}) + "\n")
    return towers, figures


def choose_rule(segmenter: Segmenter, validation: Pairs) -> tuple[SegmentConfig, list[dict]]:
    """The rule with the best mean of S4 and MS3 IoU on validation frames: clusters or a level, mirrored or not."""
    tried = []
    cluster_rules = [rule for rule in allowed_words(SegmentConfig, "sounding") if rule != "level"]
    for mirror in (False, True):
        looking = Segmenter(segmenter.pipeline, config=replace(segmenter.config, mirror=mirror))
        features_of_kinds = {kind: _features(looking, validation, kind) for kind in ("s4", "ms3")}
        options = [{"clusters": k, "sounding": rule} for k, rule in itertools.product((4, 6), cluster_rules)]
        options += [{"sounding": "level", "level": level} for level in LEVELS]
        for option in track(options, f"choosing the rule, mirror {mirror}"):
            config = replace(looking.config, **option)
            scores = {kind: _coarse_iou(config, *features) for kind, features in features_of_kinds.items()}
            tried.append({"mirror": mirror, **option, **scores})
    best = max(tried, key=lambda row: row["s4"] + row["ms3"])
    chosen = {name: best[name] for name in ("clusters", "sounding", "level", "mirror") if name in best}
    return replace(segmenter.config, **chosen), tried


def _features(segmenter: Segmenter, pairs: Pairs, kind: str) -> tuple[np.ndarray, ...]:
    """Patch features, agreement, frames and true masks of every frame of a kind."""
    rows = np.flatnonzero(pairs.kinds == kind)
    parts = [segmenter.features(steps_of(pairs, part)) for part in np.array_split(rows, math.ceil(len(rows) / 32))]
    patches, agreement = (np.concatenate(part) for part in zip(*parts, strict=True))
    return patches, agreement, np.asarray(pairs.frames[rows]), np.asarray(pairs.masks[rows]) > 0


def _coarse_iou(config: SegmentConfig, *features: np.ndarray) -> float:
    masks = [coarse_mask(*frame, config)[0] for frame in zip(*features[:3], strict=True)]
    return mean_iou(np.stack(masks), features[3])


def settle(encoder: ImageBind, towers: AdaptedTowers, splits: Splits, *, refine: bool) -> tuple[Segmenter, list[dict]]:
    """A segmenter with its rule chosen and its gate calibrated."""
    pipeline = Pipeline(
        name="mini", encoder=encoder, towers=towers, adapted=True, segment=SegmentConfig(), licence="Apache-2.0"
    )
    segmenter = Segmenter(pipeline, config=SegmentConfig(gate=-1.0), batch_steps=32)
    chosen, tried = choose_rule(segmenter, splits.validation)
    segmenter = Segmenter(pipeline, config=chosen, batch_steps=32)
    settled = replace(calibrate(segmenter, splits.train), refine=refine)
    return Segmenter(pipeline, config=settled, batch_steps=32), tried


def reported(segmenter: Segmenter, test: Pairs) -> dict[str, dict[str, float]]:
    """Scores under the clips' own and under other sounds, with and without snapping."""
    scores = {}
    for name, refine in (("own", segmenter.config.refine), ("own, not snapped", False)):
        looking = Segmenter(segmenter.pipeline, config=replace(segmenter.config, refine=refine), batch_steps=32)
        scores[name] = measure(looking, test)
    return {**scores, "swapped": measure(segmenter, test, swapped=True)}


def main() -> None:
    """Train every seed, measure with controls, save the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/mini-adapters"))
    parser.add_argument("--steps", type=int, default=preset("moca").steps)
    parser.add_argument("--frames", type=int, default=6_000)
    parser.add_argument("--held-out", type=int, default=1_000, help="test frames; validation has 40%% as many")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--seeds", default="0,1,2", help="of the adapters; the first is shipped")
    options = parser.parse_args()
    mix = tuple(ADAPTER_MIX.items())
    counts = {"train": options.frames, "val": options.held_out * 2 // 5, "test": options.held_out}
    drawn = {
        name: draw_pairs(
            PairsConfig(count=count, split=f"adapters-{name}", mix=mix), options.cache, workers=options.workers
        )
        for name, count in counts.items()
    }
    splits = Splits(corpus_from_arrays(drawn["train"].frames, drawn["train"].waves), drawn["val"], drawn["test"])
    encoder = load_imagebind(options.out / "imagebind")
    configs = [preset("moca", steps=options.steps, seed=int(seed)) for seed in options.seeds.split(",")]
    runs, shipped = [], None
    for config in configs:
        towers, figures = train_seed(encoder, splits.train, config, options.work)
        segmenter, tried = settle(encoder, towers.eval(), splits, refine=True)
        runs.append({"seed": config.seed, **figures, "rules": tried, **reported(segmenter, splits.test)})
        shipped = shipped or segmenter
    frozen, tried = settle(encoder, frozen_towers(encoder), splits, refine=False)
    frozen_snapped = Segmenter(frozen.pipeline, config=replace(frozen.config, refine=True), batch_steps=32)
    towers = shipped.pipeline.towers
    save_adapters(
        options.out / "adapters",
        towers,
        fingerprint=fingerprint(encoder.state_dict()),
        extra={"segment": asdict(shipped.config), "training": configs[0].to_dict()},
    )
    card = {
        "training": configs[0].to_dict(),
        "frames": options.frames,
        "mix": dict(mix),
        "blocks": len(towers.plan.image_blocks),
        "trainable_parameters": count_trainable(towers),
        "test_frames": counts["test"],
        "seeds": runs,
        "frozen": {
            "rules": tried,
            **reported(frozen, splits.test),
            "own, snapped": measure(frozen_snapped, splits.test),
        },
    }
    (options.out / "adapters" / "training.json").write_text(json.dumps(card, indent=1) + "\n")
    write_adapter_card(options.out / "adapters")
    card_file = options.out / "pipeline.json"
    older_card = json.loads(card_file.read_text()) if card_file.is_file() else {}
    pipeline = {
        "format": PIPELINE_FORMAT,
        "name": "mini",
        "encoder": "imagebind",
        "adapters": "adapters",
        "frozen_segment": asdict(frozen.config),
        "licence": "Apache-2.0",
        "notice": NOTICE,
        **{
            name: older_card[name] for name in ENTRIES if name in older_card
        },  # of the mask proposals, which are others' to say
    }
    card_file.write_text(json.dumps(pipeline, indent=1) + "\n")
    print((options.out / "adapters" / "README.md").read_text())


if __name__ == "__main__":
    main()
