"""Train the mini DINO on Soundstage: two takes of one object belong together; no masks, no labels, no sound.

    python -m recipes.train_mini_dino -o weights/mini/dino

First a small convolution net learns which of many takes show one object (`moca.stage.takes`): two views of one frame
share its ground, so they teach little of what stands on it. Then DINOv3's ConvNeXt, whose format is a published one,
is taught the features that the net finds at every place; from scratch it hardly starts in so short a time. A stopped
run goes on from its last checkpoint as if it had not been stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

from moca.foundation.dino import Dino, save_dino
from recipes.dino_card import measure_affinity, measure_features, write_dino_card
from recipes.stage_pairs import Pairs, PairsConfig, draw_pairs
from recipes.stage_takes import TakesConfig, draw_takes
from recipes.starts import seeded, widened
from recipes.stepwise import Stepwise
from recipes.takes_net import CELL_PX, TakesNet
from recipes.takes_views import ViewsConfig, draw_views, takes_loss

TRAIN_SPLIT, TEST_SPLIT = "takes-train", "dino-test"
TEST_MIX = (("single", 0.6), ("s4", 0.4))


@dataclass(frozen=True, kw_only=True)
class StepsRecipe:
    """One of the two trainings.

    steps, batch: optimiser steps and objects per step. lr, weight_decay, warmup: AdamW with warm-up and cosine decay
    to a hundredth; at twice this rate a run forgot after 230 steps what it had found. views: see ViewsConfig. seed: of
    weights, order and views.
    """

    steps: int
    batch: int = 64
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 20
    views: ViewsConfig = field(default_factory=ViewsConfig)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TakesRecipe(StepsRecipe):
    """How the net learns to find the other take.

    width, blocks: of the net. temperature: of the loss. hidden, projected: sizes of the head, which is left behind.
    """

    width: int = 128
    blocks: int = 4
    temperature: float = 0.1
    hidden: int = 256
    projected: int = 128


class FindingTakes(Stepwise):
    """The net learns which two takes show one object, by a projection of the mean of its map."""

    recorded = ("loss", "found")

    def __init__(self, recipe: TakesRecipe):
        with seeded(recipe.seed):
            net = TakesNet(recipe.width, recipe.blocks)
            head = nn.Sequential(
                nn.Linear(recipe.width, recipe.hidden, bias=False),
                nn.BatchNorm1d(recipe.hidden),
                nn.GELU(),
                nn.Linear(recipe.hidden, recipe.projected, bias=False),
                # Without this norm all pictures soon look the same: the nearest way from the start, where those with a
                # like ground are alike, to chance.
                nn.BatchNorm1d(recipe.projected, affine=False),
            )
        super().__init__(recipe, nn.ModuleDict({"net": net, "head": head}))

    def losses(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        views = draw_views(rows, self.recipe.views, generator)
        projected = self.network["head"](self.network["net"](views).mean((2, 3)))
        return takes_loss(projected, 1 / self.recipe.temperature)


class Imitating(Stepwise):
    """A ConvNeXt learns the features that a net finds at every place, as mean square over their variance."""

    def __init__(self, recipe: StepsRecipe, net: TakesNet, config: DINOv3ConvNextConfig):
        super().__init__(recipe, random_convnext(config, recipe.seed))
        self.net = net.eval().requires_grad_(False)

    def losses(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        views = draw_views(rows, self.recipe.views, generator)
        wanted = self.net(views).flatten(2).transpose(1, 2)
        found = self.network(doubled(views, self.network.config)).last_hidden_state[:, 1:]
        return ((found - wanted).square().mean() / wanted.var(),)


def mini_config(width: int = 128) -> DINOv3ConvNextConfig:
    """A ConvNeXt of 0.5 million parameters that reads 112-pixel pictures, doubled, into a map of 14 x 14.

    Drawn at twice their size, pictures are seen by the stem in squares of 2 pixels: in squares of 4 the parts of an
    object are lost. The norms' epsilon is large so that a flat ground, whose values differ little, stays small beside
    an object instead of counting as much in the mean of the patches.
    """
    return DINOv3ConvNextConfig(
        hidden_sizes=[width // 4, width // 2, width],  # three stages, so that a patch has 16 pixels
        depths=[1, 1, 3],
        layer_scale_init_value=0.5,  # a deep net's 1e-6 would keep so short a run from starting
        layer_norm_eps=1.0,
        image_size=224,
    )


def random_convnext(config: DINOv3ConvNextConfig, seed: int) -> DINOv3ConvNextModel:
    """An untrained ConvNeXt, ruled by the seed alone."""
    with seeded(seed):
        model = widened(DINOv3ConvNextModel(config))
        for module in model.modules():
            if isinstance(module, nn.Conv2d):  # Glorot's spread is for a filter that sees all channels
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    return model


def doubled(views: Tensor, config: DINOv3ConvNextConfig) -> Tensor:
    """Views as large as makes a ConvNeXt's map that of the net, as `Dino` would enlarge a frame."""
    scale = 4 * 2 ** (config.num_stages - 1) / CELL_PX
    return nn.functional.interpolate(views, scale_factor=scale, mode="bilinear") if scale != 1 else views


