"""Where AVSBench keeps the files of a clip, and how one clip is written there."""

from __future__ import annotations

import os
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from moca.errors import InputError
from moca.stage.clip import StageConfig, sample_clip
from moca.stage.objects import CLASSES
from moca.stage.seeds import derive_seed
from moca.stage.synthesis import SAMPLE_RATE_HZ

SPLITS = ("train", "val", "test")
STEPS = 5  # seconds of an AVSBench clip


@dataclass(frozen=True, kw_only=True)
class Job:
    """One clip to write: folder is the one that holds the csv, kind what `sample_clip` draws."""

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
    def category(self) -> str:
        """S4's category, the class that leads the clip; the classes take turns."""
        return CLASSES[self.index % len(CLASSES)]

    @property
    def files(self) -> Files:
        return _ms3_files(self) if self.kind == "ms3" else _s4_files(self)


@dataclass(frozen=True, kw_only=True)
class Files:
    """All files of a clip. S4's training clips have the first mask only."""

    frames: tuple[Path, ...]
    masks: tuple[Path, ...]
    audio: Path
    video: Path

    def complete(self) -> bool:
        """Whether all of them exist; each appears under its name only when it is whole."""
        return all(path.is_file() for path in (*self.frames, *self.masks, self.audio, self.video))


def _s4_files(job: Job) -> Files:
    """Source: AVSBench, avs_s4/dataloader.py."""
    data, name = job.folder / "s4_data", job.name
    inside = Path(job.split) / job.category
    count = 1 if job.split == "train" else STEPS
    return Files(
        frames=tuple(data / "visual_frames" / inside / name / f"{name}_{n}.png" for n in range(1, STEPS + 1)),
        masks=tuple(data / "gt_masks" / inside / name / f"{name}_{n}.png" for n in range(1, count + 1)),
        audio=data / "audio_wav" / inside / f"{name}.wav",
        video=data / "raw_videos" / inside / f"{name}.mp4",
    )


def _ms3_files(job: Job) -> Files:
    """Source: AVSBench, avs_ms3/dataloader.py; its frames have no split folder and ".mp4" in their names."""
    data, name = job.folder / "ms3_data", job.name
    numbers = range(1, STEPS + 1)
    return Files(
        frames=tuple(data / "visual_frames" / name / f"{name}.mp4_{n}.png" for n in numbers),
        masks=tuple(data / "gt_masks" / job.split / name / f"{name}_{n}.png" for n in numbers),
        audio=data / "audio_wav" / job.split / f"{name}.wav",
        video=data / "raw_videos" / f"{name}.mp4",
    )


def write_clip(job: Job) -> bool:
    """Write the clip's files unless all are there; returns whether anything was written."""
    files = job.files
    if files.complete():
        return False
    try:
        _write_files(job, files)
    except OSError as error:
        raise InputError(
            f"clip {job.name} cannot be written below {job.folder} ({error.strerror}); "
            f"make room there, then run the same again to continue."
        ) from error
    return True


def _write_files(job: Job, files: Files) -> None:
    from moca.media.writing import write_video  # PyAV is only needed here

    seed = derive_seed(job.seed, job.split, job.kind, job.index)
    clip = sample_clip(seed, job.kind, job.config, lead=None if job.kind == "ms3" else job.category)
    for path in (files.frames[0], files.masks[0], files.audio, files.video):
        path.parent.mkdir(parents=True, exist_ok=True)
    for step, path in enumerate(files.frames):
        write_image(path, clip.frames[clip.frames_at[step]])
    for step, path in enumerate(files.masks):
        write_image(path, clip.masks[step] * np.uint8(255))
    write_wave(files.audio, clip.audio)
    write_video(files.video, clip.frames, rate_hz=job.config.rate_hz, audio=clip.audio, sample_rate_hz=SAMPLE_RATE_HZ)


def write_image(path: Path, picture: np.ndarray) -> None:
    """PNG of (H, W, 3) uint8 RGB or (H, W) uint8 (PIL's mode L)."""
    coded = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)[1]
    write_whole(path, lambda part: part.write_bytes(coded.tobytes()))


def write_wave(path: Path, audio: np.ndarray) -> None:
    """16-bit mono WAV at 16 kHz of (S,) float in [-1, 1]."""
    samples = np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2")

    def write(part: Path) -> None:
        with wave.open(str(part), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE_HZ)
            file.writeframes(samples.tobytes())

    write_whole(path, write)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have write fill a temporary name beside path, then rename it; nothing is left behind on a failure."""
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(part)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
