"""Two takes each of many drawn objects as one array on disk, drawn once: what the mini DINO learns from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recipes.stage_pairs import drawn, split_key


@dataclass(frozen=True, kw_only=True)
class TakesConfig:
    """Which objects are drawn: how many, in which split (see `stage_pairs.split_key`), how large, from which seed."""

    count: int
    split: str
    size: int = 112
    seed: int = 0


def takes_tasks(config: TakesConfig) -> list[tuple[int, int]]:
    """(seed, size) of every object of a configuration."""
    sequence = np.random.SeedSequence([config.seed, *split_key(config.split)])
    return [(int(seed), config.size) for seed in sequence.generate_state(config.count, np.uint64)]


def draw_takes(config: TakesConfig, cache: Path, *, workers: int = 2) -> np.ndarray:
    """The takes, (count, 2, size, size, 3) uint8, memory-mapped; read from cache where they were drawn before."""
    folder = cache / f"{config.split}-{config.count}-{config.size}-{config.seed}"
    marker = folder / "takes.json"
    settings = json.dumps(asdict(config) | {"key": split_key(config.split)}, sort_keys=True)
    if not (marker.is_file() and marker.read_text() == settings):
        folder.mkdir(parents=True, exist_ok=True)
        shape = (config.count, 2, config.size, config.size, 3)
        takes = np.lib.format.open_memmap(folder / "takes.npy", "w+", np.uint8, shape)
        for row, pair in enumerate(drawn(_draw, takes_tasks(config), workers, config.split)):
            takes[row] = pair
        takes.flush()
        partial = marker.with_suffix(".partial")
        partial.write_text(settings)
        os.replace(partial, marker)
    return np.load(folder / "takes.npy", mmap_mode="r")


def _draw(task: tuple[int, int]) -> np.ndarray:
    import cv2

    from moca.stage.takes import sample_takes

    cv2.setNumThreads(1)
    seed, size = task
    return sample_takes(seed, size)
