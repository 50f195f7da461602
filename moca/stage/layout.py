"""One clip of a stage as the files of a data set, and AVSBench's two layouts among them: S4 and MS3."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moca.errors import InputError
from moca.stage.clip import StageClip, sample_clip
from moca.stage.objects import CLASSES
from moca.stage.outline import StageConfig
from moca.stage.seeds import derive_seed
from moca.stage.storing import csv_text, write_image, write_wave
from moca.stage.synthesis import SAMPLE_RATE_HZ

SPLITS = ("train", "val", "test")
STEPS = 5  # seconds of an AVSBench clip


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """One clip to write: folder is the one that holds the lists, kind what `sample_clip` draws."""

    folder: Path
    kind: str
    split: str
    index: int
    seed: int
    config: StageConfig

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.split}_{self.index:05d}"

    @property
    def lead(self) -> str | None:
        """The class that leads the clip, None to draw it; the classes take turns."""
        return None if self.kind == "ms3" else CLASSES[self.index % len(CLASSES)]

    @property
    def clip_seed(self) -> int:
        """What the clip is drawn from."""
        return derive_seed(self.seed, self.split, self.kind, self.index)

    def draw(self) -> StageClip:
        return sample_clip(self.clip_seed, self.kind, self.config, lead=self.lead)

    @property
    @abstractmethod
    def paths(self) -> tuple[Path, ...]:
        """All files of the clip; each appears under its name only when it is whole."""

    @abstractmethod
    def write(self) -> None:
        """Write all of them; the folders are there."""

    @abstractmethod
    def entry(self) -> Any:
        """What the data set's lists say of the clip; found without drawing its frames."""

    @staticmethod
    @abstractmethod
    def lists(entries: Sequence[Any]) -> dict[str, str]:
        """Name and text of the files in the folder that list these clips."""


def write_clip(job: Job) -> Any:
    """Write the clip's files unless all are there; returns its entry in the lists."""
    if not all(path.is_file() for path in job.paths):
        try:
            for folder in {path.parent for path in job.paths}:
                folder.mkdir(parents=True, exist_ok=True)
            job.write()
        except OSError as error:
            raise InputError(
                f"clip {job.name} cannot be written below {job.folder} ({error.strerror}); "
                f"make room there, then run the same again to continue."
            ) from error
    return job.entry()


def write_movie(path: Path, clip: StageClip) -> None:
    """An ordinary video file of the clip with its sound."""
    from moca.media.writing import write_video  # PyAV is only needed here

    write_video(path, clip.frames, rate_hz=clip.config.rate_hz, audio=clip.audio, sample_rate_hz=SAMPLE_RATE_HZ)


@dataclass(frozen=True, kw_only=True)
class Files:
    """All files of an AVSBench clip. S4's training clips have the first mask only."""

    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    audio: Path
    video: Path


@dataclass(frozen=True, kw_only=True)
class _AVSBenchJob(Job):
    @property
    @abstractmethod
    def files(self) -> Files: ...

    @property
    def paths(self) -> tuple[Path, ...]:
        return (*self.files.frames, *self.files.masks, self.files.audio, self.files.video)

    def write(self) -> None:
        clip, files = self.draw(), self.files
        for step, path in enumerate(files.frames):
            write_image(path, clip.frames[clip.frames_at[step]])
        for step, path in enumerate(files.masks):
            write_image(path, clip.masks[step] * np.uint8(255))
        write_wave(files.audio, clip.audio)
        write_movie(files.video, clip)


@dataclass(frozen=True, kw_only=True)
class S4Job(_AVSBenchJob):
    """A clip in the layout of S4. Source: AVSBench, avs_s4/dataloader.py."""

    @property
    def files(self) -> Files:
        data, name = self.folder / "s4_data", self.name
        inside = Path(self.split) / self.lead
        count = 1 if self.split == "train" else STEPS
        return Files(
            frames=tuple(data / "visual_frames" / inside / name / f"{name}_{n}.png" for n in range(1, STEPS + 1)),
            masks=tuple(data / "gt_masks" / inside / name / f"{name}_{n}.png" for n in range(1, count + 1)),
            audio=data / "audio_wav" / inside / f"{name}.wav",
            video=data / "raw_videos" / inside / f"{name}.mp4",
        )

    def entry(self) -> tuple[str, ...]:
        return self.name, "0", self.lead, self.split

    @staticmethod
    def lists(entries: Sequence[tuple[str, ...]]) -> dict[str, str]:
        # AVSBench's name of the second column is not known; its loaders read the others by name
        return {"s4_meta_data.csv": csv_text([("name", "start", "category", "split"), *entries])}


@dataclass(frozen=True, kw_only=True)
class MS3Job(_AVSBenchJob):
    """A clip in the layout of MS3, whose frames have no split folder and ".mp4" in their names.

    Source: AVSBench, avs_ms3/dataloader.py.
    """

    @property
    def files(self) -> Files:
        data, name = self.folder / "ms3_data", self.name
        numbers = range(1, STEPS + 1)
        return Files(
            frames=tuple(data / "visual_frames" / name / f"{name}.mp4_{n}.png" for n in numbers),
            masks=tuple(data / "gt_masks" / self.split / name / f"{name}_{n}.png" for n in numbers),
            audio=data / "audio_wav" / self.split / f"{name}.wav",
            video=data / "raw_videos" / f"{name}.mp4",
        )

    def entry(self) -> tuple[str, ...]:
        return self.name, self.split

    @staticmethod
    def lists(entries: Sequence[tuple[str, ...]]) -> dict[str, str]:
        return {"ms3_meta_data.csv": csv_text([("video_id", "split"), *entries])}
