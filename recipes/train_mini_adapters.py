"""Train the first MoCA adapters on the mini ImageBind: pixel matching on triplets mined by sound.

    python -m recipes.train_mini_adapters -o weights/mini

Positives are frames whose sounds are neighbours in the frozen audio embedding, negatives come from the batch;
no mask and no label is read. The gate and the heat map's range are percentiles over the sounding training
frames. The sounding rule and k are chosen on validation frames, the card's figures come from test frames.
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
import torch
from rich.progress import Progress, TextColumn, track
from torch import Tensor

from adapters import AdaAVConfig, AdaptedTowers, count_trainable, fingerprint, make_plan, save_adapters
from moca.foundation.checkpoints import load_imagebind
from moca.foundation.imagebind import ImageBind
from moca.foundation.preprocessing import preprocess_frames
from moca.foundation.zoo import PIPELINE_FORMAT, Pipeline, frozen_towers
from moca.matching import MatchingConfig, triplet_loss
from moca.media.logmel import log_mel
from moca.metrics.segmentation import mean_iou
from moca.mining import mine_triplets, neighbour_table
from moca.segmenter import Segmenter
from moca.segmenting import SegmentConfig, coarse_mask, support
from recipes.cards import write_adapter_card
from recipes.measure import measure, steps_of
from recipes.stage_pairs import ADAPTER_MIX, SILENCE_RMS, Pairs, PairsConfig, draw_pairs

NOTICE = "mini only knows Soundstage's drawn classes: on real videos its masks mean little."


@dataclass(frozen=True, kw_only=True)
class AdapterRecipe:
    """Everything the result depends on; see the fields' names in the paper's section 4."""

    frames: int = 6_000
    steps: int = 250
    batch: int = 16
    lr: float = 1e-4
    neighbours: int = 20
    blocks: int = 4
    bottleneck: int = 32
    latents: int = 16
    seed: int = 0


def sounding_rows(pairs: Pairs) -> np.ndarray:
    """Rows that are loud enough to be anchors; the level is all that is looked at."""
    return np.flatnonzero(np.std(pairs.sound(slice(None)), axis=1) > SILENCE_RMS)


@torch.no_grad()
def audio_directions(encoder: ImageBind, pairs: Pairs) -> np.ndarray:
    """Frozen audio embeddings (N, E) of all pairs."""
    parts = []
    for rows in np.array_split(np.arange(len(pairs.waves)), math.ceil(len(pairs.waves) / 256)):
        waves = torch.from_numpy(pairs.sound(rows))
        parts.append(encoder.audio_direction(encoder.embed_audio(log_mel(waves, encoder.config.log_mel))))
    return torch.cat(parts).numpy()


def train(
    encoder: ImageBind, pairs: Pairs, recipe: AdapterRecipe, matching: MatchingConfig
) -> tuple[AdaptedTowers, dict]:
    """Train the adapters; returns them and how the loss went."""
    image, audio = encoder.image_tower, encoder.audio_tower
    plan = make_plan("last", recipe.blocks, image.depth, audio.depth)
    sizes = AdaAVConfig(bottleneck=recipe.bottleneck, latents=recipe.latents)
    towers = AdaptedTowers(image, audio, plan, sizes, generator=torch.Generator().manual_seed(recipe.seed))
    rows = sounding_rows(pairs)
    table = neighbour_table(audio_directions(encoder, pairs)[rows], recipe.neighbours)
    optimiser = torch.optim.Adam(towers.parameters(), lr=recipe.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
    generator = np.random.default_rng([recipe.seed, 2])
    history: dict[str, list[float]] = {"loss": [], "active": []}
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[note]}")) as progress:
        task = progress.add_task("adapters", total=recipe.steps, note="")
        for _ in range(recipe.steps):
            anchors = generator.choice(len(rows), recipe.batch, replace=False)
            triplet = (anchors, *mine_triplets(anchors, table, generator))
            loss, active = triplet_loss(
                *_feature_maps(encoder, towers, pairs, [rows[part] for part in triplet]), matching
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            history["loss"].append(loss.item())
            history["active"].append(active.item())
            recent = {name: float(np.mean(values[-50:])) for name, values in history.items()}
            progress.update(task, advance=1, note=f"loss {recent['loss']:.3f}, active {recent['active']:.0%}")
    return towers, history


def _feature_maps(encoder: ImageBind, towers: AdaptedTowers, pairs: Pairs, triplet: list[np.ndarray]) -> list[Tensor]:
    """Anchor, positive and negative features (B, D, G, G), all enhanced with the anchor's sound."""
    waves = torch.from_numpy(pairs.sound(triplet[0]))
    context = towers.hear(log_mel(waves, encoder.config.log_mel))
    distinct, where = np.unique(np.concatenate(triplet), return_inverse=True)  # an image may play several roles
    prefix = towers.prefix(preprocess_frames(pairs.frames[distinct], encoder.config.image_size))
    batch = len(triplet[0])
    tokens = towers.suffix(prefix[torch.from_numpy(where)], context.select(torch.arange(batch).repeat(3)))[:, 1:]
    side = math.isqrt(tokens.shape[1])
    return list(tokens.transpose(1, 2).unflatten(2, (side, side)).split(batch))


