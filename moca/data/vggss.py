"""VGG-SS (VGGSound-Single): boxes of what sounds, on one frame of each of 5,158 VGGSound test clips.

The boxes are one JSON file, a list of {"file": "<id>_<start, six digits>", "class": "dog barking", "bbox": [[x0, y0,
x1, y1], ...]} with parts of the frame's width and height; the clips are VGGSound's, as many as could be fetched.
Source: Chen et al., Localizing Visual Sounds the Hard Way, CVPR 2021 (metadata/vggss.json).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moca.core.step import Step
from moca.data.names_on_disk import VGGSS_ANNOTATED_AT_S, VGGSS_BOX_FILE, VGGSS_CLIP_FOLDER, VGGSS_FOLDER
from moca.data.reading import digest_of_files, files_by_name
from moca.errors import InputError
from moca.media.moment import read_moment
from moca.media.video import probe
from moca.metrics.maps import box_map

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class VGGSSClip:
    """One clip that is there."""

    name: str
    """`<id>_<start, six digits>`."""
    category: str
    """Its class."""
    boxes: tuple[Box, ...]
    """x0, y0, x1, y1 of what sounds, as parts of the frame's width and height, as they are in the file: 18 official
    ones are degenerate and cover nothing."""
    path: Path
    """The video file."""
    audio_s: float = 1.0
    """Seconds of sound around the annotated frame that a method hears."""

    def steps(self) -> Iterator[Step]:
        """One step: the annotated frame and the sound around it; of a clip that ends before, its last frame."""
        yield read_moment(self.path, VGGSS_ANNOTATED_AT_S, audio_s=self.audio_s)

    def truths(self) -> Iterator[np.ndarray]:
        """One (H, W) bool, the union of the boxes at the frame's own size."""
        video = probe(self.path)
        yield box_map(np.array(self.boxes), (video.height, video.width))

    def fingerprint(self) -> str:
        """Hex digest that changes when the clip is moved or written again, or its boxes or audio_s change."""
        return digest_of_files(f"{self.name}|{self.category}|{self.boxes}|{self.audio_s}", [self.path])


@dataclass(frozen=True, kw_only=True)
class VGGSS:
    """The annotated clips."""

    clips: tuple[VGGSSClip, ...]
    """Those that are there, in the order of the JSON file."""
    missing: tuple[str, ...]
    """Names of those that are not."""


def read_vggss(boxes: str | Path, clips: str | Path, *, audio_s: float = 1.0) -> VGGSS:
    """The annotated clips, found below the folder `clips` (at any depth) as `<file>.mp4`.

    Files the JSON lists twice count once; clips that are not in the folder, as YouTube lost them, are named in
    `missing`. Raises InputError, in one line, for a JSON that is not there or not VGG-SS's (with the entry), a folder
    that is not there, a folder without a single clip, and an audio_s that is not above 0.
    """
    boxes, clips = Path(boxes), Path(clips)
    if not 0 < audio_s <= 3600:
        raise InputError(f"audio_s must be above 0 and at most 3600 seconds, got {audio_s:g}; 1 is one step.")
    if not clips.is_dir():
        raise InputError(f"the folder of VGG-SS's clips must exist, {clips} does not; give the folder of the mp4s.")
    listed: dict[str, tuple[str, tuple[Box, ...]]] = {}
    for name, category, own in _read_records(boxes):
        listed.setdefault(name, (category, own))
    there = files_by_name(clips)
    names = [name for name in listed if f"{name}.mp4" in there]
    missing = tuple(name for name in listed if f"{name}.mp4" not in there)
    if not names:
        looked = f" (looked for {missing[0]}.mp4 and the like)" if missing else ""
        raise InputError(
            f"{clips} must hold at least one of the {len(listed)} clips that {boxes.name} lists, has none{looked}; "
            "give the right folder."
        )
    present = []
    for name in names:
        category, own = listed[name]
        present.append(VGGSSClip(name=name, category=category, boxes=own, path=there[f"{name}.mp4"], audio_s=audio_s))
    return VGGSS(clips=tuple(present), missing=missing)


def vggss_paths(root: str | Path) -> tuple[Path, Path]:
    """The boxes and the folder of clips below root: `vggss.json` and `clips` in it, or in its folder VGGSound."""
    for folder in (Path(root), Path(root) / VGGSS_FOLDER):
        if (folder / VGGSS_BOX_FILE).is_file():
            return folder / VGGSS_BOX_FILE, folder / VGGSS_CLIP_FOLDER
    raise InputError(
        f"VGG-SS needs {VGGSS_BOX_FILE} beside a folder {VGGSS_CLIP_FOLDER}, not found in {root} or "
        f"{Path(root) / VGGSS_FOLDER}; give the folder that holds {VGGSS_BOX_FILE}."
    )


def _read_records(path: Path) -> Iterator[tuple[str, str, tuple[Box, ...]]]:
    """Yield (name, class, boxes) of every entry."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} must be VGG-SS's JSON file, it cannot be read ({reason}); copy it again.") from None
    if not isinstance(records, list):
        raise InputError(
            f"{path} must be a list of entries, it is of type {type(records).__name__}; give VGG-SS's file."
        )
    for number, record in enumerate(records):
        try:
            name, category, boxes = record["file"], record["class"], record["bbox"]
            if not _is_name(name) or not isinstance(category, str):
                raise ValueError
            yield name, category, tuple(_box(box) for box in boxes)
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path} must have file (a name), class and bbox (a list of x0, y0, x1, y1) in every entry, "
                f"entry {number} has not; copy it again."
            ) from None


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and not {"/", "\\"} & set(name)


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = (float(value) for value in values)
    if not np.isfinite([x0, y0, x1, y1]).all():
        raise ValueError
    return x0, y0, x1, y1
