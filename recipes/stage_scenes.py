"""Scenes of Soundstage with every object's mask and class, on disk: what the masks and detectors of mini learn from.

Like their big siblings, SAM, the detectors and the tagger are supervised; encoders and adapters never read this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moca.core.files import write_text_whole
from moca.core.maps import mask_boxes
from moca.stage import CLASSES, SAMPLE_RATE_HZ
from recipes.stage_pairs import FULL_SCALE, PairsConfig, drawn, stated, tasks_of

SCENE_MIX = {"single": 0.25, "s4": 0.32, "ms3": 0.33, "silent": 0.04, "offscreen": 0.03, "noise": 0.03}
MOST_OBJECTS = 3
SMALLEST_PX = 12  # objects with fewer visible pixels are not asked for
FIELDS = ("frames", "owners", "classes", "waves", "heard")


def scenes_config(count: int, split: str, *, size: int = 160, seed: int = 0) -> PairsConfig:
    """Which scenes: as many as count, of the mix that detectors learn from."""
    return PairsConfig(count=count, split=split, size=size, seed=seed, mix=tuple(SCENE_MIX.items()))


@dataclass(frozen=True)
class Scenes:
    """N scenes, memory-mapped.

    frames (N, S, S, 3) uint8; owners (N, S, S) uint8: 0 for the ground, k for visible pixels of object k; classes
    (N, 3) int8: class of objects 1 to 3, -1 for none, or one with too few visible pixels; waves (N, 16000) int16;
    heard (N, C) bool: classes in the sound.
    """

    frames: np.ndarray
    owners: np.ndarray
    classes: np.ndarray
    waves: np.ndarray
    heard: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def sound(self, rows: np.ndarray | slice) -> np.ndarray:
        """Waves of some rows, (N, 16000) float32 in [-1, 1]."""
        return self.waves[rows].astype(np.float32) / FULL_SCALE

    def objects(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Masks (K, S, S) bool, boxes (K, 4) float32 of pixel edges and classes (K,) of a scene's objects."""
        numbers = np.flatnonzero(self.classes[row] >= 0)
        masks = self.owners[row][None] == (numbers + 1)[:, None, None]
        return masks, mask_boxes(masks), self.classes[row][numbers].astype(np.int64)


def classes_shown(owners: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """What every pixel shows, (B, S, S) int64: 0 for the ground and what is not asked for, else 1 + class."""
    table = np.pad(classes.astype(np.int64) + 1, ((0, 0), (1, 0)))
    return np.take_along_axis(table, owners.reshape(len(owners), -1).astype(np.int64), 1).reshape(owners.shape)


def at_size(shown: Tensor, side: int) -> Tensor:
    """A square class map (B, S, S) at another size: the class in the middle of each of its pixels."""
    middles = (torch.arange(side) * 2 + 1) * shown.shape[-1] // (2 * side)
    return shown[:, middles][:, :, middles]


def draw_scenes(config: PairsConfig, cache: Path, *, workers: int = 2) -> Scenes:
    """Draw the scenes, or read them from cache when the same configuration was drawn before."""
    folder = cache / f"scenes-{config.split}-{config.count}-{config.size}-{config.seed}"
    marker, settings = folder / "scenes.json", stated(config)
    if not (marker.is_file() and marker.read_text() == settings):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, config, workers)
        write_text_whole(marker, settings)
    return Scenes(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in FIELDS))


def _write(folder: Path, config: PairsConfig, workers: int) -> None:
    count, size = config.count, config.size
    forms = {
        "frames": (np.uint8, (size, size, 3)),
        "owners": (np.uint8, (size, size)),
        "classes": (np.int8, (MOST_OBJECTS,)),
        "waves": (np.int16, (SAMPLE_RATE_HZ,)),
        "heard": (np.bool_, (len(CLASSES),)),
    }
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, (count, *shape))
        for name, (kind, shape) in forms.items()
    }
    for row, scene in enumerate(drawn(_draw, tasks_of(config), workers, config.split)):
        for array, value in zip(files.values(), scene, strict=True):
            array[row] = value
    for array in files.values():
        array.flush()


def _draw(task: tuple[int, str, int]) -> tuple[np.ndarray, ...]:
    import cv2

    from moca.stage import sample_frame

    cv2.setNumThreads(1)
    seed, kind, size = task
    scene = sample_frame(seed, kind, size=size)
    owners, classes = np.zeros((size, size), np.uint8), np.full(MOST_OBJECTS, -1, np.int8)
    for number, item in enumerate(scene.objects):
        owners[item.mask > 0] = number + 1
        if item.mask.sum() >= SMALLEST_PX:
            classes[number] = CLASSES.index(item.name)
    wave = np.round(np.clip(scene.audio, -1, 1) * FULL_SCALE).astype(np.int16)
    return scene.frame, owners, classes, wave, np.isin(CLASSES, scene.heard)