def calibrate(segmenter: Segmenter, pairs: Pairs, *, count: int = 1_000) -> SegmentConfig:
    """Gate at the 5th percentile of support over sounding frames; heat from their median to 99.5% cosine."""
    rows = sounding_rows(pairs)[:count]
    scores, cosines = [], []
    for part in np.array_split(rows, math.ceil(len(rows) / 32)):
        _, found = segmenter.features(steps_of(pairs, part))
        scores += [support(cosine) for cosine in found]
        cosines.append(found.ravel())
    low, high = np.percentile(np.concatenate(cosines), [50, 99.5])
    gate = float(np.percentile(scores, 5))
    return replace(
        segmenter.config, gate=round(gate, 4), heat_low=round(float(low), 4), heat_high=round(float(high), 4)
    )


def choose_rule(segmenter: Segmenter, validation: Pairs) -> tuple[SegmentConfig, list[dict]]:
    """The k, sounding rule and mirroring with the best mean of S4 and MS3 IoU on validation frames."""
    tried = []
    for mirror in (False, True):
        looking = Segmenter(segmenter.pipeline, config=replace(segmenter.config, mirror=mirror))
        features = {kind: _features(looking, validation, kind) for kind in ("s4", "ms3")}
        options = itertools.product((3, 4, 6), ("best", "ratio", "otsu"))
        for clusters, rule in track(list(options), f"choosing k and rule, mirror {mirror}"):
            config = replace(looking.config, clusters=clusters, sounding=rule)
            found = {kind: _coarse_iou(config, *seen) for kind, seen in features.items()}
            tried.append({"clusters": clusters, "sounding": rule, "mirror": mirror, **found})
    best = max(tried, key=lambda row: row["s4"] + row["ms3"])
    chosen = {name: best[name] for name in ("clusters", "sounding", "mirror")}
    return replace(segmenter.config, **chosen), tried


