"""AVSS (AVSBench-semantic) as it is on disk: frames, sound, and for every pixel the class that sounds there.

`metadata.csv`, `label2idx.json` and one folder for each part: `v1s` and `v1m`, AVSBench's two older subsets with five
frames a clip, and `v2` with ten; one frame per second, counted from 0. Source: the official loader
(OpenNLPLab/AVSBench, avss/color_dataloader.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from moca.core.step import Step
from moca.data.names_on_disk import AVSS_CLASS_FILE, AVSS_FOLDER, AVSS_PARTS, AVSS_TABLE
from moca.data.palette import class_colours
from moca.data.reading import check_files, digest_of_files, open_picture, read_columns, second_steps
from moca.errors import InputError

SPLITS = ("train", "val", "test")
SIZE = 224
"""Side that the official loader gives every frame and mask of the validation and test splits."""
COLUMNS = (("uid", 1), ("a_obj", 4), ("split", 5), ("label", 6))


@dataclass(frozen=True, kw_only=True)
class AVSSClasses:
    """The classes of the masks."""

    names: tuple[str, ...]
    """By their number in the masks; 0 is the background."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def index(self) -> dict[str, int]:
        """Number of every class by its name."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def colours(self) -> np.ndarray:
        """(len(self), 3) uint8 RGB, the colour of each class in the colour masks."""
        return class_colours(len(self.names))


@dataclass(frozen=True, kw_only=True)
class AVSSClip:
    """One clip of one-second steps."""

    name: str
    """Its uid."""
    category: str
    """The classes that sound in it, joined by "_" as the csv has them."""
    part: str
    """v1s, v1m or v2."""
    frames: tuple[Path, ...]
    """One picture a second."""
    labels: tuple[Path | None, ...]
    """One per frame; None where there is no annotation: training clips of v1s have one of their first frame only."""
    audio: Path
    """The WAV file of the whole clip."""
    classes: int
    """Number of classes, background included."""
    size: int | None = SIZE
    """Side in pixels of the square that frames and labels are resized to; None for their own size."""

    def steps(self) -> Iterator[Step]:
        """The clip as every method sees it: one frame and one second of sound at a time."""
        return second_steps(self.frames, self.audio, partial(_load_frame, size=self.size))

    def truths(self) -> Iterator[np.ndarray | None]:
        """(H, W) int64 per frame, the number of the class that sounds at each pixel; None where not annotated."""
        for path in self.labels:
            yield None if path is None else load_labels(path, self.classes, size=self.size)

    def fingerprint(self) -> str:
        """Hex digest that changes when a file of the clip is moved or written again, or read at another size."""
        said = f"{self.name}|{self.category}|{self.classes}|{self.size}"
        return digest_of_files(said, (*self.frames, *self.labels, self.audio))


def load_labels(path: str | Path, classes: int, *, size: int | None = None) -> np.ndarray:
    """A mask PNG of `labels_semantic` as (H, W) int64 class numbers in 0 .. classes - 1.

    The stored value counts, in grey files (also 16 bits) and in those with a palette. A value that is no class counts
    as background, as in the official loader, which compares colours. size: side of a square to resize to, nearest.
    InputError for a colour file, whose values are no class numbers.
    """
    with open_picture(Path(path)) as image:
        if len(image.getbands()) > 1:
            raise InputError(
                f"labels must be stored as class numbers (grey or palette), {path} has mode {image.mode}; "
                "take the files of labels_semantic, not labels_rgb."
            )
        resized = image if size is None else image.resize((size, size), Image.NEAREST)
        values = np.asarray(resized).astype(np.int64)
    return np.where((values >= 0) & (values < classes), values, 0)


def read_avss(root: str | Path, split: str = "test", *, size: int | None = SIZE) -> tuple[list[AVSSClip], AVSSClasses]:
    """All clips of one split, in the order of the csv, every file checked to exist; and the classes.

    root: the folder that holds metadata.csv, or the one that holds AVSS/ with it. size: the official figures resize
    frames (bilinear) and masks (nearest) to 224 x 224; None keeps their own size. Raises InputError, in one line, for
    an unknown split, a missing or broken csv or json, an unknown part, a split without clips, and missing files (how
    many, and the first five).
    """
    if split not in SPLITS:
        raise InputError(f"split must be one of {', '.join(SPLITS)}, got {split!r}; results are reported on test.")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise InputError(f"size must be at least 1 pixel, or None for the files' own, got {size!r}; 224 is official.")
    folder = _find_folder(Path(root))
    classes = _read_classes(folder / AVSS_CLASS_FILE)
    rows = [row for row in read_columns(folder / AVSS_TABLE, COLUMNS) if row[2] == split]
    if not rows:
        raise InputError(
            f"split {split} must have at least 1 clip, {folder / AVSS_TABLE} lists 0; check its split column."
        )
    clips = []
    for name, category, _, part in rows:
        if part not in AVSS_PARTS:
            raise InputError(
                f"{AVSS_TABLE} must have a label of {', '.join(AVSS_PARTS)} for every clip, {name} has {part!r}; "
                "correct it."
            )
        clips.append(_clip(folder / part / name, split, part, category, len(classes), size))
    needed = [path for clip in clips for path in (*clip.frames, *clip.labels, clip.audio) if path is not None]
    check_files(needed, folder, f"AVSS {split}")
    return clips, classes


def _find_folder(root: Path) -> Path:
    for folder in (root, root / AVSS_FOLDER):
        if (folder / AVSS_TABLE).is_file():
            return folder
    raise InputError(
        f"AVSS needs {AVSS_TABLE}, not found in {root} or {root / AVSS_FOLDER}; give the folder that holds "
        f"{AVSS_TABLE}, {AVSS_CLASS_FILE}, {', '.join(AVSS_PARTS)} (the authors release the data on request)."
    )


def _read_classes(path: Path) -> AVSSClasses:
    """Names by their number; nothing is assumed of their order."""
    try:
        numbered = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"AVSS needs {path}, which does not exist; unpack the data set again.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} must be a JSON file, it cannot be read ({error}); copy it again.") from None
    numbers = list(numbered.values()) if isinstance(numbered, dict) else []
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not numbers or not whole or sorted(numbers) != list(range(len(numbers))):
        raise InputError(
            f"{path} must give each class its own number, from 0 (background) without a gap, and does not; "
            "copy it again."
        )
    return AVSSClasses(names=tuple(sorted(numbered, key=numbered.__getitem__)))


def _clip(folder: Path, split: str, part: str, category: str, classes: int, size: int | None) -> AVSSClip:
    numbers = range(AVSS_PARTS[part])
    annotated = 1 if split == "train" and part == "v1s" else len(numbers)
    labels = [folder / "labels_semantic" / f"{number}.png" if number < annotated else None for number in numbers]
    return AVSSClip(
        name=folder.name,
        category=category,
        part=part,
        frames=tuple(folder / "frames" / f"{number}.jpg" for number in numbers),
        labels=tuple(labels),
        audio=folder / "audio.wav",
        classes=classes,
        size=size,
    )


def _load_frame(path: Path, size: int | None) -> np.ndarray:
    with open_picture(path) as image:
        picture = image.convert("RGB")
        return np.array(picture if size is None else picture.resize((size, size), Image.BILINEAR))
