"""A clip of a stage as a VGGSound test clip with VGG-SS's boxes: a video file, its row in the csv, its boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np

from moca.data.names_on_disk import VGGSS_ANNOTATED_AT_S, VGGSS_FOLDER
from moca.stage.objects import CLASSES
from moca.stage.outline import Outline, StageConfig, outline_clip
from moca.stage.seeds import derive_seed
from moca.stage.vggsound import ClipEntry, VGGSoundJob

SPLIT = "test"


def vggss_job(root: Path, index: int, seed: int, config: StageConfig) -> VGGSSJob:
    """The clip of this number; one in four has several sources, as VGG-SS has some frames with several boxes."""
    kind = "ms3" if (index + index // len(CLASSES)) % 4 == 3 else "s4"
    return VGGSSJob(folder=root / VGGSS_FOLDER, kind=kind, split=SPLIT, index=index, seed=seed, config=config)


@dataclass(frozen=True, kw_only=True)
class VGGSSJob(VGGSoundJob):
    """A test clip, at the end of whose five seconds is VGG-SS's annotated frame."""

    @property
    def youtube_id(self) -> str:
        return f"stage_{self.index:05d}"

    @cached_property
    def clip_seed(self) -> int:
        """The first of this number's seeds whose clip has its lead sounding at the annotated frame."""
        seeds = (derive_seed(self.seed, self.split, f"vggss-{attempt}", self.index) for attempt in count())
        step = self.annotated_at // self.config.rate_hz
        return next(seed for seed in seeds if self.lead in self._outline(seed).sounding[step])

    @property
    def annotated_at(self) -> int:
        """The video frame on show at VGG-SS's annotated moment."""
        return min(int(VGGSS_ANNOTATED_AT_S * self.config.rate_hz), self.config.steps * self.config.rate_hz - 1)

    def _outline(self, seed: int) -> Outline:
        return outline_clip(seed, self.kind, self.config, lead=self.lead)

    def entry(self) -> ClipEntry:
        outline = self._outline(self.clip_seed)
        masks = outline.scene().masks(outline.from_middle(self.annotated_at))
        names = outline.sounding[self.annotated_at // self.config.rate_hz]
        boxes = [tight_box(mask) for name, mask in zip(outline.cast.objects, masks, strict=True) if name in names]
        return replace(super().entry(), boxes={"file": self.name, "class": self.lead, "bbox": boxes})


def tight_box(mask: np.ndarray) -> list[float]:
    """The smallest box around a (H, W) bool mask that has pixels: x0, y0, x1, y1 as parts of width and height.

    Cut to whole pixels, as VGG-SS's evaluation does, it is exact at the mask's own size.
    """
    sides = []
    for axis in (0, 1):
        pixels, length = np.flatnonzero(mask.any(axis=axis)), mask.shape[1 - axis]
        sides.append([_part(int(pixels[0]), length), _part(int(pixels[-1]) + 1, length)])
    (x0, x1), (y0, y1) = sides
    return [x0, y0, x1, y1]


def _part(pixel: int, length: int) -> float:
    """pixel / length, rounded up where multiplying again would fall below the pixel."""
    part = pixel / length
    return part if int(part * length) == pixel else float(np.nextafter(part, 1))