def _features(segmenter: Segmenter, pairs: Pairs, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patch features, cosines and true masks of every frame of a kind."""
    rows = np.flatnonzero(pairs.kinds == kind)
    parts = [segmenter.features(steps_of(pairs, part)) for part in np.array_split(rows, math.ceil(len(rows) / 32))]
    patches, cosines = (np.concatenate(part) for part in zip(*parts, strict=True))
    return patches, cosines, np.asarray(pairs.masks[rows]) > 0


def _coarse_iou(config: SegmentConfig, patches: np.ndarray, cosines: np.ndarray, truth: np.ndarray) -> float:
    size = truth.shape[1:]
    masks = [coarse_mask(*seen, size, config)[0] for seen in zip(patches, cosines, strict=True)]
    return mean_iou(np.stack(masks), truth)


def settle(
    name: str, encoder: ImageBind, towers: AdaptedTowers, train_pairs: Pairs, validation: Pairs
) -> tuple[Segmenter, list[dict]]:
    """A segmenter with its gate calibrated and its rule chosen."""
    pipeline = Pipeline(
        name=name,
        encoder=encoder,
        towers=towers,
        adapted=name != "frozen",
        segment=SegmentConfig(),
        licence="Apache-2.0",
    )
    segmenter = Segmenter(pipeline, batch_steps=32)
    segmenter.config = replace(segmenter.config, gate=-1.0)
    segmenter.config, tried = choose_rule(segmenter, validation)
    segmenter.config = calibrate(segmenter, train_pairs)  # of the features as they are finally read
    return segmenter, tried


def run_seed(
    encoder: ImageBind, recipe: AdapterRecipe, matching: MatchingConfig, splits: dict[str, Pairs]
) -> tuple[Segmenter, dict]:
    """Train, settle and measure one seed; returns the segmenter and what to record."""
    began = time.monotonic()
    towers, history = train(encoder, splits["train"], recipe, matching)
    minutes = (time.monotonic() - began) / 60
    segmenter, tried = settle("mini", encoder, towers.eval(), splits["train"], splits["val"])
    active = history["active"]
    record = {
        "seed": recipe.seed,
        "minutes": round(minutes, 1),
        "active_first_last": [float(np.mean(active[:50])), float(np.mean(active[-50:]))],
        "rules_on_validation": tried,
        "own": measure(segmenter, splits["test"]),
        "swapped": measure(segmenter, splits["test"], swapped=True),
    }
    return segmenter, record


def main() -> None:
    """Train every seed, measure with controls, save the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--steps", type=int, default=AdapterRecipe.steps)
    parser.add_argument("--frames", type=int, default=AdapterRecipe.frames)
    parser.add_argument("--held-out", type=int, default=1_000, help="test frames; validation has 40%% as many")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--seeds", default="0,1,2", help="of the adapters; the first is shipped")
    options = parser.parse_args()
    matching, mix = MatchingConfig(ssd_scale="mean"), tuple(ADAPTER_MIX.items())
    counts = {"train": options.frames, "val": options.held_out * 2 // 5, "test": options.held_out}
    splits = {
        name: draw_pairs(
            PairsConfig(count=count, split=f"adapters-{name}", mix=mix), options.cache, workers=options.workers
        )
        for name, count in counts.items()
    }
    encoder = load_imagebind(options.out / "imagebind")
    recipes = [
        AdapterRecipe(steps=options.steps, frames=options.frames, seed=int(seed)) for seed in options.seeds.split(",")
    ]
    runs = [run_seed(encoder, recipe, matching, splits) for recipe in recipes]
    frozen, _ = settle("frozen", encoder, frozen_towers(encoder), splits["train"], splits["val"])
    shipped = runs[0][0]
    towers = shipped.pipeline.towers
    save_adapters(
        options.out / "adapters",
        towers,
        fingerprint=fingerprint(encoder.state_dict()),
        extra={"segment": asdict(shipped.config), "recipe": asdict(recipes[0]), "matching": asdict(matching)},
    )
    card = {
        "recipe": asdict(recipes[0]),
        "matching": asdict(matching),
        "mix": dict(mix),
        "trainable_parameters": count_trainable(towers),
        "test_frames": counts["test"],
        "seeds": [record for _, record in runs],
        "frozen": {"own": measure(frozen, splits["test"]), "swapped": measure(frozen, splits["test"], swapped=True)},
    }
    (options.out / "adapters" / "training.json").write_text(json.dumps(card, indent=1) + "\n")
    write_adapter_card(options.out / "adapters")
    pipeline = {
        "format": PIPELINE_FORMAT,
        "name": "mini",
        "encoder": "imagebind",
        "adapters": "adapters",
        "frozen_segment": asdict(frozen.config),
        "licence": "Apache-2.0",
        "notice": NOTICE,
    }
    (options.out / "pipeline.json").write_text(json.dumps(pipeline, indent=1) + "\n")
    print((options.out / "adapters" / "README.md").read_text())


if __name__ == "__main__":
    main()
