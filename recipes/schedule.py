"""What every training recipe shares: the order of rows, the learning rate."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np


class Recipe(Protocol):
    """The part of a recipe that rules the order of rows and the learning rate."""

    steps: int
    batch: int
    lr: float
    warmup: int
    seed: int


def cosine(start: float, end: float, share: float) -> float:
    """From start (share 0) to end (share 1) along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up to lr, then a cosine down to a hundredth of it."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    return cosine(recipe.lr, recipe.lr / 100, (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup))


def rows_of(step: int, rows: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Those of some rows that are a step's batch, sorted for reading from a file.

    Every row is seen once per round, except for a last part that makes no batch.
    """
    rounds, position = divmod(step, len(rows) // recipe.batch)
    order = np.random.default_rng([recipe.seed, rounds]).permutation(rows)
    return np.sort(order[position * recipe.batch : (position + 1) * recipe.batch])
