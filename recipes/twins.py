"""Training the supervised models of mini: one loop, resumed where it stopped, and the average of its weights kept.

Everything random follows from the seed and the step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from moca.errors import InputError
from recipes.schedule import learning_rate, rows_of
from recipes.stage_scenes import Scenes, draw_scenes, scenes_config
from recipes.states import read_state, write_state

SPLITS = {"train": "twin-train", "val": "twin-val", "test": "twin-test"}
Loss = Callable[[nn.Module, np.ndarray, np.random.Generator], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True, kw_only=True)
class TwinRecipe:
    """Everything the result depends on besides the model.

    scenes: drawn to learn from. steps, batch: optimiser steps and scenes a step. until: step at which the round ends
    early, None for its last. lr, weight_decay, warmup, clip: AdamW with warm-up, cosine decay to a hundredth over all
    steps, gradient norm clipped. muon: rate of the matrices of linear layers, which Muon then moves instead (with the
    same warm-up and decay), None for AdamW everywhere. average: of the weights that are kept, per step. bf16: whether
    most of a step is computed in bfloat16. seed: of weights, order, prompts and world.
    """

    scenes: int = 24_000
    steps: int = 2_000
    until: int | None = None
    batch: int = 16
    lr: float = 1e-3
    muon: float | None = None
    weight_decay: float = 0.02
    warmup: int = 100
    clip: float = 1.0
    average: float = 0.998
    bf16: bool = False
    seed: int = 0


@dataclass
class Training:
    """A model in training: its average, its optimisers, and what was recorded of every step done."""

    model: nn.Module
    recipe: TwinRecipe
    history: dict[str, list[float]] = field(default_factory=dict)
    rounds: list[TwinRecipe] = field(default_factory=list)  # that came before
    done: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(self.recipe.average))
        self.optimisers = optimisers_of(self.model, self.recipe)
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]

    def step(self, loss_of: Loss, count: int) -> None:
        """One step on a batch of `count` scenes' rows."""
        recipe = self.recipe
        rows = rows_of(self.done, np.arange(count), recipe)
        rng = np.random.default_rng([recipe.seed, 7, self.done])
        torch.manual_seed(recipe.seed * 1_000_003 + self.done)  # drop paths of the models themselves
        mixed = torch.autocast("cpu", dtype=torch.bfloat16) if recipe.bf16 else nullcontext()
        # On CPUs the fused attention's backward pass takes longer than all the rest of the step together.
        with sdpa_kernel(SDPBackend.MATH), mixed:
            loss, figures = loss_of(self.model, rows, rng)
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate / recipe.lr * learning_rate(self.done, recipe)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        self.average.update_parameters(self.model)
        for name, value in {"loss": loss.item(), **figures}.items():
            self.history.setdefault(name, []).append(float(value))
        self.done += 1

    def save(self, path: Path) -> None:
        """Write the whole state, so that `resume` goes on where it was."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "history": self.history,
            "done": self.done,
            "seconds": self.seconds,
        }
        write_state(path, self.recipe, state)

    def resume(self, path: Path) -> None:
        """Take over a saved state; InputError when it is another recipe's."""
        state = read_state(path, self.recipe)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, optimiser_state in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(optimiser_state)
        self.history, self.done, self.seconds = state["history"], state["done"], state["seconds"]

    def after(self, earlier: Training) -> Training:
        """This training, told of the round that came before it: its recipe and time."""
        self.rounds = [*earlier.rounds, earlier.recipe]
        self.seconds += earlier.seconds
        return self

    def recent(self, steps: int = 100) -> dict[str, float]:
        """Means of the last steps' figures."""
        return {name: float(np.mean(values[-steps:])) for name, values in self.history.items()}

    def averaged(self) -> nn.Module:
        """The model that is kept, in eval mode."""
        return self.average.module.eval()


def optimisers_of(model: nn.Module, recipe: TwinRecipe) -> list[torch.optim.Optimizer]:
    """AdamW, without decay of vectors; and Muon for the matrices of linear layers where the recipe wants it.

    Muon (Jordan et al., 2024; its rate in AdamW's measure as in Liu et al., arXiv 2502.16982) takes these small
    transformers about twice as far in as many steps.
    """
    linear = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    by_muon = {id(weight) for weight in linear if recipe.muon is not None and weight.requires_grad}
    learnt = [p for p in model.parameters() if p.requires_grad]
    rest, decay = [p for p in learnt if id(p) not in by_muon], recipe.weight_decay
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=recipe.lr)]
    if by_muon:
        matrices = [p for p in learnt if id(p) in by_muon]
        optimisers.append(torch.optim.Muon(matrices, recipe.muon, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return optimisers


def train_twin(
    model: nn.Module, loss_of: Loss, recipe: TwinRecipe, count: int, work: Path, *, name: str, save_every: int = 100
) -> Training:
    """Run a recipe on `count` scenes; loss_of(model, rows, generator) gives a step's loss and figures to record.

    The state after every `save_every` steps, and at the end, lies in work/NAME.pt, and is gone on from.
    """
    if count < recipe.batch:
        raise InputError(f"scenes must fill a batch ({recipe.batch}), got {count}; draw more.")
    training, checkpoint = Training(model.train(), recipe), work / f"{name}.pt"
    work.mkdir(parents=True, exist_ok=True)
    if checkpoint.is_file():
        training.resume(checkpoint)
    began, last = time.monotonic() - training.seconds, min(recipe.until or recipe.steps, recipe.steps)
    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[note]}")) as progress:
        task = progress.add_task(name, total=last, completed=training.done, note="")
        while training.done < last:
            training.step(loss_of, count)
            note = ", ".join(f"{key} {value:.3f}" for key, value in training.recent(50).items())
            progress.update(task, advance=1, note=note)
            if training.done % save_every == 0 or training.done == last:
                training.seconds = time.monotonic() - began
                training.save(checkpoint)
                if not progress.console.is_terminal:
                    print(f"{name} {training.done}, {training.seconds:.0f} s: {note}", flush=True)
    return training


def twin_parser(words: str, folder: str, steps: int) -> argparse.ArgumentParser:
    """Options that every script of a twin has."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("-o", "--out", type=Path, default=Path("weights/mini") / folder)
    parser.add_argument("--cache", type=Path, default=Path(".cache/stage-pairs"))
    parser.add_argument("--work", type=Path, default=Path(".cache/twins"))
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--scenes", type=int, default=TwinRecipe.scenes)
    parser.add_argument("--held-out", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def scenes_of(split: str, options: argparse.Namespace) -> Scenes:
    """The scenes of "train", "val" or "test" that a script was asked for."""
    count = options.scenes if split == "train" else options.held_out
    return draw_scenes(scenes_config(count, SPLITS[split], seed=options.seed), options.cache, workers=options.workers)
