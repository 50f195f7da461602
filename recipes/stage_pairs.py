"""Frames and sounds of Soundstage as arrays on disk, drawn once and shared by the training recipes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.progress import track

# What an encoder sees: mostly one large object, some scenes, and the mismatches that unlabelled video has.
ENCODER_MIX = {"single": 0.55, "s4": 0.22, "ms3": 0.15, "silent": 0.03, "offscreen": 0.03, "noise": 0.02}
ADAPTER_MIX = {"s4": 0.62, "ms3": 0.30, "silent": 0.04, "offscreen": 0.02, "noise": 0.02}


FULL_SCALE = 32767
SILENCE_RMS = 10 ** (-60 / 20)


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Which frames are drawn.

    count: number of (frame, second of sound) pairs. size: side of the square frame in pixels. seed and
    split: frames of two splits never share a random stream. mix: share of each kind of scene.
    """

    count: int
    split: str
    size: int = 112
    seed: int = 0
    mix: tuple[tuple[str, float], ...] = tuple(ENCODER_MIX.items())


@dataclass(frozen=True)
class Pairs:
    """frames (N, S, S, 3) uint8, waves (N, 16000) int16, masks (N, S, S) uint8 0/1, kinds (N,) str.

    masks and kinds are the truth of the stage: evaluation reads them, training never does.
    """

    sample_rate_hz: ClassVar[int] = 16_000

    frames: np.ndarray
    waves: np.ndarray
    masks: np.ndarray
    kinds: np.ndarray

    def sound(self, rows: np.ndarray | int | slice) -> np.ndarray:
        """Waves of some rows, (..., 16000) float32 in [-1, 1]."""
        return self.waves[rows].astype(np.float32) / FULL_SCALE


def _draw(task: tuple[int, str, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import cv2

    from moca.stage import sample_frame

    cv2.setNumThreads(1)
    seed, kind, size = task
    drawn = sample_frame(seed, kind, size=size)
    return (
        drawn.frame,
        np.round(np.clip(drawn.audio, -1, 1) * FULL_SCALE).astype(np.int16),
        drawn.mask.astype(np.uint8),
    )


def split_key(name: str) -> list[int]:
    """What keys a split's random stream: a hash of the whole name, so that no two names share one."""
    return np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4").tolist()


def tasks_of(config: PairsConfig) -> list[tuple[int, str, int]]:
    """(seed, kind, size) of every frame of a configuration."""
    sequence = np.random.SeedSequence([config.seed, *split_key(config.split)])
    kinds, shares = zip(*config.mix, strict=True)
    choice = np.random.default_rng(sequence).choice(len(kinds), config.count, p=np.array(shares) / sum(shares))
    seeds = sequence.generate_state(config.count, np.uint64)
    return [(int(seed), kinds[kind], config.size) for seed, kind in zip(seeds, choice, strict=True)]


def draw_pairs(config: PairsConfig, cache: Path, *, workers: int = 2) -> Pairs:
    """Draw the pairs, or read them from cache when the same configuration was drawn before."""
    name = f"{config.split}-{config.count}-{config.size}-{config.seed}"
    folder = cache / name
    marker = folder / "pairs.json"
    settings = stated(config)
    tasks = tasks_of(config)
    if not (marker.is_file() and marker.read_text() == settings):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, tasks, config, workers)
        partial = marker.with_suffix(".partial")
        partial.write_text(settings)
        os.replace(partial, marker)
    arrays = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("frames", "waves", "masks")]
    return Pairs(*arrays, np.array([kind for _, kind, _ in tasks]))


def stated(config: PairsConfig) -> str:
    """What a cache's marker says of what lies beside it: the configuration and what its frames were drawn from."""
    return json.dumps(asdict(config) | {"key": split_key(config.split)}, sort_keys=True)


def heard_classes(config: PairsConfig, rows: np.ndarray) -> list[tuple[str, ...]]:
    """Classes in the sound of some pairs, by drawing them again; for measuring, never for training."""
    from moca.stage import sample_frame

    tasks = tasks_of(config)
    return [sample_frame(seed, kind, size=size).heard for seed, kind, size in (tasks[row] for row in rows)]


def _write(folder: Path, tasks: list[tuple[int, str, int]], config: PairsConfig, workers: int) -> None:
    count, size = config.count, config.size
    new = np.lib.format.open_memmap
    frames = new(folder / "frames.npy", "w+", np.uint8, (count, size, size, 3))
    waves = new(folder / "waves.npy", "w+", np.int16, (count, 16_000))
    masks = new(folder / "masks.npy", "w+", np.uint8, (count, size, size))
    for row, (frame, wave, mask) in enumerate(drawn(_draw, tasks, workers, config.split)):
        frames[row], waves[row], masks[row] = frame, wave, mask
    for array in (frames, waves, masks):
        array.flush()


def drawn(draw: Callable, tasks: list[tuple[int, str, int]], workers: int, what: str) -> Iterator:
    """draw(task) of every task in order, by some processes, with a bar."""
    # A forked child of a process that has used OpenCV's or torch's threads can wait forever for a lock.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else nullcontext()
    with pool:
        results = pool.map(draw, tasks, chunksize=64) if workers > 1 else map(draw, tasks)
        yield from track(results, f"drawing {what}", total=len(tasks))
