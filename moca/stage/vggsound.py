"""A clip of a stage as a VGGSound training clip: a video file and its row in the csv."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moca.data.names_on_disk import VGGSOUND_TABLE, VGGSS_BOX_FILE, VGGSS_CLIP_FOLDER, VGGSS_FOLDER
from moca.data.vggsound import clip_name
from moca.stage.layout import Job, write_movie
from moca.stage.objects import CLASSES
from moca.stage.outline import StageConfig
from moca.stage.storing import csv_text

START_S = 0


@dataclass(frozen=True, kw_only=True)
class ClipEntry:
    """What VGGSound's lists say of a clip."""

    row: tuple[str, str, str, str]
    """YouTube id, start in seconds, label, split."""
    boxes: dict[str, Any] | None = None
    """VGG-SS's entry; None for a clip that it does not have."""


@dataclass(frozen=True, kw_only=True)
class VGGSoundJob(Job):
    """A clip of any split; VGGSound's clips have ten seconds, these a stage's five."""

    @property
    @abstractmethod
    def youtube_id(self) -> str:
        """Eleven characters, like an id of YouTube."""

    @property
    def name(self) -> str:
        return clip_name(self.youtube_id, START_S)

    @property
    def lead(self) -> str:
        return CLASSES[self.index % len(CLASSES)]

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.folder / VGGSS_CLIP_FOLDER / f"{self.name}.mp4",)

    def write(self) -> None:
        write_movie(self.paths[0], self.draw())

    def entry(self) -> ClipEntry:
        return ClipEntry(row=(self.youtube_id, str(START_S), self.lead, self.split))

    @staticmethod
    def lists(entries: Sequence[ClipEntry]) -> dict[str, str]:
        boxes = [entry.boxes for entry in entries if entry.boxes is not None]
        lists = {VGGSOUND_TABLE: csv_text([entry.row for entry in entries])}
        return lists | ({VGGSS_BOX_FILE: json.dumps(boxes) + "\n"} if boxes else {})


@dataclass(frozen=True, kw_only=True)
class VGGSoundTrainJob(VGGSoundJob):
    """A training clip: one large object that sounds in its first second and in most others, and little else.

    VGGSound chose its clips so that what is heard is seen, and one class is heard in each.
    """

    @property
    def youtube_id(self) -> str:
        return f"train_{self.index:05d}"


def vggsound_job(root: Path, index: int, seed: int, config: StageConfig) -> VGGSoundTrainJob:
    """The training clip of this number."""
    drawn = {"kind": "single", "split": "train", "index": index, "seed": seed, "config": config}
    return VGGSoundTrainJob(folder=root / VGGSS_FOLDER, **drawn)
