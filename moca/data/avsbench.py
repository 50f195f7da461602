"""AVSBench's S4 (one sounding object) and MS3 (several) as they are on disk: frames, sound and masks.

Five frames a clip, one per second, 224 x 224. Source: the official loaders (OpenNLPLab/AVSBench).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moca.core.step import Step
from moca.data.reading import Column, check_files, digest_of_files, open_picture, read_columns, second_steps
from moca.errors import InputError

FRAMES = 5
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class _Subset:
    """Where one subset keeps things, below the folder that holds its csv."""

    folder: str
    csv: str
    data: str
    name: Column
    """Column of the clip's name: its header, and its position should the header say otherwise."""
    split: Column
    category: Column | None


SUBSETS = {
    "s4": _Subset(
        folder="Single-source",
        csv="s4_meta_data.csv",
        data="s4_data",
        name=("name", 0),
        split=("split", 3),
        category=("category", 2),
    ),
    "ms3": _Subset(
        folder="Multi-sources",
        csv="ms3_meta_data.csv",
        data="ms3_data",
        name=("video_id", 0),
        split=("split", 1),
        category=None,
    ),
}


@dataclass(frozen=True, kw_only=True)
class AVSClip:
    """One clip of five one-second steps."""

    name: str
    category: str
    """S4's class of the sounding object; "" in MS3, which has none."""
    frames: tuple[Path, ...]
    """One picture a second."""
    masks: tuple[Path | None, ...]
    """One per frame; None where there is no annotation: S4's training clips have one of their first frame only."""
    audio: Path
    """The WAV file of the whole clip."""

    def steps(self) -> Iterator[Step]:
        """The clip as every method sees it: one frame and one second of sound at a time."""
        return second_steps(self.frames, self.audio)

    def truths(self) -> Iterator[np.ndarray | None]:
        """(H, W) bool per frame, True where it sounds; None where a frame is not annotated."""
        for path in self.masks:
            yield None if path is None else load_mask(path)

    def fingerprint(self) -> str:
        """Hex digest that changes when a file of the clip is moved or written again."""
        return digest_of_files(f"{self.name}|{self.category}", (*self.frames, *self.masks, self.audio))


def load_mask(path: str | Path) -> np.ndarray:
    """A mask PNG as (H, W) bool: True where the stored value is above 0.

    Works for black and white, grey, palette (the index counts) and colour files (any channel; opacity does
    not count). The official S4 loader converts to PIL mode "1" instead, which loses masks stored as 0 and 1.
    """
    with open_picture(Path(path)) as image:
        values = np.asarray(image)
        if image.mode in ("RGBA", "LA", "PA"):
            values = values[..., :-1]
    return (values > 0).any(axis=2) if values.ndim == 3 else values > 0


def read_avsbench(root: str | Path, subset: str = "s4", split: str = "test") -> list[AVSClip]:
    """All clips of one split, in the order of the csv, every file checked to exist.

    root: the folder that holds Single-source/ or Multi-sources/, that folder, or s4_data/ or ms3_data/ in it.
    Raises InputError, in one line, for an unknown subset or split, a missing csv or column, a split without
    clips, and missing files (how many, and the first five).
    """
    if subset not in SUBSETS:
        raise InputError(f"subset must be one of {', '.join(SUBSETS)}, got {subset!r}; choose one of them.")
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, got {split!r}; results are reported on test.")
    layout = SUBSETS[subset]
    folder = _find_folder(Path(root), subset, layout)
    rows = [(name, category) for name, category, part in _read_rows(folder / layout.csv, layout) if part == split]
    if not rows:
        raise InputError(
            f"split {split} must have at least 1 clip, {folder / layout.csv} lists 0; check its split column."
        )
    build = _s4_clip if subset == "s4" else _ms3_clip
    clips = [build(folder / layout.data, split, name, category) for name, category in rows]
    needed = [path for clip in clips for path in (*clip.frames, *clip.masks, clip.audio) if path is not None]
    check_files(needed, folder, f"AVSBench {subset} {split}")
    return clips


def _find_folder(root: Path, subset: str, layout: _Subset) -> Path:
    """The folder that holds the csv, from any of the three folders a user may mean."""
    candidates = [root / layout.folder, root]
    if root.name == layout.data:
        candidates.append(root.parent)
    for folder in candidates:
        if (folder / layout.csv).is_file():
            return folder
    raise InputError(
        f"AVSBench {subset} needs {layout.folder}/{layout.csv}, not found under {root}; "
        f"give the folder that holds {layout.folder}/ (the authors release the data on request)."
    )


def _read_rows(path: Path, layout: _Subset) -> Iterator[tuple[str, str, str]]:
    """Yield (name, category, split) of every row; the category is "" where there is none."""
    columns = [column for column in (layout.name, layout.category, layout.split) if column is not None]
    for name, *category, split in read_columns(path, columns):
        yield name, "".join(category), split


def _s4_clip(data: Path, split: str, name: str, category: str) -> AVSClip:
    inside = Path(split, category, name)
    masks = [data / "gt_masks" / inside / f"{name}_{number}.png" for number in range(1, FRAMES + 1)]
    return AVSClip(
        name=name,
        category=category,
        frames=tuple(data / "visual_frames" / inside / f"{name}_{n}.png" for n in range(1, FRAMES + 1)),
        masks=tuple(mask if number == 0 or split != "train" else None for number, mask in enumerate(masks)),
        audio=data / "audio_wav" / split / category / f"{name}.wav",
    )


def _ms3_clip(data: Path, split: str, name: str, category: str) -> AVSClip:
    # Frames have no split folder and ".mp4" inside their names; masks and sound have neither oddity.
    return AVSClip(
        name=name,
        category=category,
        frames=tuple(data / "visual_frames" / name / f"{name}.mp4_{n}.png" for n in range(1, FRAMES + 1)),
        masks=tuple(data / "gt_masks" / split / name / f"{name}_{n}.png" for n in range(1, FRAMES + 1)),
        audio=data / "audio_wav" / split / f"{name}.wav",
    )
