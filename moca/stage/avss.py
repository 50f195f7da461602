"""A clip of a stage in the layout of AVSS (AVSBench-semantic), where every sounding pixel has a class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moca.data.names_on_disk import AVSS_CLASS_FILE, AVSS_FOLDER, AVSS_PARTS, AVSS_TABLE
from moca.data.palette import class_colours
from moca.stage.clip import StageClip
from moca.stage.layout import Job
from moca.stage.objects import CLASSES
from moca.stage.outline import StageConfig, outline_clip
from moca.stage.seeds import derive_seed
from moca.stage.storing import csv_text, write_image, write_wave

NAMES = ("background", *CLASSES)
# The parts take turns, half of the clips are v2 as in AVSS: part, and what `sample_clip` draws for it.
TURNS = (("v1s", "s4"), ("v1m", "ms3"), ("v2", "s4"), ("v2", "ms3"))


def avss_job(root: Path, split: str, index: int, seed: int, config: StageConfig) -> AVSSJob:
    """The clip of this number; of four in a row one is v1s, one v1m, and two are v2: one source, and several."""
    part, kind = TURNS[index % len(TURNS)]
    longer = StageConfig(size=config.size, rate_hz=config.rate_hz, steps=AVSS_PARTS[part])
    return AVSSJob(folder=root / AVSS_FOLDER, kind=kind, split=split, index=index, seed=seed, config=longer, part=part)


@dataclass(frozen=True, kw_only=True)
class AVSSJob(Job):
    """part: v1s (one source, five frames, of which training clips have one mask), v1m (several sources, five frames)
    or v2 (ten frames). There is no video file, as in AVSS."""

    part: str

    @property
    def name(self) -> str:
        return f"{self.part}_{self.split}_{self.index:05d}"

    @property
    def lead(self) -> str | None:
        """The classes take turns among the clips of one source; v2's are half a round behind v1s's."""
        if self.kind == "ms3":
            return None
        behind = len(CLASSES) // 2 if self.part == "v2" else 0
        return CLASSES[(self.index // len(TURNS) + behind) % len(CLASSES)]

    @property
    def clip_seed(self) -> int:
        return derive_seed(self.seed, self.split, self.part, self.index)

    @property
    def clip_folder(self) -> Path:
        return self.folder / self.part / self.name

    @property
    def annotated(self) -> int:
        """How many frames have a mask, the first ones."""
        return 1 if self.split == "train" and self.part == "v1s" else self.config.steps

    @property
    def paths(self) -> tuple[Path, ...]:
        frames = [self.clip_folder / "frames" / f"{number}.jpg" for number in range(self.config.steps)]
        labels = [
            self.clip_folder / folder / f"{number}.png"
            for folder in ("labels_rgb", "labels_semantic")
            for number in range(self.annotated)
        ]
        return (*frames, *labels, self.clip_folder / "audio.wav")

    def write(self) -> None:
        clip, colours = self.draw(), class_colours(len(NAMES))
        for step, number in enumerate(clip.frames_at):
            write_image(self.clip_folder / "frames" / f"{step}.jpg", clip.frames[number])
        for step in range(self.annotated):
            labels = label_image(clip, step)
            write_image(self.clip_folder / "labels_rgb" / f"{step}.png", colours[labels])
            write_image(self.clip_folder / "labels_semantic" / f"{step}.png", labels)
        write_wave(self.clip_folder / "audio.wav", clip.audio)

    def entry(self) -> tuple[str, ...]:
        outline = outline_clip(self.clip_seed, self.kind, self.config, lead=self.lead)
        heard = {name for names in outline.sounding for name in names}
        category = "_".join(name for name in CLASSES if name in heard)
        return self.name, self.name, "0", str(self.config.steps), category, self.split, self.part

    @staticmethod
    def lists(entries: Sequence[tuple[str, ...]]) -> dict[str, str]:
        # AVSS's names of the third and fourth column are not known; its loader reads the others by name
        titles = ("vid", "uid", "start", "end", "a_obj", "split", "label")
        numbers = {name: number for number, name in enumerate(NAMES)}
        return {AVSS_TABLE: csv_text([titles, *entries]), AVSS_CLASS_FILE: json.dumps(numbers, indent=1) + "\n"}


def label_image(clip: StageClip, step: int) -> np.ndarray:
    """(H, W) uint8: the number in NAMES of the class that sounds at each pixel in the step, 0 where none does."""
    labels = np.zeros(clip.masks.shape[1:], np.uint8)
    for name, mask in zip(clip.objects, clip.object_masks[step], strict=True):
        if name in clip.sounding[step]:
            labels[mask > 0] = NAMES.index(name)
    return labels
