"""A training that can be stopped after any step and goes on from its last checkpoint as if it had not been."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress, TextColumn
from torch import Tensor, nn

from moca.errors import InputError
from recipes.schedule import Recipe, learning_rate, rows_of
from recipes.states import read_state, write_state

CLIP = 1.0  # longest gradient


class Stepwise(ABC):
    """A network that learns from rows, its AdamW, and what was recorded of every step done.

    recipe: steps, batch, lr, warmup and seed, and weight_decay, which matrices and filters alone get. The state after
    every `save_every` steps, and at the end, lies in a checkpoint. Everything random follows from the seed and the
    step.
    """

    recorded: Sequence[str] = ("loss",)

    def __init__(self, recipe: Recipe, network: nn.Module):
        self.recipe, self.network = recipe, network.train()
        weights = [p for p in network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim > 1]},
            {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
        self.history: dict[str, list[float]] = {name: [] for name in self.recorded}
        self.seconds = 0.0

    @abstractmethod
    def losses(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What is recorded of a batch, each 0-dimensional; the first is learnt from."""

    @property
    def done(self) -> int:
        """Steps taken."""
        return len(self.history["loss"])

    def step(self, rows: Tensor) -> None:
        """One step on a batch."""
        values = self.losses(rows, torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.done))
        self.optimiser.zero_grad(set_to_none=True)
        values[0].backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.done, self.recipe)
        self.optimiser.step()
        for name, value in zip(self.recorded, values, strict=True):
            self.history[name].append(value.item())

    def run(self, rows: np.ndarray, checkpoint: Path, *, what: str, save_every: int = 25) -> None:
        """Take all steps on rows (N, ...), memory-mapped or not, in batches that see every row once a round."""
        if len(rows) < self.recipe.batch:
            raise InputError(f"objects must fill a batch ({self.recipe.batch}), got {len(rows)}; draw more.")
        if checkpoint.is_file():
            self._resume(checkpoint)
        numbers, began = np.arange(len(rows)), time.monotonic() - self.seconds
        with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[note]}")) as progress:
            task = progress.add_task(what, total=self.recipe.steps, completed=self.done, note="")
            while self.done < self.recipe.steps:
                self.step(torch.from_numpy(rows[rows_of(self.done, numbers, self.recipe)]))
                recent = (f"{name} {np.mean(values[-25:]):.3f}" for name, values in self.history.items())
                progress.update(task, advance=1, note=", ".join(recent))
                if self.done % save_every == 0 or self.done == self.recipe.steps:
                    self.seconds = time.monotonic() - began
                    self._save(checkpoint)
        self.network.eval()

    def told(self) -> dict[str, Any]:
        """What a card says of it."""
        return {
            "minutes": round(self.seconds / 60, 1),
            "first": {name: float(np.mean(values[:25])) for name, values in self.history.items()},
            "last": {name: float(np.mean(values[-25:])) for name, values in self.history.items()},
        }

    def _save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
            "seconds": self.seconds,
        }
        write_state(path, self.recipe, state)

    def _resume(self, path: Path) -> None:
        """Take over a saved state; InputError when it is another recipe's."""
        state = read_state(path, self.recipe)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history, self.seconds = state["history"], state["seconds"]