def train(takes_recipe: TakesRecipe, recipe: StepsRecipe, takes: np.ndarray, work: Path) -> tuple[Stepwise, Stepwise]:
    """Run both trainings on takes (objects, 2, S, S, 3) uint8; their checkpoints lie in the folder work."""
    finding = FindingTakes(takes_recipe)
    finding.run(takes, work / "takes.pt", what="finding takes")
    imitating = Imitating(recipe, finding.network["net"], mini_config(takes_recipe.width))
    imitating.run(takes, work / "imitating.pt", what="mini DINO")
    return finding, imitating


def measured(finding: Stepwise, imitating: Stepwise, test: Pairs, held_out: PairsConfig) -> dict:
    """What a run's record says: its losses, and what its features are worth beside those it began from."""
    seed, model = imitating.recipe.seed, imitating.network
    models = {"trained": Dino(model), "untrained": Dino(random_convnext(model.config, seed))}
    return {
        "seed": seed,
        "finding": finding.told(),
        "imitating": imitating.told(),
        "features": measure_features(models, test, held_out),
        "affinity": measure_affinity(models, test),
    }


def main() -> None:
    """Draw, train once a seed, save the first as float16 safetensors with what was measured of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini/dino"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/mini-dino"))
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--steps", type=int, nargs=2, default=[650, 300], help="of the net and of the ConvNeXt")
    parser.add_argument("--batch", type=int, default=StepsRecipe.batch)
    parser.add_argument("--held-out", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="the first is saved")
    options = parser.parse_args()
    held_out = PairsConfig(count=options.held_out, split=TEST_SPLIT, mix=TEST_MIX)
    test = draw_pairs(held_out, options.cache, workers=options.workers)
    drawn = TakesConfig(count=options.objects, split=TRAIN_SPLIT)
    takes, runs = draw_takes(drawn, options.cache, workers=options.workers), []
    for seed in options.seeds:
        work = options.work / f"seed-{seed}"
        work.mkdir(parents=True, exist_ok=True)
        first = TakesRecipe(steps=options.steps[0], batch=options.batch, seed=seed)
        then = StepsRecipe(steps=options.steps[1], batch=max(1, options.batch // 2), seed=seed)
        finding, imitating = train(first, then, takes, work)
        if not runs:
            save_dino(options.out, imitating.network, dtype=torch.float16)
        runs.append(measured(finding, imitating, test, held_out))
    card = {
        "objects": options.objects,
        "takes_recipe": asdict(first),
        "recipe": asdict(then),
        "parameters": sum(p.numel() for p in imitating.network.parameters()),
        "threads": torch.get_num_threads(),
        "split": TEST_SPLIT,
        "mix": dict(TEST_MIX),
        "runs": runs,
    }
    (options.out / "training.json").write_text(json.dumps(card, indent=1) + "\n")
    write_dino_card(options.out)
    print((options.out / "README.md").read_text())


if __name__ == "__main__":
    main()
