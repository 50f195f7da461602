"""VGGSound: a csv of ten-second YouTube clips, and the folder with those of them that could be fetched.

The csv has no header; a row is YouTube id, start in seconds, label, split, as in
`---g-f_I2yQ,1,people marching,test`; labels with a comma are quoted. Source: hche11/VGGSound.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moca.data.reading import files_by_name
from moca.errors import InputError

COLUMNS = ("id", "start", "label", "split")


@dataclass(frozen=True, kw_only=True)
class VGGSoundClip:
    """One clip that is there."""

    youtube_id: str
    start_s: int
    """Where in the video on YouTube it starts."""
    label: str
    """What annotators heard; read for evaluation, never used in training."""
    path: Path
    """The video file."""

    @property
    def name(self) -> str:
        """The official name of the clip, `<id>_<start, six digits>`."""
        return clip_name(self.youtube_id, self.start_s)


@dataclass(frozen=True, kw_only=True)
class VGGSound:
    """The clips of one split."""

    clips: tuple[VGGSoundClip, ...]
    """Those that are there, in the order of the csv."""
    missing: tuple[str, ...]
    """Names of those that are not."""


def clip_name(youtube_id: str, start_s: int) -> str:
    """The name of a clip without its suffix.

    >>> clip_name("---g-f_I2yQ", 1)
    '---g-f_I2yQ_000001'
    """
    return f"{youtube_id}_{start_s:06d}"


def read_vggsound(table: str | Path, clips: str | Path, split: str = "train") -> VGGSound:
    """The clips of one split, found below the folder `clips` (at any depth) as `<id>_<start, six digits>.mp4`.

    Clips the csv lists twice count once; clips that are not in the folder, as YouTube lost them, are named in
    `missing`. Raises InputError, in one line, for a csv that is not there or not VGGSound's (with the line), a
    split it does not have, a folder that is not there, and a folder without a single clip of the split.
    """
    table, clips = Path(table), Path(clips)
    if not clips.is_dir():
        raise InputError(f"the folder of VGGSound's clips must exist, {clips} does not; name it with --clips.")
    rows = list(_read_rows(table))
    listed: dict[str, tuple[str, int, str]] = {}
    for key, start, label, part in rows:
        if part == split:
            listed.setdefault(clip_name(key, start), (key, start, label))
    if not listed:
        splits = ", ".join(sorted({part for *_, part in rows})) or "none"
        raise InputError(f"{table} must list clips of the split {split!r}, its splits are: {splits}; choose one.")
    there = files_by_name(clips)
    present, missing = [], []
    for name, (key, start, label) in listed.items():
        path = there.get(f"{name}.mp4")
        if path is None:
            missing.append(name)
        else:
            present.append(VGGSoundClip(youtube_id=key, start_s=start, label=label, path=path))
    if not present:
        raise InputError(
            f"{clips} must hold at least one of the {len(listed)} {split} clips that {table.name} lists, has none "
            f"(looked for {missing[0]}.mp4 and the like); name the right folder with --clips."
        )
    return VGGSound(clips=tuple(present), missing=tuple(missing))


def _read_rows(table: Path) -> Iterator[tuple[str, int, str, str]]:
    """Yield (id, start, label, split) of every row."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield _parsed([cell.strip() for cell in cells], table, reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{table} must be VGGSound's csv, it cannot be read ({reason}); give another file.") from None


def _parsed(cells: list[str], table: Path, line: int) -> tuple[str, int, str, str]:
    if len(cells) != len(COLUMNS) or not (cells[1].isascii() and cells[1].isdigit()):
        raise InputError(
            f"{table} must have the columns {', '.join(COLUMNS)} and no header, with the start in whole seconds; "
            f"line {line} is {','.join(cells)!r}; mend or remove it."
        )
    key, start, label, split = cells
    if not key or {"/", "\\"} & set(key):
        raise InputError(f"{table} must name a YouTube id first, line {line} has {key!r}; mend or remove it.")
    return key, int(start), label, split
