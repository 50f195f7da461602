"""Train the mini DINO on Soundstage: self-distillation between views of a frame; no masks, no labels, no sound.

    python -m recipes.train_mini_dino -o weights/mini/dino

A student sees global and local views of a frame and has to guess what its own slowly moving average, the
teacher, makes of the global ones. The teacher is what is kept. Everything random follows from the seed and
the step, and a stopped run goes on from its last checkpoint as if it had not been stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import ViTConfig, ViTModel

from moca.errors import InputError
from moca.foundation.dino import Dino, save_dino
from recipes.dino_card import measure_features, write_dino_card
from recipes.dino_loss import (
    DinoHead,
    ViewsConfig,
    dino_loss,
    draw_views,
    entropies,
    moved_center,
    teacher_targets,
    update_teacher,
)
from recipes.schedule import cosine, learning_rate, rows_of
from recipes.stage_pairs import ENCODER_MIX, Pairs, PairsConfig, draw_pairs
from recipes.starts import seeded, waves_of_places
from recipes.states import read_state, write_state

TEST_SPLIT = "dino-test"  # encoder-val was looked at when the recipe was made
RECORDED = ("loss", "sure", "used")


@dataclass(frozen=True, kw_only=True)
class DinoRecipe:
    """Everything the result depends on.

    frames: drawn frames. kinds: of scenes that are learnt from; one large object, like the photographs that DINO
    was published on. steps, batch: optimiser steps and frames per step. lr, weight_decay (from, to), warmup,
    clip: AdamW with warm-up, cosine decay of lr to a hundredth and cosine rise of weight decay, gradient norm
    clipped. teacher_momentum: rises to 1 along a cosine. center_momentum: of the running mean of the teacher's
    logits. student_temperature, teacher_temperature: of the two distributions. still: first steps in which the
    prototypes do not move. hidden, bottleneck, prototypes: sizes of the head. views: see ViewsConfig. seed: of
    weights, order, views and world.
    """

    frames: int = 40_000
    kinds: tuple[str, ...] = ("single",)
    steps: int = 3_000
    batch: int = 32
    lr: float = 1e-3
    weight_decay: tuple[float, float] = (0.04, 0.4)
    warmup: int = 200
    clip: float = 3.0
    teacher_momentum: float = 0.99
    center_momentum: float = 0.9
    student_temperature: float = 0.1
    teacher_temperature: float = 0.03
    still: int = 100
    hidden: int = 512
    bottleneck: int = 64
    prototypes: int = 512
    views: ViewsConfig = field(default_factory=ViewsConfig)
    seed: int = 0


def mini_config() -> ViTConfig:
    """A ViT of 1.2 million parameters that reads 112-pixel pictures in 14 x 14 patches."""
    return ViTConfig(
        hidden_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=512,
        image_size=112,
        patch_size=8,
        layer_norm_eps=1e-6,  # DINO's own
        initializer_range=0.05,  # between D^-0.5 and the 0.02 of wider models
    )


def random_vit(config: ViTConfig, seed: int) -> ViTModel:
    """An untrained ViT, ruled by the seed alone."""
    with seeded(seed):
        model = ViTModel(config, add_pooling_layer=False)
    with torch.no_grad():
        side = config.image_size // config.patch_size
        model.embeddings.position_embeddings.copy_(waves_of_places(config.hidden_size, side, side))
    return model


class Network(nn.Module):
    """A ViT and its projection head: views (B, 3, S, S) of any side to logits (B, P)."""

    def __init__(self, config: ViTConfig, recipe: DinoRecipe):
        super().__init__()
        self.vit = random_vit(config, recipe.seed)
        sizes = {"hidden": recipe.hidden, "bottleneck": recipe.bottleneck, "prototypes": recipe.prototypes}
        with seeded(recipe.seed):
            self.head = DinoHead(config.hidden_size, **sizes)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.vit(pixels, interpolate_pos_encoding=True).last_hidden_state
        return self.head(tokens[:, 0])


class Training:
    """Student, teacher, centre and optimiser, and what was recorded of every step done."""

    def __init__(self, recipe: DinoRecipe, config: ViTConfig):
        self.recipe = recipe
        self.student, self.teacher = Network(config, recipe), Network(config, recipe).requires_grad_(False)
        self.center = torch.zeros(recipe.prototypes)
        matrices = [p for p in self.student.parameters() if p.ndim > 1]
        vectors = [p for p in self.student.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}])
        self.history: dict[str, list[float]] = {name: [] for name in RECORDED}
        self.seconds = 0.0

    @property
    def done(self) -> int:
        return len(self.history["loss"])

    def step(self, frames: Tensor) -> None:
        """One step on frames (N, H, W, 3) uint8."""
        recipe, step = self.recipe, self.done
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        whole, parts = draw_views(frames, recipe.views, generator)
        # On CPUs the fused attention's backward pass takes longer than all the rest of the step together.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.no_grad():
                taught = self.teacher(whole).float()
            guessed = torch.cat([self.student(whole), self.student(parts)]).float()
        targets = teacher_targets(taught, self.center, recipe.teacher_temperature)
        by_view = (-1, len(frames), recipe.prototypes)
        loss = dino_loss(guessed.reshape(by_view), targets.reshape(by_view), recipe.student_temperature)
        self._descend(loss)
        self.center = moved_center(self.center, taught, recipe.center_momentum)
        update_teacher(self.teacher, self.student, cosine(recipe.teacher_momentum, 1.0, step / recipe.steps))
        for name, value in zip(RECORDED, (loss.item(), *entropies(targets)), strict=True):
            self.history[name].append(value)

    def _descend(self, loss: Tensor) -> None:
        recipe, step = self.recipe, self.done
        matrices, vectors = self.optimiser.param_groups
        matrices["lr"] = vectors["lr"] = learning_rate(step, recipe)
        matrices["weight_decay"] = cosine(*recipe.weight_decay, step / recipe.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if step < recipe.still:
            self.student.head.prototypes.grad = None
        nn.utils.clip_grad_norm_(self.student.parameters(), recipe.clip)
        self.optimiser.step()

    def save(self, path: Path) -> None:
        """Write the whole state, so that `resume` goes on where it was."""
        state = {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "center": self.center,
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
            "seconds": self.seconds,
        }
        write_state(path, self.recipe, state)

    def resume(self, path: Path) -> None:
        """Take over a saved state; InputError when it is another recipe's."""
        state = read_state(path, self.recipe)
        self.student.load_state_dict(state["student"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.center, self.history, self.seconds = state["center"], state["history"], state["seconds"]


def train(recipe: DinoRecipe, pairs: Pairs, out: Path, config: ViTConfig, *, save_every: int = 100) -> Training:
    """Run the recipe on the frames of some pairs; their sounds and masks are not looked at.

    The state after every `save_every` steps, and at the end, lies in out/checkpoint.pt, and is gone on from.
    """
    chosen = np.flatnonzero(np.isin(pairs.kinds, recipe.kinds))
    if len(chosen) < recipe.batch:
        kinds = ", ".join(recipe.kinds)
        raise InputError(f"frames of {kinds} must fill a batch ({recipe.batch}), got {len(chosen)}; draw more.")
    training, checkpoint = Training(recipe, config), out / "checkpoint.pt"
    if checkpoint.is_file():
        training.resume(checkpoint)
    began = time.monotonic() - training.seconds
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[note]}"))
    with Progress(*columns) as progress:
        task = progress.add_task("mini DINO", total=recipe.steps, completed=training.done, note="")
        while training.done < recipe.steps:
            training.step(torch.from_numpy(pairs.frames[rows_of(training.done, chosen, recipe)]))
            recent = {name: np.mean(values[-50:]) for name, values in training.history.items()}
            note = "loss {loss:.3f}, sure of {sure:.0f}, using {used:.0f} prototypes".format(**recent)
            progress.update(task, advance=1, note=note)
            if training.done % save_every == 0 or training.done == recipe.steps:
                training.seconds = time.monotonic() - began
                training.save(checkpoint)
                if not progress.console.is_terminal:
                    print(f"step {training.done}: {note}", flush=True)
    return training


def main() -> None:
    """Draw, train, save the teacher as float16 safetensors with what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini/dino"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/mini-dino"))
    parser.add_argument("--steps", type=int, default=DinoRecipe.steps)
    parser.add_argument("--frames", type=int, default=DinoRecipe.frames)
    parser.add_argument("--held-out", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    recipe = DinoRecipe(steps=options.steps, frames=options.frames, seed=options.seed)
    options.work.mkdir(parents=True, exist_ok=True)
    mix = tuple(ENCODER_MIX.items())
    drawn = PairsConfig(count=recipe.frames, split="encoder-train", seed=recipe.seed, mix=mix)
    pairs = draw_pairs(drawn, options.cache, workers=options.workers)
    held_out = PairsConfig(count=options.held_out, split=TEST_SPLIT, seed=recipe.seed, mix=mix)
    test = draw_pairs(held_out, options.cache, workers=options.workers)
    training = train(recipe, pairs, options.work, mini_config())
    vit = training.teacher.vit.eval()
    save_dino(options.out, vit, dtype=torch.float16)
    untrained = Dino(random_vit(mini_config(), recipe.seed))
    card = {
        "recipe": asdict(recipe),
        "mix": dict(mix),
        "learnt_frames": int(np.isin(pairs.kinds, recipe.kinds).sum()),
        "parameters": sum(p.numel() for p in vit.parameters()),
        "threads": torch.get_num_threads(),
        "minutes": round(training.seconds / 60, 1),
        "last": {name: float(np.mean(values[-100:])) for name, values in training.history.items()},
        "first": {name: float(np.mean(values[:100])) for name, values in training.history.items()},
        "split": TEST_SPLIT,
        "features": measure_features({"trained": Dino(vit), "untrained": untrained}, test, held_out),
    }
    (options.out / "training.json").write_text(json.dumps(card, indent=1) + "\n")
    write_dino_card(options.out)
    print((options.out / "README.md").read_text())


if __name__ == "__main__":
    main()
